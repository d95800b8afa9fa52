//! Which entry leaves: the order of a shard's entries, as links between their places.
//!
//! [`Policy::Recency`] is LRU: a hit moves the entry to the young end, and the old end leaves.
//! [`Policy::Sieve`] (Zhang et al., NSDI 2024) leaves the entry where it was inserted and only marks
//! it; a hand wanders from old to young, takes marks off, and the first entry without one leaves.

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Recency,
    Sieve,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    younger: u32,
    older: u32,
    is_marked: bool,
}

/// The order, and SIEVE's hand. A place is a number that the owner gave to an entry.
#[derive(Debug)]
pub(super) struct Order {
    policy: Policy,
    /// By place.
    links: Vec<Links>,
    youngest: u32,
    oldest: u32,
    hand: u32,
}

impl Order {
    pub(super) fn new(policy: Policy) -> Self {
        Order {
            policy,
            links: Vec::new(),
            youngest: NONE,
            oldest: NONE,
            hand: NONE,
        }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// A new entry is the youngest. It keeps the mark of the one it replaces, if any.
    pub(super) fn add(&mut self, place: u32, is_marked: bool) {
        let links = Links {
            younger: NONE,
            older: self.youngest,
            is_marked,
        };
        match self.links.get_mut(place as usize) {
            Some(vacant) => *vacant = links,
            None => self.links.push(links),
        }
        match self.youngest {
            NONE => self.oldest = place,
            next => self.links[next as usize].younger = place,
        }
        self.youngest = place;
    }

    /// Takes an entry out, and says whether it was marked.
    pub(super) fn remove(&mut self, place: u32) -> bool {
        let Links {
            younger,
            older,
            is_marked,
        } = self.links[place as usize];
        if self.hand == place {
            self.hand = younger;
        }
        match younger {
            NONE => self.youngest = older,
            next => self.links[next as usize].older = older,
        }
        match older {
            NONE => self.oldest = younger,
            next => self.links[next as usize].younger = younger,
        }
        is_marked
    }

    /// Tells of a hit.
    pub(super) fn touch(&mut self, place: u32) {
        match self.policy {
            Policy::Recency if self.youngest != place => {
                self.remove(place);
                self.add(place, false);
            }
            Policy::Recency => {}
            Policy::Sieve => {
                // Read first: what is asked for again and again is not to be written again and again.
                let links = &mut self.links[place as usize];
                if !links.is_marked {
                    links.is_marked = true;
                }
            }
        }
    }

    /// Who is to leave next. Takes marks off, and so ends within two rounds.
    pub(super) fn victim(&mut self) -> Option<u32> {
        let oldest = self.oldest()?;
        if self.policy == Policy::Recency {
            return Some(oldest);
        }
        loop {
            if self.hand == NONE {
                self.hand = oldest;
            }
            let links = &mut self.links[self.hand as usize];
            if !links.is_marked {
                return Some(self.hand);
            }
            links.is_marked = false;
            self.hand = links.younger;
        }
    }
}
