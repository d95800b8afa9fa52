//! Imports of contacts: a slice and its place are one, over every crash; a rehearsal counts like
//! the import and changes nothing.

use autom8_model::RunId;
use autom8_model::contact::{ContactFields, Field};
use autom8_model::contact_import::{
    ContactKey, ImportCounts, ImportRow, ImportRule, OnDuplicate, RowFailure, given_text,
};

use super::Backend;
use super::fixture::{Fixture, is_conflict};
use super::random::Random;
use crate::{ContactFilter, ContactImport, FilePlace, ImportSlice, Write};

const RUN: RunId = RunId(1);

fn row(line: u64, name: &str, phone: &str, email: &str) -> Result<ImportRow, RowFailure> {
    let fields = ContactFields {
        name: given_text(name),
        phone: given_text(phone),
        email: given_text(email),
        tags: Field::Given(vec!["imported".to_owned()]),
        ..ContactFields::default()
    };
    ImportRow::read(line, fields)
}

/// Rows are one byte long here: the place tells their number.
fn slice(from: u64, rows: Vec<Result<ImportRow, RowFailure>>, rule: ImportRule) -> ImportSlice {
    let place = |position: u64| FilePlace {
        position,
        line: position + 1,
    };
    ImportSlice {
        run: RUN,
        rule,
        from: place(from),
        to: place(from + rows.len() as u64),
        rows,
        is_last: false,
    }
}

fn numbered(from: u64, count: u64) -> Vec<Result<ImportRow, RowFailure>> {
    (from..from + count)
        .map(|number| row(number + 1, "Ada", &format!("+4930{number:07}"), ""))
        .collect()
}

fn rule(on_duplicate: OnDuplicate, key: ContactKey) -> ImportRule {
    ImportRule { on_duplicate, key }
}

async fn everything(store: &Fixture<'_>) -> Vec<(i64, String, String, Option<String>)> {
    let filter = ContactFilter {
        limit: 1_000,
        ..ContactFilter::default()
    };
    let page = store.contacts(filter).await.unwrap();
    assert!(page.next.is_none());
    let told = |contact: autom8_model::Contact| {
        (
            contact.id.0,
            contact.name,
            contact.phone.as_str().to_owned(),
            contact.email.map(|email| email.as_str().to_owned()),
        )
    };
    page.contacts.into_iter().map(told).collect()
}

pub(super) async fn a_slice_is_applied_once_and_its_place_survives_a_crash(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    assert_eq!(store.contact_import(RUN).await.unwrap(), None);
    let any = ImportRule::default();
    store
        .import_contacts(slice(0, numbered(0, 10), any))
        .await
        .unwrap();
    store.crash().await;
    let found = store.contact_import(RUN).await.unwrap().unwrap();
    assert_eq!(
        found.place,
        FilePlace {
            position: 10,
            line: 11
        }
    );
    assert_eq!(found.counts.created, 10);
    let again = store.import_contacts(slice(0, numbered(0, 10), any)).await;
    assert!(is_conflict(&again), "{again:?}");
    assert_eq!(store.contact_import(RUN).await.unwrap(), Some(found));
    let went_on = store.import_contacts(slice(10, numbered(10, 5), any)).await;
    assert_eq!(went_on.unwrap().counts.created, 15);
    assert_eq!(everything(&store).await.len(), 15);
    assert_eq!(store.totals().contacts, 15);
}

pub(super) async fn of_two_attempts_at_one_place_one_goes_on(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let any = ImportRule::default();
    store
        .import_contacts(slice(0, numbered(0, 1), any))
        .await
        .unwrap();
    let (one, other) = tokio::join!(
        store.import_contacts(slice(1, numbered(1, 50), any)),
        store.import_contacts(slice(1, numbered(100, 50), any)),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert!(is_conflict(&one) || is_conflict(&other));
    assert_eq!(store.totals().contacts, 51);
}

pub(super) async fn each_rule_does_what_it_says(backend: &dyn Backend) {
    for (on_duplicate, key, counts, name, email) in [
        (
            OnDuplicate::Skip,
            ContactKey::Phone,
            (1, 0, 1, 1),
            "Old",
            None,
        ),
        (
            OnDuplicate::Update,
            ContactKey::Phone,
            (1, 1, 0, 1),
            "New",
            Some("new@example.org"),
        ),
        (
            OnDuplicate::Fail,
            ContactKey::Phone,
            (1, 0, 0, 2),
            "Old",
            None,
        ),
        (
            OnDuplicate::Update,
            ContactKey::Email,
            (1, 1, 0, 1),
            "Old",
            None,
        ),
    ] {
        let store = Fixture::start(backend).await;
        for contact in everything(&store).await {
            let id = autom8_model::ContactId(contact.0);
            store.delete_contact(id, Write::unattended()).await.unwrap();
        }
        let create = |name: &str, phone: &str, email: &str| {
            let draft = row(1, name, phone, email).unwrap().draft.unwrap();
            store.create_contact(draft, Write::unattended())
        };
        let old = create("Old", "555 0100", "").await.unwrap();
        create("Other", "555 0101", "other@example.org")
            .await
            .unwrap();
        let run = RunId(old.id.0);
        let rows = vec![
            row(1, "New", "5550100", "new@example.org"),
            row(2, "Third", "5550102", ""),
            row(3, "Other", "5550101", "OTHER@example.org"),
            row(4, "Fourth", "5550103", "other@example.org"),
        ];
        // By e-mail, what holds the phone is another contact.
        let rows = match key {
            ContactKey::Phone => {
                let mut rows = rows;
                let _ = rows.remove(2);
                rows
            }
            ContactKey::Email => rows.into_iter().take(3).collect(),
        };
        let slice = ImportSlice {
            run,
            ..slice(0, rows, rule(on_duplicate, key))
        };
        let came_to = store.import_contacts(slice).await.unwrap();
        let (created, updated, skipped, failed) = counts;
        let expected = ImportCounts {
            created,
            updated,
            skipped,
            failed,
        };
        assert_eq!(
            came_to.counts, expected,
            "{on_duplicate:?} {key:?}: {came_to:?}"
        );
        let is = store.contact(old.id).await.unwrap().unwrap();
        assert_eq!(is.name, name, "{on_duplicate:?} {key:?}");
        assert_eq!(
            is.email.map(|email| email.as_str().to_owned()).as_deref(),
            email
        );
        store.close().await;
    }
}

pub(super) async fn failures_are_told_with_their_slice_until_the_next(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let any = rule(OnDuplicate::Fail, ContactKey::Phone);
    let first = vec![
        row(1, "Ada", "5550100", ""),
        row(2, "", "", ""),
        row(3, "Ada", "555 0100", ""),
    ];
    let after = store.import_contacts(slice(0, first, any)).await.unwrap();
    assert_eq!((after.counts.failed, after.failures_bytes), (2, 0));
    let told: Vec<RowFailure> = after
        .last_failures
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((told[0].line, told[0].field.as_deref()), (2, Some("name")));
    assert_eq!((told[1].line, told[1].field.as_deref()), (3, Some("phone")));
    store.crash().await;
    assert_eq!(
        store.contact_import(RUN).await.unwrap().as_ref(),
        Some(&after)
    );
    let next = store
        .import_contacts(slice(3, numbered(3, 1), any))
        .await
        .unwrap();
    assert_eq!(next.failures_bytes, after.last_failures.len() as u64);
    assert_eq!(next.last_failures, "");
}

pub(super) async fn a_rehearsal_counts_like_the_import_and_changes_nothing(backend: &dyn Backend) {
    let seed = Random::fresh_seed();
    let mut random = Random::seeded(seed);
    let scratch = backend.backup_directory().with_extension("rehearsal");
    let mut run = 0;
    let store = Fixture::start(backend).await;
    for on_duplicate in OnDuplicate::ALL {
        for key in ContactKey::ALL {
            run += 1;
            // Few keys, so that rows meet each other and what is there.
            let rows: Vec<_> = (1..=120)
                .map(|line| {
                    let pick = |random: &mut Random, among: usize| random.below(among);
                    let name = ["", "Ada", "Grace", "Edsger"][pick(&mut random, 4)];
                    let phone = format!("+49301{:06}", pick(&mut random, 30));
                    let email = match pick(&mut random, 30) {
                        0..10 => String::new(),
                        number => format!("p{number}@example.org"),
                    };
                    let phone = if pick(&mut random, 10) == 0 {
                        ""
                    } else {
                        &phone
                    };
                    row(line, name, phone, &email)
                })
                .collect();
            let before = everything(&store).await;
            let mut rehearsal = store.rehearse_import(&scratch).await.unwrap();
            let mut rehearsed = ContactImport::default();
            let mut imported = ContactImport::default();
            let mut real = Vec::new();
            for (number, part) in rows.chunks(50).enumerate() {
                let part = ImportSlice {
                    run: RunId(run),
                    ..slice(number as u64 * 50, part.to_vec(), rule(on_duplicate, key))
                };
                rehearsed = rehearsal.apply(part.clone()).await.unwrap();
                real.push(part);
            }
            assert_eq!(everything(&store).await, before);
            drop(rehearsal);
            assert!(!scratch.exists());
            for part in real {
                imported = store.import_contacts(part).await.unwrap();
            }
            assert_eq!(
                rehearsed.counts, imported.counts,
                "{on_duplicate:?} {key:?}, seed {seed}"
            );
            assert_eq!(rehearsed.counts.rows(), 120);
        }
    }
}

pub(super) async fn an_import_is_forgotten_with_its_run(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(super::fixture::slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let slice = ImportSlice {
        run,
        ..slice(0, numbered(0, 3), ImportRule::default())
    };
    store.import_contacts(slice).await.unwrap();
    store.settle(&lease, super::fixture::COMPLETED).await;
    let policy = crate::RetentionPolicy {
        age_max: std::time::Duration::from_secs(86_400),
        runs_max: 1_000_000,
        bytes_max: 1 << 40,
        audit_age_max: std::time::Duration::from_secs(86_400),
    };
    store.apply_retention(policy.clone()).await.unwrap();
    assert!(store.contact_import(run).await.unwrap().is_some());
    for _ in 0..4 {
        store.advance(86_400);
        store.enqueue_one("a", "1").await;
        let lease = store.claim_one().await;
        store.settle(&lease, super::fixture::COMPLETED).await;
        store.apply_retention(policy.clone()).await.unwrap();
    }
    assert_eq!(store.run(run).await.unwrap().map(|run| run.id), None);
    assert_eq!(store.contact_import(run).await.unwrap(), None);
    assert_eq!(store.totals().contacts, 3, "the contacts stay");
}
