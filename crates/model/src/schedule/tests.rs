use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seconds(n: i64) -> Timestamp {
    Timestamp::from_seconds(n)
}

fn schedule(json: &str) -> Schedule {
    serde_json::from_str(json).unwrap()
}

fn decide(schedule: &Schedule, anchor: i64, through: i64, now: i64, catch_up: CatchUp) -> Due {
    let limits = CatchUpLimits::default();
    due(
        schedule,
        seconds(anchor),
        seconds(through),
        seconds(now),
        catch_up,
        &limits,
    )
}

fn span(first: i64, last: i64, count: u64) -> FireSpan {
    FireSpan {
        first: seconds(first),
        last: seconds(last),
        count,
        count_exact: true,
    }
}

fn runs(due: &Due) -> Vec<i64> {
    due.fires
        .iter()
        .filter(|fire| fire.outcome == FireOutcome::Run)
        .map(|fire| fire.planned_at.as_seconds())
        .collect()
}

#[test]
fn json_is_read_and_written_back() {
    let cases = [
        (
            r#"{"cron":"0 2 * * *"}"#,
            r#"{"cron":"0 2 * * *","timezone":"UTC"}"#,
        ),
        (
            r#"{"cron":"@daily","timezone":"europe/berlin"}"#,
            r#"{"cron":"@daily","timezone":"Europe/Berlin"}"#,
        ),
        (r#"{"every":"2s"}"#, r#"{"every":"2s"}"#),
        (r#"{"every":"366d"}"#, r#"{"every":"366d"}"#),
        (
            r#"{"at":"2026-12-24T19:00:00+01:00"}"#,
            r#"{"at":"2026-12-24T18:00:00Z"}"#,
        ),
    ];
    for (read, written) in cases {
        let schedule = schedule(read);
        assert_eq!(serde_json::to_string(&schedule).unwrap(), written);
        assert_eq!(serde_json::from_str::<Schedule>(written).unwrap(), schedule);
    }
}

#[test]
fn a_refusal_names_the_fix() {
    let cases = [
        (
            r#"{}"#,
            "exactly one of `cron`, `every` and `at`; this names none",
        ),
        (
            r#"{"every":"2s","at":"2026-12-24T18:00:00Z"}"#,
            "this names several",
        ),
        (
            r#"{"every":"2s","timezone":"UTC"}"#,
            "`timezone` belongs to `cron`",
        ),
        (
            r#"{"every":"500ms"}"#,
            "every 500ms is too often: write 1s or more",
        ),
        (r#"{"every":"0s"}"#, "every 0s is too often"),
        (
            r#"{"every":"367d"}"#,
            "every 367d is too seldom: write 366d or less",
        ),
        (r#"{"every":"1s1ns"}"#, "finer than a microsecond"),
        (r#"{"every":5}"#, "a duration as text with its unit"),
        (r#"{"cron":"0 2 * *"}"#, "there are 4 fields, not five"),
        (
            r#"{"corn":"0 2 * * *"}"#,
            "unknown field `corn`, expected one of `cron`",
        ),
        (r#"{"at":"tomorrow"}"#, "is not a time: write RFC 3339"),
        (r#""@daily""#, "an object with `cron`, `every` or `at`"),
        (
            r#"{"cron":"@daily","timezone":"Berlin"}"#,
            "`Berlin` is not a time zone; did you mean Europe/Berlin?",
        ),
        (
            r#"{"cron":"@daily","timezone":"Europe/Berln"}"#,
            "did you mean Europe/Berlin?",
        ),
        (
            r#"{"cron":"@daily","timezone":"America/New York"}"#,
            "America/New_York",
        ),
        (
            r#"{"cron":"@daily","timezone":"+02:00"}"#,
            "use an IANA name such as",
        ),
        (
            r#"{"cron":"@daily","timezone":"Etc/Unknown"}"#,
            "is not a time zone",
        ),
        (r#"{"cron":"@daily","timezone":""}"#, "is not a time zone"),
    ];
    for (json, expected) in cases {
        let message = serde_json::from_str::<Schedule>(json)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{json}: {message}");
    }
}

#[test]
fn triggers_are_told_in_one_line() {
    let cases = [
        (
            r#"{"cron":"0 2 * * *","timezone":"Europe/Berlin"}"#,
            "cron 0 2 * * * Europe/Berlin",
        ),
        (r#"{"every":"90s"}"#, "every 1m30s"),
        (
            r#"{"at":"2026-12-24T18:00:00Z"}"#,
            "at 2026-12-24T18:00:00Z",
        ),
    ];
    for (json, text) in cases {
        assert_eq!(schedule(json).trigger_text(), text);
    }
    let monday = schedule(r#"{"cron":"0 9 * * mon"}"#);
    assert_eq!(monday.describe(), "Mondays at 09:00 (UTC)");
}

#[test]
fn intervals_keep_to_their_anchor() {
    let every = schedule(r#"{"every":"10s"}"#);
    for (after, next) in [
        (-50, 3),
        (2, 3),
        (3, 13),
        (12, 13),
        (13, 23),
        (1_000, 1_003),
    ] {
        let fire = every.next_after(seconds(after), seconds(3)).unwrap();
        assert_eq!(
            fire,
            Fire {
                at: seconds(next),
                dst: None
            },
            "after {after}"
        );
    }
    assert_eq!(every.next_after(Timestamp::MAX, seconds(3)), None);
}

#[test]
fn a_preview_tells_clock_changes() {
    let daily = schedule(r#"{"cron":"30 2 * * *","timezone":"America/New_York"}"#);
    let preview = daily.preview(at("2026-03-07T12:00:00Z"), seconds(0), 2);
    assert_eq!(
        serde_json::to_string(&preview).unwrap(),
        r#"[{"at":"2026-03-08T07:00:00Z","dst":"gap"},{"at":"2026-03-09T06:30:00Z","dst":null}]"#
    );
    let once = schedule(r#"{"at":"2026-12-24T18:00:00Z"}"#);
    assert_eq!(once.preview(seconds(0), seconds(0), 5).len(), 1);
    assert_eq!(once.preview(at("2026-12-24T18:00:00Z"), seconds(0), 5), []);
}

#[test]
fn on_time_every_policy_runs_the_one_fire() {
    let every = schedule(r#"{"every":"10s"}"#);
    for catch_up in [CatchUp::Latest, CatchUp::None, CatchUp::All] {
        let early = decide(&every, 0, 20, 29, catch_up);
        assert_eq!((early.fires.len(), early.fired_through), (0, seconds(20)));
        assert_eq!(early.next.unwrap().at, seconds(30));
        let due = decide(&every, 0, 20, 31, catch_up);
        assert_eq!(runs(&due), [30], "{catch_up:?}");
        assert_eq!((due.fires.len(), due.fired_through), (1, seconds(30)));
        assert_eq!(due.next.unwrap().at, seconds(40));
        // Asking again with the answer stored: nothing.
        assert_eq!(decide(&every, 0, 30, 31, catch_up).fires, []);
    }
}

#[test]
fn latest_coalesces_the_older_fires() {
    let every = schedule(r#"{"every":"10s"}"#);
    let due = decide(&every, 0, 0, 1_005, CatchUp::Latest);
    let coalesced = PlannedFire {
        planned_at: seconds(990),
        outcome: FireOutcome::Coalesced(span(10, 990, 99)),
    };
    let run = PlannedFire {
        planned_at: seconds(1_000),
        outcome: FireOutcome::Run,
    };
    assert_eq!(due.fires, [coalesced, run]);
    assert_eq!(due.fired_through, seconds(1_000));
}

#[test]
fn none_runs_only_what_lies_within_the_grace() {
    let every = schedule(r#"{"every":"30s"}"#);
    let due = decide(&every, 0, 0, 600, CatchUp::None);
    // 540 is exactly 60 s old and still on time.
    assert_eq!(runs(&due), [540, 570, 600]);
    assert_eq!(due.fires[0].outcome, FireOutcome::Missed(span(30, 510, 17)));

    let daily = schedule(r#"{"cron":"@daily"}"#);
    let due = decide(&daily, 0, 0, 3 * 86_400 + 61, CatchUp::None);
    assert_eq!(runs(&due), [] as [i64; 0]);
    assert_eq!(
        due.fires[0].outcome,
        FireOutcome::Missed(span(86_400, 259_200, 3))
    );
    assert_eq!(due.fired_through, seconds(259_200));
}

#[test]
fn all_runs_each_fire_up_to_its_limit() {
    let every = schedule(r#"{"every":"2s"}"#);
    let due = decide(&every, 0, 0, 20, CatchUp::All);
    assert_eq!(runs(&due), (1..=10).map(|n| n * 2).collect::<Vec<_>>());
    let due = decide(&every, 0, 0, 4_000, CatchUp::All);
    assert_eq!(
        due.fires[0].outcome,
        FireOutcome::Missed(span(2, 2_000, 1_000))
    );
    assert_eq!(
        runs(&due),
        (1_001..=2_000).map(|n| n * 2).collect::<Vec<_>>()
    );
    let limits = CatchUpLimits {
        runs_max: 0,
        ..CatchUpLimits::default()
    };
    let due = super::due(
        &every,
        seconds(0),
        seconds(0),
        seconds(6),
        CatchUp::All,
        &limits,
    );
    assert_eq!(due.fires[0].outcome, FireOutcome::Missed(span(2, 6, 3)));
    assert_eq!(due.fired_through, seconds(6));
}

#[test]
fn a_long_downtime_is_counted_not_walked() {
    let year = 365 * 86_400;
    let every = decide(
        &schedule(r#"{"every":"1s"}"#),
        0,
        0,
        50 * year,
        CatchUp::Latest,
    );
    let seconds_down = 50 * year;
    let expected = span(1, seconds_down - 1, seconds_down as u64 - 1);
    assert_eq!(every.fires[0].outcome, FireOutcome::Coalesced(expected));

    let minutely = schedule(r#"{"cron":"* * * * *","timezone":"Europe/Berlin"}"#);
    let from = at("2026-01-01T00:00:00Z");
    let now = at("2027-01-01T00:00:30Z");
    let limits = CatchUpLimits::default();
    let due = super::due(&minutely, from, from, now, CatchUp::Latest, &limits);
    let FireOutcome::Coalesced(span) = due.fires[0].outcome else {
        panic!("{due:?}")
    };
    assert_eq!((span.count, span.count_exact), (365 * 1_440 - 1, true));
    assert_eq!(span.last, at("2026-12-31T23:59:00Z"));
    assert_eq!(due.fired_through, at("2027-01-01T00:00:00Z"));
}

#[test]
fn a_single_time_is_decided_once() {
    let once = schedule(r#"{"at":"1970-01-01T01:00:00Z"}"#);
    for (catch_up, outcome) in [
        (CatchUp::Latest, FireOutcome::Run),
        (CatchUp::All, FireOutcome::Run),
        (CatchUp::None, FireOutcome::Missed(span(3_600, 3_600, 1))),
    ] {
        let due = decide(&once, 0, 0, 90_000, catch_up);
        assert_eq!(
            due.fires,
            [PlannedFire {
                planned_at: seconds(3_600),
                outcome
            }]
        );
        assert_eq!((due.fired_through, due.next), (seconds(3_600), None));
        assert_eq!(decide(&once, 0, 3_600, 90_000, catch_up).fires, []);
    }
}

#[test]
fn a_clock_that_went_back_fires_nothing_twice() {
    let every = schedule(r#"{"every":"10s"}"#);
    let due = decide(&every, 0, 1_000, 500, CatchUp::All);
    assert_eq!((due.fires.len(), due.fired_through), (0, seconds(1_000)));
    assert_eq!(due.next.unwrap().at, seconds(1_010));
}

proptest::proptest! {
    /// However often the scheduler looks, each planned time is settled exactly once, in order.
    #[test]
    fn looking_often_or_seldom_settles_the_same_fires(
        every in 1_i64..500,
        anchor in 0_i64..1_000,
        steps in proptest::collection::vec(0_i64..2_000, 1..20),
        policy in 0..3,
    ) {
        let schedule = Schedule::every(Duration::from_secs(every as u64)).unwrap();
        let catch_up = [CatchUp::Latest, CatchUp::None, CatchUp::All][policy as usize];
        let (mut through, mut now, mut settled) = (anchor, anchor, 0_u64);
        for step in steps {
            now += step;
            let due = decide(&schedule, anchor, through, now, catch_up);
            for fire in &due.fires {
                proptest::prop_assert!(fire.planned_at > seconds(through));
                through = fire.planned_at.as_seconds();
                settled += match fire.outcome {
                    FireOutcome::Run => 1,
                    FireOutcome::Coalesced(span) | FireOutcome::Missed(span) => span.count,
                };
            }
            proptest::prop_assert_eq!(due.fired_through, seconds(through));
        }
        proptest::prop_assert_eq!(settled, ((now - anchor) / every) as u64);
    }
}
