//! One load of a missing key, and who waits for it, as threads or as tasks.

use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

/// A load under way, or ended. As many wait for it as call at once; the cache adds none.
pub(super) struct Flight<K, V, E> {
    pub(super) hash: u64,
    pub(super) key: K,
    /// The thread that loads, where a thread does.
    leader: Option<ThreadId>,
    state: Mutex<State<V, E>>,
    landed: Condvar,
}

struct State<V, E> {
    landing: Option<Landing<V, E>>,
    /// Of the tasks that wait; a place is free again when its task has gone.
    wakers: Vec<Option<Waker>>,
}

/// How a load ended.
#[derive(Clone)]
pub(super) enum Landing<V, E> {
    Loaded(Result<V, E>),
    /// Who loaded was cancelled or has panicked: somebody else has to.
    Abandoned,
}

impl<K, V: Clone, E: Clone> Flight<K, V, E> {
    pub(super) fn new(hash: u64, key: K, leader: Option<ThreadId>) -> Self {
        Self {
            hash,
            key,
            leader,
            state: Mutex::new(State {
                landing: None,
                wakers: Vec::new(),
            }),
            landed: Condvar::new(),
        }
    }

    pub(super) fn is_led_by(&self, thread: ThreadId) -> bool {
        self.leader == Some(thread)
    }

    /// Ends the flight for all who wait.
    pub(super) fn land(&self, landing: Landing<V, E>) {
        let wakers = {
            let mut state = self.state.lock();
            state.landing = Some(landing);
            std::mem::take(&mut state.wakers)
        };
        self.landed.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Blocks the thread until the flight has landed.
    pub(super) fn wait(&self) -> Landing<V, E> {
        let mut state = self.state.lock();
        loop {
            if let Some(landing) = &state.landing {
                return landing.clone();
            }
            self.landed.wait(&mut state);
        }
    }

    /// Ready when the flight has landed.
    pub(super) fn landing(&self) -> Waiting<'_, K, V, E> {
        Waiting {
            flight: self,
            place: None,
        }
    }
}

pub(super) struct Waiting<'f, K, V, E> {
    flight: &'f Flight<K, V, E>,
    /// Where its waker is.
    place: Option<usize>,
}

impl<K, V: Clone, E: Clone> Future for Waiting<'_, K, V, E> {
    type Output = Landing<V, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.flight.state.lock();
        if let Some(landing) = &state.landing {
            return Poll::Ready(landing.clone());
        }
        let free = state.wakers.iter().position(Option::is_none);
        let place = self.place.or(free).unwrap_or(state.wakers.len());
        if place == state.wakers.len() {
            state.wakers.push(None);
        }
        state.wakers[place] = Some(context.waker().clone());
        drop(state);
        self.place = Some(place);
        Poll::Pending
    }
}

impl<K, V, E> Drop for Waiting<'_, K, V, E> {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && let Some(waker) = self.flight.state.lock().wakers.get_mut(place)
        {
            *waker = None;
        }
    }
}
