//! What each run leaves behind: how long it waited, how long it ran, how it ended.

use std::sync::Arc;
use std::time::Duration;

use autom8_api::task_log::{Percentiles, RunWindow};
use autom8_api::telemetry::{ErrorEntry, SlowEntry};
use autom8_engine::{EngineObserver, RunSettled, RunStarted};
use autom8_model::transition::Decision;
use autom8_model::{Clock, RunState, TaskType};
use autom8_performance::recorder::window::Slice;
use autom8_performance::recorder::{Recorder, RecorderSeries, Window};

use super::rings::{self, ErrorNote, Ring};
use super::series::rounded;

/// A due run should start within this: the objective `task-start`.
const WAIT_THRESHOLD: Duration = Duration::from_secs(1);
/// An attempt beyond this enters the slow log. A minute is also what the histograms tell apart.
const RUN_THRESHOLD: Duration = Duration::from_secs(60);

/// Durations of runs by type of task. The engine reports hundreds of thousands of runs a second:
/// each costs three counts and no lock.
pub struct RunBook {
    clock: Arc<dyn Clock>,
    wait: Recorder,
    run: Recorder,
    total: Recorder,
    /// In the order of [`TaskType::ALL`].
    by_type: Vec<TypeSeries>,
    slow: Arc<Ring<SlowEntry>>,
    errors: Arc<Ring<ErrorEntry>>,
}

/// The series of one type of task.
#[derive(Debug)]
pub(crate) struct TypeSeries {
    pub(crate) task_type: TaskType,
    /// From due to start, of first attempts.
    pub(crate) wait: Arc<RecorderSeries>,
    /// Of each attempt.
    pub(crate) run: Arc<RecorderSeries>,
    /// From due to the outcome; its errors are the runs that failed for good.
    pub(crate) total: Arc<RecorderSeries>,
}

impl RunBook {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        slow: Arc<Ring<SlowEntry>>,
        errors: Arc<Ring<ErrorEntry>>,
    ) -> Self {
        let now_micros = clock.monotonic().as_micros();
        let wait = Recorder::new(WAIT_THRESHOLD, now_micros);
        let run = Recorder::new(RUN_THRESHOLD, now_micros);
        let total = Recorder::new(RUN_THRESHOLD, now_micros);
        let of_type = |task_type: TaskType| TypeSeries {
            task_type,
            wait: wait.series(task_type.as_str()),
            run: run.series(task_type.as_str()),
            total: total.series(task_type.as_str()),
        };
        RunBook {
            by_type: TaskType::ALL.into_iter().map(of_type).collect(),
            wait,
            run,
            total,
            slow,
            errors,
            clock,
        }
    }

    pub(super) fn rotate(&self, now_micros: u64) {
        for recorder in [&self.wait, &self.run, &self.total] {
            recorder.rotate(now_micros);
        }
    }

    pub(super) fn by_type(&self) -> &[TypeSeries] {
        &self.by_type
    }

    fn of(&self, task_type: TaskType) -> Option<&TypeSeries> {
        self.by_type
            .iter()
            .find(|series| series.task_type == task_type)
    }

    /// Runs that ended in the window before `now_micros`; none if none did.
    pub(super) fn window(&self, window: Window, now_micros: u64) -> Option<RunWindow> {
        let merged = |pick: fn(&TypeSeries) -> &RecorderSeries| {
            let mut all = Slice::default();
            for series in &self.by_type {
                all.merge_series(&pick(series).window_slice(window, now_micros));
            }
            all
        };
        let total = merged(|series| &series.total);
        if total.histogram.is_empty() {
            return None;
        }
        Some(RunWindow {
            seconds: seconds_of(window),
            count: total.histogram.count(),
            failed: total.errors,
            wait: percentiles(&merged(|series| &series.wait)),
            run: percentiles(&merged(|series| &series.run)),
            total: percentiles(&total),
        })
    }
}

/// Length of a window in seconds.
fn seconds_of(window: Window) -> u64 {
    match window {
        Window::FiveMinutes => 300,
        Window::OneHour => 3_600,
    }
}

/// Zero where nothing was measured, as an instant run without a wait is.
fn percentiles(slice: &Slice) -> Percentiles {
    let at = |q| rounded(slice.histogram.quantile_ms(q)).unwrap_or(0.0);
    Percentiles {
        p50_ms: at(0.50),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
    }
}

impl EngineObserver for RunBook {
    fn run_started(&self, started: &RunStarted<'_>) {
        if let (Some(series), Some(wait)) = (self.of(started.task_type), started.wait_micros) {
            series.wait.record(wait, false);
        }
    }

    fn run_settled(&self, settled: &RunSettled<'_>) {
        let Some(series) = self.of(settled.task_type) else {
            return;
        };
        let is_success = settled.decision == Decision::End(RunState::Completed);
        series.run.record(settled.duration_micros, !is_success);
        if let Decision::End(state) = settled.decision {
            let is_failure = matches!(state, RunState::Failed | RunState::Interrupted);
            series.total.record(settled.total_micros, is_failure);
        }
        if let Decision::End(state @ (RunState::Failed | RunState::Interrupted)) = settled.decision
        {
            warn_of_failure(state, settled);
        }
        let threshold = self.run.threshold_micros();
        if settled.duration_micros > threshold {
            self.slow.push(rings::slow_run(
                self.clock.now(),
                settled.task.as_str(),
                settled.run,
                settled.duration_micros as f64 / 1_000.0,
                threshold as f64 / 1_000.0,
            ));
        }
    }

    fn problem(&self, source: &str, message: &str) {
        let note = ErrorNote {
            source,
            message,
            request_id: None,
        };
        self.errors.push(rings::error(self.clock.now(), &note));
    }
}

/// Bytes of an error in the server's log; the run has it whole.
const ERROR_BYTES_LOGGED: usize = 200;

/// What an operator greps for. A failure costs a few microseconds here and a success nothing.
fn warn_of_failure(state: RunState, settled: &RunSettled<'_>) {
    tracing::warn!(
        task = settled.task.as_str(),
        run = settled.run.0,
        attempt = settled.attempt,
        error = settled
            .error
            .map(|error| logged_error(settled.task_type, error)),
        "run {}",
        state.as_str()
    );
}

/// The beginning of an error's first line. The error of a process ends with the last words of the
/// process, which may hold secrets and personal data: they stay with the run, behind its API.
fn logged_error(task_type: TaskType, error: &str) -> &str {
    let line = error.lines().next().unwrap_or_default();
    let ours = match line.split_once(": ") {
        Some((ours, _)) if task_type == TaskType::Process => ours,
        _ => line,
    };
    &ours[..ours.floor_char_boundary(ERROR_BYTES_LOGGED)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::{ManualClock, RunId, TaskName, Timestamp};

    fn book() -> RunBook {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        RunBook::new(clock, Arc::default(), Arc::default())
    }

    fn settle(book: &RunBook, decision: Decision, duration_micros: u64) {
        let task: TaskName = "nightly".parse().unwrap();
        book.run_settled(&RunSettled {
            run: RunId(7),
            task: &task,
            task_type: TaskType::Http,
            attempt: 1,
            decision,
            wait_micros: Some(500),
            duration_micros,
            total_micros: duration_micros + 500,
            error: None,
        });
    }

    #[test]
    fn only_runs_that_ended_are_in_the_window() {
        let book = book();
        assert_eq!(book.window(Window::FiveMinutes, 0), None);
        settle(
            &book,
            Decision::RetryAt(Timestamp::from_seconds(2_000)),
            10_000,
        );
        assert_eq!(book.window(Window::FiveMinutes, 0), None);
        settle(&book, Decision::End(RunState::Failed), 20_000);
        settle(&book, Decision::End(RunState::Completed), 20_000);
        settle(&book, Decision::End(RunState::Cancelled), 20_000);
        let window = book.window(Window::FiveMinutes, 1_000_000).unwrap();
        assert_eq!((window.count, window.failed, window.seconds), (3, 1, 300));
        assert!(
            (window.total.p50_ms - 20.5).abs() <= 0.3,
            "{:?}",
            window.total
        );
    }

    #[test]
    fn a_long_attempt_enters_the_slow_log_with_its_run() {
        let book = book();
        settle(&book, Decision::End(RunState::Completed), 60_000_000);
        settle(&book, Decision::End(RunState::Completed), 60_000_001);
        let slow = book.slow.latest(5);
        assert_eq!(slow.len(), 1);
        assert_eq!(
            (slow[0].run, slow[0].name.as_str()),
            (Some(RunId(7)), "nightly")
        );
    }

    #[test]
    fn a_problem_of_the_engine_is_a_recent_error() {
        let book = book();
        book.problem("finisher", "the store is not reachable");
        assert_eq!(book.errors.latest(1)[0].source, "finisher");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_run_that_failed_for_good_is_one_line_of_the_log_and_no_other_run_is() {
        let (book, lines) = (book(), Lines::default());
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for decision in [
                Decision::RetryAt(Timestamp::from_seconds(2_000)),
                Decision::End(RunState::Completed),
                Decision::End(RunState::Cancelled),
                Decision::End(RunState::Failed),
                Decision::End(RunState::Interrupted),
            ] {
                settle(&book, decision, 10);
            }
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        for (line, state) in text.lines().zip(["run failed", "run interrupted"]) {
            for told in ["WARN", state, "task=\"nightly\"", "run=7", "attempt=1"] {
                assert!(line.contains(told), "{told} in {line}");
            }
        }
    }

    #[test]
    fn the_log_has_the_beginning_of_an_error_and_never_what_a_process_said() {
        let said = "exit code 3: no contact jane@example.com";
        assert_eq!(logged_error(TaskType::Process, said), "exit code 3");
        assert_eq!(
            logged_error(TaskType::Http, "GET http://a/: answered 500\nmore"),
            "GET http://a/: answered 500"
        );
        assert_eq!(logged_error(TaskType::Http, ""), "");
        let long = format!("a{}", "é".repeat(300));
        assert_eq!(
            logged_error(TaskType::Http, &long).len(),
            ERROR_BYTES_LOGGED - 1
        );
    }
}
