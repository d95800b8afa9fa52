//! The limit itself: who is served, who is refused, and what they are told.

use super::*;
use proptest::prelude::*;

#[test]
fn of_5001_requests_at_one_instant_exactly_the_last_is_refused() {
    let (limiter, quota) = (roomy(), five_thousand_a_minute());
    let client = limiter.client_of_key(1);
    for request in 0..5_000 {
        let decision = limiter.decide(client, &quota, START_NS);
        assert!(decision.allowed);
        assert_eq!(decision.remaining, 4_999 - request);
        let spent = Duration::from_millis(12) * (request + 1);
        assert_eq!(decision.reset_after, spent);
    }
    let refused = limiter.decide(client, &quota, START_NS);
    assert_eq!(
        refused,
        Decision {
            allowed: false,
            remaining: 0,
            reset_after: MINUTE,
            retry_after: Duration::from_millis(12),
        }
    );
    let told = START_NS + 12_000_000;
    assert!(!limiter.decide(client, &quota, told - 1).allowed);
    assert!(limiter.decide(client, &quota, told).allowed);
    let statistics = limiter.statistics();
    assert_eq!(
        (statistics.allowed_total, statistics.limited_total),
        (5_001, 2)
    );
}

/// Of `requests` spread evenly over a minute, from a client that was idle before.
fn refused_of(requests: u64) -> usize {
    let (limiter, quota) = (roomy(), five_thousand_a_minute());
    let client = limiter.client_of_key(1);
    let at = |number| START_NS + number * 60 * SECOND_NS / requests;
    (0..requests)
        .filter(|number| !limiter.decide(client, &quota, at(*number)).allowed)
        .count()
}

#[test]
fn an_idle_client_may_go_beyond_the_limit_within_one_minute_and_not_without_end() {
    assert_eq!(refused_of(7_500), 0);
    // The bucket, and 4,999 earned until the last of them comes, just before the minute's end.
    assert_eq!(refused_of(10_100), 101);
}

#[test]
fn a_steady_client_at_the_limit_is_served_for_ever() {
    // 60 s / 7 has no end in any base, and a millisecond a day would be an error of a week.
    for requests in [5_000, 7, 999] {
        let (limiter, quota) = (roomy(), quota(requests, MINUTE, requests));
        let client = limiter.client_of_key(1);
        for number in 0..50_000_u64 {
            let at = START_NS + number * 60 * SECOND_NS / u64::from(requests);
            assert!(limiter.decide(client, &quota, at).allowed, "{number}");
        }
    }
}

#[test]
fn a_look_takes_nothing_and_makes_nobody_known() {
    let (limiter, quota) = (roomy(), quota(2, MINUTE, 2));
    let client = limiter.client_of_key(1);
    let fresh = limiter.peek(client, &quota, START_NS);
    assert!(fresh.allowed && fresh.remaining == 2 && fresh.reset_after == Duration::ZERO);
    assert_eq!(limiter.statistics().clients, 0);
    for _ in 0..2 {
        limiter.decide(client, &quota, START_NS);
    }
    let spent = limiter.peek(client, &quota, START_NS);
    assert!(!spent.allowed && spent.retry_after == MINUTE / 2);
    assert_eq!(spent, limiter.decide(client, &quota, START_NS));
    assert_eq!(
        limiter.statistics().limited_total,
        1,
        "the look is not counted"
    );
}

#[test]
fn a_charge_empties_the_bucket_at_most() {
    let (limiter, quota) = (roomy(), quota(60, MINUTE, 10));
    let client = limiter.client_of_address("192.0.2.1".parse().unwrap());
    let charged = limiter.charge(client, &quota, 4, START_NS);
    assert!(charged.allowed && charged.remaining == 6);
    let charged = limiter.charge(client, &quota, u32::MAX, START_NS);
    assert!(!charged.allowed && charged.remaining == 0);
    assert_eq!(charged.reset_after, Duration::from_secs(10));
    assert!(!limiter.decide(client, &quota, START_NS).allowed);
    assert!(limiter.decide(client, &quota, START_NS + SECOND_NS).allowed);
}

#[test]
fn a_changed_limit_holds_at_once_and_nobody_waits_out_the_old_one() {
    let limiter = roomy();
    let client = limiter.client_of_key(1);
    let day = Duration::from_secs(24 * 3_600);
    let (a_day, a_minute) = (quota(10, day, 10), quota(60, MINUTE, 1));
    for _ in 0..10 {
        assert!(limiter.decide(client, &a_day, START_NS).allowed);
    }
    let refused = limiter.decide(client, &a_minute, START_NS);
    assert_eq!(
        (refused.allowed, refused.retry_after),
        (false, Duration::from_secs(1))
    );
    assert!(
        limiter
            .decide(client, &a_minute, START_NS + SECOND_NS)
            .allowed
    );
}

#[test]
fn what_no_bucket_can_hold_is_refused_when_it_is_set() {
    let one = NonZeroU32::MIN;
    let day = Duration::from_secs(24 * 3_600);
    let many = NonZeroU32::MAX;
    assert_eq!(
        Quota::new(one, day, many),
        Err(QuotaError::TooDeep { burst: many })
    );
    assert_eq!(
        Quota::new(many, Duration::from_nanos(1), one),
        Err(QuotaError::TooFast)
    );
    assert_eq!(
        Quota::new(one, Duration::ZERO, one),
        Err(QuotaError::TooFast)
    );
    // Every limit that the configuration can say, with the burst that follows from it.
    for requests in [1, 7, 5_000, 1_000_000_000] {
        for seconds in [1, 60, 3_600, 86_400] {
            quota(requests, Duration::from_secs(seconds), requests);
        }
    }
}

#[test]
fn threads_share_one_bucket() {
    let (limiter, quota) = (roomy(), five_thousand_a_minute());
    let allowed_by = |client: ClientId, requests: usize| {
        (0..requests)
            .filter(|_| limiter.decide(client, &quota, START_NS).allowed)
            .count()
    };
    let ask = || {
        let shared = allowed_by(limiter.client_of_key(1), 2_000);
        let others = (2..200).map(|key| allowed_by(limiter.client_of_key(key), 30));
        (shared, others.sum::<usize>())
    };
    let (shared, others) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
    });
    assert_eq!(shared, 5_000);
    assert_eq!(others, 8 * 198 * 30, "within their own limits");
    assert_eq!(limiter.statistics().clients, 199);
}

/// Any limit, and times between requests of its own order of magnitude, some of them none.
fn histories() -> impl Strategy<Value = (u32, u64, Vec<u64>)> {
    (1_u32..60, 1_u64..100_000_000_000).prop_flat_map(|(requests, period_ns)| {
        let interval_ns = period_ns / u64::from(requests);
        let gap_ns = prop_oneof![
            Just(0),
            0..interval_ns.max(1),
            0..interval_ns * 3 + 1,
            0..period_ns
        ];
        let gaps_ns = prop::collection::vec(gap_ns, 1..400);
        (Just(requests), Just(period_ns), gaps_ns)
    })
}

proptest! {
    #[test]
    fn who_stays_within_the_limit_in_every_window_is_never_refused(
        (requests, period_ns, gaps_ns) in histories(),
    ) {
        let quota = quota(requests, Duration::from_nanos(period_ns), requests);
        let limiter = roomy();
        let client = limiter.client_of_key(1);
        let mut sent: Vec<u64> = Vec::new();
        let mut now_ns = START_NS;
        for gap_ns in gaps_ns {
            now_ns += gap_ns;
            // Waits where one more would be too many within the period that ends now.
            if let Some(at) = sent.len().checked_sub(requests as usize) {
                now_ns = now_ns.max(sent[at] + period_ns);
            }
            prop_assert!(limiter.decide(client, &quota, now_ns).allowed);
            sent.push(now_ns);
        }
    }

    #[test]
    fn the_rate_over_any_time_is_never_above_the_limit_beyond_one_bucket(
        (requests, period_ns, gaps_ns) in histories(),
        burst in 1_u32..60,
    ) {
        let quota = quota(requests, Duration::from_nanos(period_ns), burst);
        let limiter = roomy();
        let client = limiter.client_of_key(1);
        let mut served: Vec<u64> = Vec::new();
        let mut now_ns = START_NS;
        for gap_ns in gaps_ns {
            now_ns += gap_ns;
            let decision = limiter.decide(client, &quota, now_ns);
            if decision.allowed {
                served.push(now_ns);
                continue;
            }
            // Who waits as told is served, and who comes sooner is not.
            let told_ns = now_ns + u64::try_from(decision.retry_after.as_nanos()).unwrap();
            prop_assert!(!limiter.peek(client, &quota, told_ns - 1).allowed);
            prop_assert!(limiter.peek(client, &quota, told_ns).allowed);
        }
        for (first, since_ns) in served.iter().enumerate() {
            for (last, until_ns) in served.iter().enumerate().skip(first) {
                let earned = u128::from(until_ns - since_ns) * u128::from(requests)
                    / u128::from(period_ns);
                prop_assert!((last - first + 1) as u128 <= u128::from(burst) + earned);
            }
        }
    }
}
