//! The order in which waiting runs are claimed: pure code, driven by the store inside `claim`.
//!
//! Runs wait in *spans*, neighbours by id that share everything a claim needs to know; a batch of
//! ten thousand is one entry. Within a queue the higher priority goes first, then the older run.
//! A run whose worker died waits apart as a *suspect*: if it is what kills its worker, it must not
//! take its neighbours with it, so suspects go out in halves, and on their last permitted attempt
//! one at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::id::{RunId, TaskId};
use crate::limits;
use crate::run::Inputs;
use crate::{Monotonic, Timestamp};

/// Which kind of hand can do a run; a claim asks for one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Ends at once: thousands may be in flight.
    Instant,
    /// Takes one of the engine's slots.
    Slot,
}

/// What a claim must know of a task at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskTraits {
    pub task: TaskId,
    pub rev: u32,
    pub queue: String,
    pub priority: i16,
    pub lane: Lane,
    pub max_attempts: u16,
    /// Only ever claimed into a free slot, alone: one attempt is all it has, or it must not be
    /// charged for a start that did not happen.
    pub single: bool,
}

/// Runs that wait, neighbours by id.
#[derive(Clone, Debug)]
pub struct Span {
    pub first: RunId,
    pub count: u32,
    pub task: TaskId,
    pub rev: u32,
    /// Attempts so far.
    pub attempt: u16,
    pub queued_at: Timestamp,
    /// The inputs, if memory still has them: `(all, index of the first)`.
    pub inputs: Option<(Inputs, u32)>,
}

impl Span {
    pub fn last(&self) -> RunId {
        RunId(self.first.0 + i64::from(self.count) - 1)
    }

    /// Its share of the inputs' memory; the same for a run wherever its span is cut.
    fn payload_bytes(&self) -> usize {
        self.inputs.as_ref().map_or(0, |(inputs, _)| {
            inputs.bytes() / inputs.len().max(1) * self.count as usize
        })
    }

    /// Cuts off up to `count` runs at the front.
    pub fn take_front(&mut self, count: u32) -> Span {
        let count = count.min(self.count);
        let front = Span {
            count,
            ..self.clone()
        };
        self.first.0 += i64::from(count);
        self.count -= count;
        if let Some((_, index)) = &mut self.inputs {
            *index += count;
        }
        front
    }
}

/// One claimed run.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub run: RunId,
    pub task: TaskId,
    pub rev: u32,
    /// This attempt's number, counted by the claim; the first is 1.
    pub attempt: u16,
    pub queued_at: Timestamp,
    pub inputs: Option<(Inputs, u32)>,
}

/// What a claim asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    pub lane: Lane,
    /// Queues in order of preference; empty means any.
    pub queues: Vec<String>,
    pub runs_max: usize,
}

type Waiting = BTreeMap<Reverse<i16>, VecDeque<Span>>;

/// All runs that could be claimed, in memory.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    traits: HashMap<(TaskId, u32), TaskTraits>,
    queues: BTreeMap<(String, Lane), Waiting>,
    /// Backing off: not claimable before the time.
    delayed: BTreeMap<(Monotonic, RunId), Span>,
    suspects: BTreeMap<RunId, Span>,
    /// Suspects that are out, and since when; the next half waits for them, but not for ever.
    suspects_out: BTreeMap<RunId, Monotonic>,
    /// Cancelled while waiting: skipped when their turn comes.
    dropped: HashSet<RunId>,
    /// Waiting runs of paused tasks: set aside, so that no claim has to look past them.
    aside: BTreeMap<TaskId, Vec<Span>>,
    entries: usize,
    runs: u64,
    payload_bytes: usize,
}

impl ReadyQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs that wait, those backing off included.
    pub fn len(&self) -> u64 {
        self.runs.saturating_sub(self.dropped.len() as u64)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another enqueue would go beyond the bound on memory.
    pub fn is_full(&self) -> bool {
        self.entries >= limits::READY_ENTRIES_MAX
    }

    pub fn knows(&self, task: TaskId, rev: u32) -> bool {
        self.traits.contains_key(&(task, rev))
    }

    /// Makes a task's revision known; must precede its first span.
    pub fn learn(&mut self, traits: TaskTraits) {
        self.traits.insert((traits.task, traits.rev), traits);
    }

    /// Adds waiting runs. A span of an unknown task revision is refused and handed back.
    ///
    /// # Errors
    /// The span itself, when [`ReadyQueue::learn`] was not called for its task and revision.
    pub fn push(&mut self, mut span: Span) -> Result<(), Span> {
        let Some(traits) = self.traits.get(&(span.task, span.rev)) else {
            return Err(span);
        };
        let bytes = span.payload_bytes();
        if self.payload_bytes + bytes > limits::READY_PAYLOAD_BYTES_MAX {
            span.inputs = None;
        } else {
            self.payload_bytes += bytes;
        }
        self.runs += u64::from(span.count);
        if let Some(aside) = self.aside.get_mut(&span.task) {
            self.entries += 1;
            aside.push(span);
            return Ok(());
        }
        let waiting = self
            .queues
            .entry((traits.queue.clone(), traits.lane))
            .or_default()
            .entry(Reverse(traits.priority))
            .or_default();
        // Neighbours merge only without inputs in memory: after a restart a batch is one entry
        // again, however it had been cut.
        if let Some(back) = waiting.back_mut()
            && back.last().0 + 1 == span.first.0
            && (back.task, back.rev, back.attempt, back.queued_at)
                == (span.task, span.rev, span.attempt, span.queued_at)
            && back.inputs.is_none()
            && span.inputs.is_none()
        {
            back.count += span.count;
            return Ok(());
        }
        self.entries += 1;
        waiting.push_back(span);
        Ok(())
    }

    /// Adds one run that may not be claimed before `due`: a backoff is a length of time, which no
    /// step of the wall clock bends.
    pub fn push_delayed(&mut self, due: Monotonic, span: Span) {
        debug_assert_eq!(span.count, 1, "a delay belongs to one run");
        self.runs += 1;
        self.entries += 1;
        self.delayed.insert((due, span.first), span);
    }

    /// Adds one run whose worker died with it.
    pub fn push_suspect(&mut self, span: Span) {
        debug_assert_eq!(span.count, 1, "suspicion falls on one run");
        self.runs += 1;
        self.entries += 1;
        self.suspects.insert(span.first, span);
    }

    /// Drops a cancelled run that waits. The caller knows that it waits.
    pub fn drop_run(&mut self, run: RunId) {
        if self.suspects.remove(&run).is_some() {
            self.runs -= 1;
            self.entries -= 1;
            return;
        }
        self.dropped.insert(run);
    }

    /// Takes out every waiting run of a task, e.g. to cancel them with it.
    pub fn take_task(&mut self, task: TaskId) -> Vec<Span> {
        let mut taken = Vec::new();
        for waiting in self.queues.values_mut() {
            for spans in waiting.values_mut() {
                let (of_task, rest): (VecDeque<Span>, VecDeque<Span>) =
                    spans.drain(..).partition(|span| span.task == task);
                *spans = rest;
                taken.extend(of_task);
            }
            waiting.retain(|_, spans| !spans.is_empty());
        }
        self.queues.retain(|_, waiting| !waiting.is_empty());
        taken.extend(self.aside.remove(&task).unwrap_or_default());
        taken.extend(
            self.delayed
                .extract_if(.., |_, span| span.task == task)
                .map(|(_, span)| span),
        );
        taken.extend(
            self.suspects
                .extract_if(.., |_, span| span.task == task)
                .map(|(_, span)| span),
        );
        for span in &taken {
            self.entries -= 1;
            self.runs -= u64::from(span.count);
            self.payload_bytes = self.payload_bytes.saturating_sub(span.payload_bytes());
        }
        // A run that was cancelled while it waited is over already: cut it out of its span.
        let mut alive = Vec::with_capacity(taken.len());
        for mut span in taken {
            while span.count > 0 {
                let until_dropped = (0..span.count)
                    .find(|offset| {
                        self.dropped
                            .contains(&RunId(span.first.0 + i64::from(*offset)))
                    })
                    .filter(|_| !self.dropped.is_empty());
                match until_dropped {
                    None => {
                        alive.push(span);
                        break;
                    }
                    Some(offset) => {
                        if offset > 0 {
                            alive.push(span.take_front(offset));
                        }
                        let dropped = span.take_front(1);
                        self.dropped.remove(&dropped.first);
                    }
                }
            }
        }
        alive
    }

    /// Holds back, or lets go, every waiting run of a task. They keep their place by age.
    pub fn set_paused(&mut self, task: TaskId, paused: bool) {
        if paused {
            if self.aside.contains_key(&task) {
                return;
            }
            let mut aside = Vec::new();
            for waiting in self.queues.values_mut() {
                for spans in waiting.values_mut() {
                    if spans.iter().any(|span| span.task == task) {
                        let (of_task, rest): (VecDeque<Span>, VecDeque<Span>) =
                            spans.drain(..).partition(|span| span.task == task);
                        aside.extend(of_task);
                        *spans = rest;
                    }
                }
                waiting.retain(|_, spans| !spans.is_empty());
            }
            self.queues.retain(|_, waiting| !waiting.is_empty());
            self.aside.insert(task, aside);
            return;
        }
        let mut touched = BTreeSet::new();
        for span in self.aside.remove(&task).unwrap_or_default() {
            // A span is only ever accepted with its traits known.
            let Some(traits) = self.traits.get(&(span.task, span.rev)) else {
                continue;
            };
            let place = (
                (traits.queue.clone(), traits.lane),
                Reverse(traits.priority),
            );
            let waiting = self.queues.entry(place.0.clone()).or_default();
            waiting.entry(place.1).or_default().push_back(span);
            touched.insert(place);
        }
        for (queue, priority) in touched {
            let spans = self
                .queues
                .get_mut(&queue)
                .and_then(|waiting| waiting.get_mut(&priority));
            if let Some(spans) = spans {
                spans.make_contiguous().sort_by_key(|span| span.first);
            }
        }
    }

    fn is_paused(&self, task: TaskId) -> bool {
        self.aside.contains_key(&task)
    }

    /// When the next delay is over.
    pub fn next_due(&self) -> Option<Monotonic> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes out the runs whose delay is over, to be pushed again.
    pub fn take_due(&mut self, now: Monotonic) -> Vec<Span> {
        let mut due = Vec::new();
        while self.next_due().is_some_and(|due| due <= now) {
            let Some((_, span)) = self.delayed.pop_first() else {
                break;
            };
            self.runs -= 1;
            self.entries -= 1;
            if !self.dropped.remove(&span.first) {
                due.push(span);
            }
        }
        due
    }

    /// A claimed run is over, or went back to waiting: its half may be followed by the next.
    /// Tells whether it was out as a suspect.
    pub fn settled(&mut self, run: RunId) -> bool {
        !self.suspects_out.is_empty() && self.suspects_out.remove(&run).is_some()
    }

    /// Forgets what a claim must know of a revision that nothing waits for any more.
    pub fn forget(&mut self, task: TaskId, rev: u32) {
        let may_wait = !self.delayed.is_empty() || !self.suspects.is_empty();
        if !may_wait && !self.is_paused(task) {
            self.traits.remove(&(task, rev));
        }
    }

    /// Takes runs for one claim, in order.
    pub fn claim(&mut self, request: &ClaimRequest, now: Monotonic) -> Vec<Claimed> {
        let mut taken = Vec::new();
        self.claim_suspects(request, now, &mut taken);
        let mut room = request.runs_max.saturating_sub(taken.len());
        let keys: Vec<(String, Lane)> = if request.queues.is_empty() {
            self.queues
                .keys()
                .filter(|(_, lane)| *lane == request.lane)
                .cloned()
                .collect()
        } else {
            request
                .queues
                .iter()
                .map(|queue| (queue.clone(), request.lane))
                .collect()
        };
        // Without a preference the highest priority of all queues goes first; with one, the
        // named order holds.
        while room > 0 {
            let best = keys
                .iter()
                .filter_map(|key| Some((self.head_priority(key)?, key)))
                .reduce(|best, next| {
                    if request.queues.is_empty() && next.0 > best.0 {
                        next
                    } else {
                        best
                    }
                });
            let Some((priority, key)) = best else { break };
            let before = taken.len();
            self.claim_from(key, priority, room, &mut taken);
            room -= taken.len() - before;
        }
        taken
    }

    /// The highest priority in a queue that has a run.
    fn head_priority(&self, key: &(String, Lane)) -> Option<i16> {
        self.queues
            .get(key)?
            .first_key_value()
            .map(|(priority, _)| priority.0)
    }

    fn claim_from(
        &mut self,
        key: &(String, Lane),
        priority: i16,
        mut room: usize,
        taken: &mut Vec<Claimed>,
    ) {
        let Some(waiting) = self.queues.get_mut(key) else {
            return;
        };
        let Some(spans) = waiting.get_mut(&Reverse(priority)) else {
            return;
        };
        while room > 0 {
            let Some(mut span) = spans.pop_front() else {
                break;
            };
            let wanted = u32::try_from(room).unwrap_or(u32::MAX);
            let front = span.take_front(wanted);
            self.runs -= u64::from(front.count);
            self.payload_bytes = self.payload_bytes.saturating_sub(front.payload_bytes());
            for offset in 0..front.count {
                let run = RunId(front.first.0 + i64::from(offset));
                if !self.dropped.is_empty() && self.dropped.remove(&run) {
                    continue;
                }
                room -= 1;
                taken.push(Claimed {
                    run,
                    task: front.task,
                    rev: front.rev,
                    attempt: front.attempt + 1,
                    queued_at: front.queued_at,
                    inputs: front
                        .inputs
                        .as_ref()
                        .map(|(inputs, first)| (inputs.clone(), first + offset)),
                });
            }
            if span.count > 0 {
                spans.push_front(span);
            } else {
                self.entries -= 1;
            }
        }
        if spans.is_empty() {
            waiting.remove(&Reverse(priority));
            if waiting.is_empty() {
                self.queues.remove(key);
            }
        }
    }

    fn claim_suspects(&mut self, request: &ClaimRequest, now: Monotonic, taken: &mut Vec<Claimed>) {
        self.suspects_out
            .retain(|_, since| now.since(*since) < limits::SUSPECT_WATCH);
        if self.suspects.is_empty() || !self.suspects_out.is_empty() {
            return;
        }
        let allowed = |span: &Span, queue: &ReadyQueue| {
            !queue.is_paused(span.task)
                && queue
                    .traits
                    .get(&(span.task, span.rev))
                    .is_some_and(|traits| {
                        traits.lane == request.lane
                            && (request.queues.is_empty() || request.queues.contains(&traits.queue))
                    })
        };
        let half = self.suspects.len().div_ceil(2).min(request.runs_max);
        let mut chosen: Vec<RunId> = Vec::new();
        for (run, span) in &self.suspects {
            if chosen.len() >= half || !allowed(span, self) {
                continue;
            }
            let traits = self.traits.get(&(span.task, span.rev));
            if traits.is_none_or(|traits| span.attempt + 1 >= traits.max_attempts || traits.single)
            {
                // The last permitted attempt goes alone.
                if chosen.is_empty() {
                    chosen.push(*run);
                    break;
                }
                continue;
            }
            chosen.push(*run);
        }
        for run in chosen {
            let Some(span) = self.suspects.remove(&run) else {
                continue;
            };
            self.runs -= 1;
            self.entries -= 1;
            self.suspects_out.insert(run, now);
            taken.push(Claimed {
                run,
                task: span.task,
                rev: span.rev,
                attempt: span.attempt + 1,
                queued_at: span.queued_at,
                inputs: span.inputs,
            });
        }
    }
}

#[cfg(test)]
mod tests;
