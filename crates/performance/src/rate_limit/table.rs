//! Where the state of each client is: one shard of a table that grows with its clients, up to a
//! bound, and forgets who is idle first.
//!
//! A client lives in one block of 32 slots, found by its tag and searched from a cache line of its
//! own within the block, so that a known client costs one line as a rule, and two seldom. A block full of clients
//! that are all live has the shard double. It doubles by a further segment as large as all before:
//! nothing is freed and nothing copied twice, so what the table holds is what the process holds. At
//! its bound the live client of the block that is nearest idle leaves; it loses least, and counted it
//! shows that the bound is too low.

use super::gcra::Tat;

/// Of one client. Sixteen bytes, so that 64 MiB hold four million.
#[derive(Clone, Copy)]
struct Slot {
    /// The tag's 48 bits above the 16 of the TAT's fraction; 0 in an empty slot.
    tag_and_fraction: u64,
    tat_ns: u64,
}

const EMPTY: Slot = Slot {
    tag_and_fraction: 0,
    tat_ns: 0,
};

impl Slot {
    fn new(tag: u64, tat: Tat) -> Self {
        Slot {
            tag_and_fraction: tag << 16 | u64::from(tat.fraction),
            tat_ns: tat.ns,
        }
    }

    fn tag(self) -> u64 {
        self.tag_and_fraction >> 16
    }

    fn tat(self) -> Tat {
        Tat {
            ns: self.tat_ns,
            fraction: self.tag_and_fraction as u16,
        }
    }

    fn is_empty(self) -> bool {
        self.tag_and_fraction == 0
    }
}

/// Of a block. Fewer overflow sooner by chance, and double a shard that is a third full; more are
/// searched longer.
const BLOCK_SLOTS: usize = 32;

/// Of a cache line.
const LINE_SLOTS: usize = 4;

#[derive(Clone)]
#[repr(align(64))]
struct Block([Slot; BLOCK_SLOTS]);

impl Block {
    const EMPTY: Block = Block([EMPTY; BLOCK_SLOTS]);
}

pub(super) const BLOCK_BYTES: usize = size_of::<Block>();

/// A client's name within its shard: 48 bits, not 0.
#[derive(Clone, Copy)]
pub(super) struct Tag(u64);

impl Tag {
    /// From the low bits of a hash; the shard is chosen by the others.
    pub(super) fn of(hash: u64) -> Self {
        Tag((hash & 0xffff_ffff_ffff).max(1))
    }

    /// Where in its block the search begins: bits that no block number reaches.
    fn start(self) -> usize {
        (self.0 >> 40) as usize * LINE_SLOTS % BLOCK_SLOTS
    }
}

/// A part of the table, and what was decided there.
#[derive(Default)]
pub(super) struct Shard {
    /// Of 1, 1, 2, 4, 8, … blocks.
    segments: Vec<Box<[Block]>>,
    /// A power of two, or 0 before the first client.
    blocks: usize,
    entries: usize,
    pub(super) allowed: u64,
    pub(super) limited: u64,
    pub(super) evicted_live: u64,
}

/// Where a client's slot is, or would be.
enum Place {
    Known(usize),
    /// Empty, or of a client that is idle.
    Free(usize),
    /// All are live; this one is nearest idle.
    Full(usize),
}

impl Shard {
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks * BLOCK_BYTES + self.segments.capacity() * size_of::<Box<[Block]>>()
    }

    /// The state of a client; that of an idle one where it is not known.
    pub(super) fn read(&self, tag: Tag, now_ns: u64) -> Tat {
        if self.blocks == 0 {
            return Tat::default();
        }
        let block = self.block(tag);
        match find(block, tag, now_ns) {
            Place::Known(slot) => block.0[slot].tat(),
            Place::Free(_) | Place::Full(_) => Tat::default(),
        }
    }

    /// Replaces a client's state by what `step` makes of it.
    pub(super) fn update<R>(
        &mut self,
        tag: Tag,
        now_ns: u64,
        blocks_max: usize,
        step: impl FnOnce(Tat) -> (Tat, R),
    ) -> R {
        if self.blocks == 0 {
            self.double();
        }
        loop {
            let is_at_bound = self.blocks * 2 > blocks_max;
            let block = self.block_mut(tag);
            match find(block, tag, now_ns) {
                Place::Known(slot) => {
                    let (tat, result) = step(block.0[slot].tat());
                    block.0[slot] = Slot::new(tag.0, tat);
                    return result;
                }
                Place::Free(slot) => {
                    let was_empty = block.0[slot].is_empty();
                    let (tat, result) = step(Tat::default());
                    block.0[slot] = Slot::new(tag.0, tat);
                    self.entries += usize::from(was_empty);
                    return result;
                }
                Place::Full(slot) if is_at_bound => {
                    let (tat, result) = step(Tat::default());
                    block.0[slot] = Slot::new(tag.0, tat);
                    self.evicted_live += 1;
                    return result;
                }
                Place::Full(_) => {
                    self.double();
                    self.spread(now_ns);
                }
            }
        }
    }

    /// Forgets who is idle, and gives memory back where less than an eighth of it is in use.
    pub(super) fn sweep(&mut self, now_ns: u64) {
        let mut live = 0;
        for block in self.segments.iter_mut().flat_map(|s| s.iter_mut()) {
            live += repack(block, now_ns);
        }
        self.entries = live;
        if self.blocks > 1 && live * 8 <= self.blocks * BLOCK_SLOTS {
            self.shrink(now_ns);
        }
    }

    fn block(&self, tag: Tag) -> &Block {
        let (segment, offset) = locate(tag.0 as usize & (self.blocks - 1));
        &self.segments[segment][offset]
    }

    fn block_mut(&mut self, tag: Tag) -> &mut Block {
        let (segment, offset) = locate(tag.0 as usize & (self.blocks - 1));
        &mut self.segments[segment][offset]
    }

    fn double(&mut self) {
        let added = self.blocks.max(1);
        self.segments
            .push(vec![Block::EMPTY; added].into_boxed_slice());
        self.blocks += added;
    }

    /// After doubling: moves the clients of the old half whose block is now in the new one.
    fn spread(&mut self, now_ns: u64) {
        let Some((new, old)) = self.segments.split_last_mut() else {
            return;
        };
        let half = new.len();
        self.entries = 0;
        for (number, block) in old.iter_mut().flat_map(|s| s.iter_mut()).enumerate() {
            let slots = std::mem::replace(block, Block::EMPTY).0;
            for slot in slots {
                if slot.is_empty() || slot.tat().is_idle(now_ns) {
                    continue;
                }
                let goes_up = slot.tag() as usize & half != 0;
                place(if goes_up { &mut new[number] } else { block }, slot);
                self.entries += 1;
            }
        }
    }

    /// To a quarter, so that growing again is some way off.
    fn shrink(&mut self, now_ns: u64) {
        let blocks = (self.blocks / 4).max(1);
        let clients: Vec<Slot> = self
            .segments
            .iter()
            .flat_map(|segment| segment.iter().flat_map(|block| &block.0))
            .copied()
            .filter(|slot| !slot.is_empty())
            .collect();
        self.segments.truncate(blocks.ilog2() as usize + 1);
        let kept = self.segments.iter_mut().flat_map(|s| s.iter_mut());
        kept.for_each(|block| *block = Block::EMPTY);
        let blocks_before = std::mem::replace(&mut self.blocks, blocks);
        self.entries = 0;
        for slot in clients {
            self.update(Tag(slot.tag()), now_ns, blocks_before, |_| (slot.tat(), ()));
        }
    }
}

/// The segment of a block, and its place there.
fn locate(block: usize) -> (usize, usize) {
    match block.checked_ilog2() {
        None => (0, 0),
        Some(log) => (log as usize + 1, block - (1 << log)),
    }
}

/// Nothing in a block lies behind an empty slot of its search, since slots are only overwritten and
/// a block is packed as a whole.
fn find(block: &Block, tag: Tag, now_ns: u64) -> Place {
    let mut idle = None;
    let mut nearest_idle = (Tat::default(), 0);
    for step in 0..BLOCK_SLOTS {
        let number = (tag.start() + step) % BLOCK_SLOTS;
        let slot = block.0[number];
        if slot.tag() == tag.0 {
            return Place::Known(number);
        }
        if slot.is_empty() {
            return Place::Free(idle.unwrap_or(number));
        }
        let tat = slot.tat();
        if idle.is_none() && tat.is_idle(now_ns) {
            idle = Some(number);
        }
        if step == 0 || tat < nearest_idle.0 {
            nearest_idle = (tat, number);
        }
    }
    idle.map_or(Place::Full(nearest_idle.1), Place::Free)
}

/// Into the first empty slot of its search; the caller knows that there is one.
fn place(block: &mut Block, slot: Slot) {
    let start = Tag(slot.tag()).start();
    let search = (0..BLOCK_SLOTS).map(|step| (start + step) % BLOCK_SLOTS);
    for number in search {
        if block.0[number].is_empty() {
            block.0[number] = slot;
            return;
        }
    }
}

/// Forgets who is idle in a block, and says how many are not.
fn repack(block: &mut Block, now_ns: u64) -> usize {
    let is_forgotten = |slot: &Slot| !slot.is_empty() && slot.tat().is_idle(now_ns);
    if !block.0.iter().any(is_forgotten) {
        return block.0.iter().filter(|slot| !slot.is_empty()).count();
    }
    let slots = std::mem::replace(block, Block::EMPTY).0;
    let live = slots
        .into_iter()
        .filter(|slot| !slot.is_empty() && !is_forgotten(slot));
    live.map(|slot| place(block, slot)).count()
}
