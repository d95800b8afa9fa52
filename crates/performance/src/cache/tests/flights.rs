//! One load for all who miss a key, whatever becomes of it.

use super::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// Lets the other threads get to where they wait.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// Pending until the gate is open.
struct Gate<'g>(&'g AtomicBool);

impl Future for Gate<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.0.load(SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, alarm: &Arc<Alarm>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(alarm));
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn thirty_two_threads_that_miss_a_key_load_it_once() {
    let cache = lru(10);
    let loads = AtomicUsize::new(0);
    let load = || {
        loads.fetch_add(1, SeqCst);
        wait_until(|| cache.statistics().coalesced == 31);
        Ok(42)
    };
    let ask = || cache.get_or_load(1, load);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(42));
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
    assert_eq!(cache.get(&1), Some(42));
    let statistics = cache.statistics();
    assert_eq!(
        (statistics.hits, statistics.misses, statistics.coalesced),
        (1, 1, 31)
    );
}

#[test]
fn a_failure_is_shared_by_who_waited_and_not_kept() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let loads = AtomicUsize::new(0);
    let load = || {
        let number = loads.fetch_add(1, SeqCst);
        wait_until(|| cache.statistics().coalesced == 8);
        Err(format!("no answer, call {number}"))
    };
    let ask = || cache.get_or_load(1, load);
    let expected = Err(LoadError::Failed("no answer, call 0".to_owned()));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..9).map(|_| scope.spawn(ask)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
    assert_eq!((loads.load(SeqCst), cache.statistics().entries), (1, 0));
    assert_eq!(cache.get_or_load(1, || Ok(5)), Ok(5));
}

#[test]
fn keys_do_not_wait_for_each_other() {
    let cache = lru(10);
    let outer = cache.get_or_load(1, || Ok(cache.get_or_load(2, || Ok(2)).unwrap() + 1));
    assert_eq!(outer, Ok(3));
}

#[test]
fn a_load_that_asks_for_its_own_key_is_told_so() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let mut inner = None;
    let outer = cache.get_or_load(1, || {
        inner = Some(cache.get_or_load(1, || Ok(1)));
        Ok(2)
    });
    assert_eq!((inner, outer), (Some(Err(LoadError::Reentrant)), Ok(2)));
}

#[test]
fn after_a_panic_one_of_those_who_waited_loads() {
    let cache = lru(10);
    let loads = AtomicUsize::new(0);
    let panicking = || -> Result<u64, String> {
        wait_until(|| cache.statistics().coalesced == 4);
        panic!("the load has a defect");
    };
    let working = || {
        loads.fetch_add(1, SeqCst);
        Ok(7)
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| cache.get_or_load(1, panicking));
        wait_until(|| cache.statistics().misses == 1);
        let others: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| cache.get_or_load(1, working)))
            .collect();
        assert!(first.join().is_err());
        for other in others {
            assert_eq!(other.join().unwrap(), Ok(7));
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
}

#[test]
fn tasks_share_a_load_that_the_first_of_them_drives() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let (open, loads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || async {
        loads.fetch_add(1, SeqCst);
        Gate(&open).await;
        Ok(9)
    };
    let alarms: [Arc<Alarm>; 3] = Default::default();
    let mut first = pin!(cache.get_or_load_async(1, load));
    let mut second = pin!(cache.get_or_load_async(1, load));
    let mut third = pin!(cache.get_or_load_async(1, load));
    assert!(poll(first.as_mut(), &alarms[0]).is_pending());
    assert!(poll(second.as_mut(), &alarms[1]).is_pending());
    assert!(poll(third.as_mut(), &alarms[2]).is_pending());
    open.store(true, SeqCst);
    assert_eq!(poll(first.as_mut(), &alarms[0]), Poll::Ready(Ok(9)));
    let woken = |alarm: &Arc<Alarm>| alarm.0.load(SeqCst);
    assert_eq!((woken(&alarms[1]), woken(&alarms[2])), (1, 1));
    assert_eq!(poll(second.as_mut(), &alarms[1]), Poll::Ready(Ok(9)));
    assert_eq!(poll(third.as_mut(), &alarms[2]), Poll::Ready(Ok(9)));
    assert_eq!(loads.load(SeqCst), 1);
}

#[test]
fn a_cancelled_task_hands_its_load_to_one_that_waits() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let open = AtomicBool::new(true);
    let alarms: [Arc<Alarm>; 3] = Default::default();
    let mut first = Box::pin(cache.get_or_load_async(1, std::future::pending));
    let mut second = pin!(cache.get_or_load_async(1, || async {
        Gate(&open).await;
        Ok(2)
    }));
    let mut third = pin!(cache.get_or_load_async(1, || async { Ok(3) }));
    assert!(poll(first.as_mut(), &alarms[0]).is_pending());
    assert!(poll(second.as_mut(), &alarms[1]).is_pending());
    assert!(poll(third.as_mut(), &alarms[2]).is_pending());
    drop(first);
    assert_eq!(alarms[1].0.load(SeqCst), 1, "somebody has to know");
    assert_eq!(poll(second.as_mut(), &alarms[1]), Poll::Ready(Ok(2)));
    assert_eq!(poll(third.as_mut(), &alarms[2]), Poll::Ready(Ok(2)));
}

#[test]
fn a_cancelled_task_that_only_waited_disturbs_nobody() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let open = AtomicBool::new(false);
    let alarm = Arc::default();
    let mut first = pin!(cache.get_or_load_async(1, || async {
        Gate(&open).await;
        Ok(1)
    }));
    assert!(poll(first.as_mut(), &alarm).is_pending());
    for _ in 0..1_000 {
        let mut other = Box::pin(cache.get_or_load_async(1, || async { Ok(2) }));
        assert!(poll(other.as_mut(), &alarm).is_pending());
    }
    open.store(true, SeqCst);
    assert_eq!(poll(first.as_mut(), &alarm), Poll::Ready(Ok(1)));
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn a_thread_waits_for_the_load_of_a_task() {
    let cache: LruCache<u64, u64, String> = lru(10);
    let open = AtomicBool::new(false);
    let alarm = Arc::default();
    let mut task = pin!(cache.get_or_load_async(1, || async {
        Gate(&open).await;
        Ok(1)
    }));
    assert!(poll(task.as_mut(), &alarm).is_pending());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| cache.get_or_load(1, || Ok(2)));
        wait_until(|| cache.statistics().coalesced == 1);
        open.store(true, SeqCst);
        assert!(poll(task.as_mut(), &alarm).is_ready());
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

/// A load that is overtaken by `change` while it is under way.
fn overtaken_by(change: impl Fn(&LruCache<u64, u64, String>)) -> LruCache<u64, u64, String> {
    let cache = lru(10);
    let seen = cache.get_or_load(1, || {
        change(&cache);
        Ok(1)
    });
    assert_eq!(
        seen,
        Ok(1),
        "whoever asked before the change may see what was before it"
    );
    cache
}

#[test]
fn a_load_begun_before_a_change_is_not_kept_after_it() {
    let invalidated = overtaken_by(|cache| _ = cache.invalidate(&1));
    assert_eq!(invalidated.get(&1), None);
    let cleared = overtaken_by(LruCache::clear);
    assert_eq!(cleared.get(&1), None);
    let retained = overtaken_by(|cache| cache.retain(|key| *key != 1));
    assert_eq!(retained.get(&1), None);
    let written = overtaken_by(|cache| _ = cache.insert(1, 100));
    assert_eq!(written.get(&1), Some(100));
    let reloaded = overtaken_by(|cache| {
        cache.invalidate(&1);
        assert_eq!(
            cache.get_or_load(1, || Ok(200)),
            Ok(200),
            "nobody joins the old load"
        );
    });
    assert_eq!(reloaded.get(&1), Some(200));
    for cache in [invalidated, cleared, retained, written, reloaded] {
        assert_eq!(cache.statistics().stale_loads, 1);
    }
    let untouched = overtaken_by(|cache| {
        cache.invalidate(&2);
        cache.retain(|key| *key == 1);
    });
    assert_eq!(untouched.get(&1), Some(1));
}

#[test]
fn a_value_read_outside_is_kept_only_if_nothing_has_changed_since() {
    let cache = lru(10);
    let version = cache.version(&1);
    assert!(cache.insert_if_current(1, 1, version));
    assert!(
        cache.insert_if_current(1, 2, version),
        "keeping a read value changes nothing"
    );
    cache.invalidate(&1);
    assert!(!cache.insert_if_current(1, 1, version));
    let version = cache.version(&1);
    cache.clear();
    assert!(!cache.insert_if_current(1, 1, version));
    let version = cache.version(&1);
    cache.insert(1, 5);
    assert!(!cache.insert_if_current(1, 1, version));
    assert_eq!(cache.get(&1), Some(5));
}

#[test]
fn what_tasks_await_can_move_between_threads() {
    fn movable<F: Send>(future: F) -> F {
        future
    }
    let cache: LruCache<u64, u64, String> = lru(10);
    let mut loading = pin!(movable(cache.get_or_load_async(1, || async { Ok(1) })));
    assert_eq!(poll(loading.as_mut(), &Arc::default()), Poll::Ready(Ok(1)));
}
