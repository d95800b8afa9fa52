//! Contacts: what is unique stays so, what is counted is exact, and no id is given twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use autom8_model::contact::{Email, Phone};
use autom8_model::{Contact, ContactId, ContactPatch, limits};

use super::Backend;
use super::fixture::{
    Fixture, answer, answer_key, draft, draft_of, is_not_found, is_sent, json, patch_of, repeatable,
};
use crate::{ContactFilter, Result, Store, StoreError, Write};

fn phone(text: &str) -> Phone {
    text.parse().unwrap()
}

fn email(text: &str) -> Email {
    text.parse().unwrap()
}

async fn change(store: &Fixture<'_>, id: ContactId, json: &str) -> Result<Contact> {
    store
        .update_contact(id, patch_of(json), Write::unattended())
        .await
}

async fn remove(store: &Fixture<'_>, id: ContactId) -> Result<()> {
    store.delete_contact(id, Write::unattended()).await
}

async fn with_tag(store: &Fixture<'_>, tag: &str) -> Vec<ContactId> {
    let filter = ContactFilter {
        tag: Some(tag.to_owned()),
        limit: 100,
        ..ContactFilter::default()
    };
    let page = store.contacts(filter).await.unwrap();
    page.contacts.iter().map(|contact| contact.id).collect()
}

fn holder<T: std::fmt::Debug>(answer: Result<T>) -> (&'static str, ContactId) {
    match answer {
        Err(StoreError::Duplicate { field, existing }) => (field, existing),
        other => panic!("not a duplicate: {other:?}"),
    }
}

pub(super) async fn a_contact_is_read_back_as_it_was_given_by_id_phone_and_email(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    let full = store.add(draft(1)).await;
    let bare = store
        .add(draft_of(r#"{"name":"Zoë","phone":"030/123-45-67"}"#))
        .await;
    assert_eq!(
        (full.created_at, full.updated_at),
        (store.now(), store.now())
    );
    assert!(json(&full).contains(
        r#""name":"Contact 1","phone":"+49 30 0000001","email":"Contact.1@Example.org","tags":["all","tag-1"],"attributes":{"number":1}"#
    ));
    assert!(
        json(&bare).contains(r#""phone":"030/123-45-67","email":null,"tags":[],"attributes":{}"#)
    );
    for _ in 0..2 {
        for contact in [&full, &bare] {
            let expected = Some(json(contact));
            assert_eq!(store.told(contact.id).await, expected);
            let found = store.contact_by_phone(&contact.phone).await.unwrap();
            assert_eq!(found.as_ref().map(json), expected);
        }
        // However they are written.
        for (text, expected) in [("+49-(30)-0000001", full.id), ("030 1234567", bare.id)] {
            let found = store.contact_by_phone(&phone(text)).await.unwrap();
            assert_eq!(found.map(|contact| contact.id), Some(expected), "{text}");
        }
        let found = store
            .contact_by_email(&email("CONTACT.1@example.ORG"))
            .await;
        assert_eq!(found.unwrap().map(|contact| contact.id), Some(full.id));
        for text in ["49300000001", "+490301234567"] {
            assert!(
                store
                    .contact_by_phone(&phone(text))
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        let unknown = email("contact@example.org");
        assert!(store.contact_by_email(&unknown).await.unwrap().is_none());
        assert_eq!(store.told(ContactId(999)).await, None);
        store.restart().await;
    }
}

pub(super) async fn a_taken_phone_or_email_is_refused_naming_the_field_and_the_holder(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    let ada = store.add(draft(1)).await;
    let bob = store.add(draft(2)).await;
    let phone_taken = draft_of(r#"{"name":"C","phone":"+49-30-0000001"}"#);
    let email_taken = draft_of(r#"{"name":"C","phone":"1234567","email":"contact.2@EXAMPLE.org"}"#);
    let both = draft_of(r#"{"name":"C","phone":"+49300000001","email":"contact.2@example.org"}"#);
    for (draft, expected) in [
        (phone_taken, ("phone", ada.id)),
        (email_taken, ("email", bob.id)),
        (both, ("phone", ada.id)),
    ] {
        let refused = store
            .create_contact(draft.clone(), Write::unattended())
            .await;
        assert_eq!(holder(refused), expected);
        let refused = store
            .create_contacts(vec![draft], Write::unattended())
            .await
            .unwrap()
            .remove(0);
        assert_eq!(holder(refused), expected);
    }
    let refused = change(&store, bob.id, r#"{"name":"X","phone":"+49300000001"}"#).await;
    assert_eq!(holder(refused), ("phone", ada.id));
    let refused = change(
        &store,
        ada.id,
        r#"{"tags":["x"],"email":"CONTACT.2@example.org"}"#,
    )
    .await;
    assert_eq!(holder(refused), ("email", bob.id));
    // Nothing of what was refused is there.
    for contact in [&ada, &bob] {
        assert_eq!(store.told(contact.id).await, Some(json(contact)));
    }
    assert!(with_tag(&store, "x").await.is_empty());
    assert_eq!(store.totals().contacts, 2);
    // Its own it may keep, written in another way.
    let kept = change(
        &store,
        ada.id,
        r#"{"phone":"+4930 0000001","email":"contact.1@example.org"}"#,
    );
    let kept = kept.await.unwrap();
    assert_eq!(kept.phone.as_str(), "+4930 0000001");
    // No two contacts without an e-mail are in each other's way.
    for contact in [&ada, &bob] {
        change(&store, contact.id, r#"{"email":null}"#)
            .await
            .unwrap();
    }
    store
        .add(draft_of(
            r#"{"name":"C","phone":"1234567","email":"contact.2@example.org"}"#,
        ))
        .await;
}

pub(super) async fn of_two_who_take_one_phone_at_once_one_gets_it(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for round in 0..10 {
        let tries = (0..4).map(|_| {
            let inner = Arc::clone(&store.store);
            tokio::spawn(async move {
                inner
                    .create_contact(draft(round), Write::unattended())
                    .await
            })
        });
        let mut made = Vec::new();
        let mut refused = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            match answer(one).await.unwrap() {
                Ok(contact) => made.push(contact.id),
                refusal => refused.push(holder(refusal)),
            }
        }
        assert_eq!(made.len(), 1);
        assert_eq!(refused, vec![("phone", made[0]); 3]);
        assert_eq!(store.totals().contacts, round as u64 + 1);
    }
}

pub(super) async fn an_update_keeps_what_it_leaves_out_and_takes_away_what_is_null(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    let before = store.add(draft(1)).await;
    store.advance(5);
    let changed = change(&store, before.id, r#"{"name":"Ada"}"#)
        .await
        .unwrap();
    let expected = Contact {
        name: "Ada".to_owned(),
        updated_at: store.now(),
        ..before.clone()
    };
    assert_eq!(json(&changed), json(&expected));
    assert_eq!(store.told(before.id).await, Some(json(&expected)));
    let merged = r#"{"attributes":{"number":null,"city":"London"},"email":null,"tags":null}"#;
    let changed = change(&store, before.id, merged).await.unwrap();
    assert_eq!(changed.attributes.get(), r#"{"city":"London"}"#);
    assert_eq!((changed.email.is_none(), changed.tags.len()), (true, 0));
    assert_eq!(store.told(before.id).await, Some(json(&changed)));
    let freed = email("contact.1@example.org");
    assert!(store.contact_by_email(&freed).await.unwrap().is_none());
    let fields = serde_json::from_str(r#"{"attributes":{"a":1}}"#).unwrap();
    let put = ContactPatch::new(fields, false).unwrap();
    let changed = store
        .update_contact(before.id, put, Write::unattended())
        .await
        .unwrap();
    assert_eq!(changed.attributes.get(), r#"{"a":1}"#);

    // Each is small enough, together they are not.
    let text = "x".repeat(limits::ATTRIBUTES_BYTES_MAX - 20);
    let first = format!(r#"{{"attributes":{{"b":"{text}"}}}}"#);
    let told = json(&change(&store, before.id, &first).await.unwrap());
    let second = format!(r#"{{"name":"Bob","attributes":{{"c":"{text}"}}}}"#);
    let refused = change(&store, before.id, &second).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid(fault)) if fault.path == "/attributes"),
        "{refused:?}"
    );
    assert_eq!(store.told(before.id).await, Some(told));

    let unknown = ContactId(before.id.0 + 1);
    assert!(is_not_found(&change(&store, unknown, "{}").await));
    assert!(is_not_found(&remove(&store, unknown).await));
}

pub(super) async fn the_tags_that_find_a_contact_follow_its_changes(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let one = store.add(draft(1)).await.id;
    let two = store.add(draft(2)).await.id;
    assert_eq!(with_tag(&store, "all").await, [one, two]);
    assert_eq!(with_tag(&store, "tag-1").await, [one]);
    change(&store, one, r#"{"tags":["tag-2","new","ünï 100%_"]}"#)
        .await
        .unwrap();
    store.crash().await;
    assert_eq!(with_tag(&store, "all").await, [two]);
    assert!(with_tag(&store, "tag-1").await.is_empty());
    assert_eq!(with_tag(&store, "tag-2").await, [one, two]);
    assert_eq!(with_tag(&store, "ünï 100%_").await, [one]);
    for other in ["New", "ne", "tag-%", "", "new,tag-2"] {
        assert!(
            with_tag(&store, other).await.is_empty(),
            "{other}: tags are compared as they are"
        );
    }
    remove(&store, two).await.unwrap();
    assert_eq!(with_tag(&store, "tag-2").await, [one]);
    change(&store, one, r#"{"tags":[]}"#).await.unwrap();
    assert!(with_tag(&store, "new").await.is_empty());
    // What is left of nobody is in nobody's way.
    let three = store.add(draft(3)).await.id;
    assert_eq!(with_tag(&store, "tag-0").await, [three]);
}

pub(super) async fn a_deleted_contact_frees_its_phone_and_email_but_not_its_id(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    let mut given = HashSet::new();
    for round in 0..6 {
        let contact = store.add(draft(1)).await;
        assert!(given.insert(contact.id), "{} was given before", contact.id);
        assert!(given.iter().all(|id| *id <= contact.id), "ids rise");
        remove(&store, contact.id).await.unwrap();
        assert_eq!(store.told(contact.id).await, None);
        assert!(
            store
                .contact_by_phone(&contact.phone)
                .await
                .unwrap()
                .is_none()
        );
        assert!(is_not_found(&remove(&store, contact.id).await));
        assert!(is_not_found(&change(&store, contact.id, "{}").await));
        assert_eq!(store.totals().contacts, 0);
        match round % 3 {
            0 => store.restart().await,
            1 => store.crash().await,
            _ => {}
        }
    }
}

pub(super) async fn times_of_creation_follow_the_ids_when_the_clock_steps_back(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    let first = store.add(draft(1)).await;
    store.advance(60);
    let second = store.add(draft(2)).await;
    store
        .clock
        .step_wall(first.created_at.minus(Duration::from_secs(3_600)));
    let third = store.add(draft(3)).await;
    store.restart().await;
    let fourth = store.add(draft(4)).await;
    let changed = change(&store, second.id, r#"{"name":"Ada"}"#)
        .await
        .unwrap();
    assert!(
        changed.updated_at >= second.updated_at,
        "a change is never before the last"
    );
    let times = [&first, &second, &third, &fourth].map(|contact| (contact.id, contact.created_at));
    assert!(
        times.is_sorted_by_key(|(id, _)| *id) && times.is_sorted_by_key(|(_, at)| *at),
        "{times:?}"
    );
    store
        .clock
        .step_wall(second.created_at.plus(Duration::from_secs(60)));
    assert_eq!(store.add(draft(5)).await.created_at, store.now());
}

pub(super) async fn the_number_of_contacts_is_exact(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    for number in 0..5 {
        store.add(draft(number)).await;
    }
    let batch = (3..9).map(draft).collect();
    store
        .create_contacts(batch, Write::unattended())
        .await
        .unwrap();
    assert_eq!(store.totals().contacts, 9);
    store.crash().await;
    assert_eq!(store.totals().contacts, 9);
    for id in [2, 4, 999] {
        let _ = remove(&store, ContactId(id)).await;
    }
    assert_eq!(store.totals().contacts, 7);
    // One that is refused after its insert: its idempotency key is taken.
    store
        .create_contact(draft(20), repeatable(1))
        .await
        .unwrap();
    store
        .create_contact(draft(21), repeatable(1))
        .await
        .unwrap_err();
    let batch = (22..25).map(draft).collect();
    store
        .create_contacts(batch, repeatable(1))
        .await
        .unwrap_err();
    assert_eq!(store.totals().contacts, 8);
    store.restart().await;
    assert_eq!(store.totals().contacts, 8);
}

pub(super) async fn a_batch_answers_for_each_of_its_items(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let held = store.add(draft(3)).await;
    let mut drafts: Vec<_> = (0..1_200).map(draft).collect();
    drafts.push(draft(7));
    drafts.push(draft(1_201));
    let answers = store
        .create_contacts(drafts.clone(), Write::unattended())
        .await
        .unwrap();
    assert_eq!(answers.len(), drafts.len());
    let mut last = held.id;
    for (place, (given, answer)) in drafts.iter().zip(answers.clone()).enumerate() {
        match place {
            3 => assert_eq!(holder(answer), ("phone", held.id)),
            // Of two in one batch the first has it.
            1_200 => assert_eq!(holder(answer), ("phone", *answers[7].as_ref().unwrap())),
            _ => {
                let id = answer.unwrap();
                assert!(id > last, "in the order given");
                last = id;
                let found = store.contact(id).await.unwrap().expect("it is there");
                assert_eq!(found.phone.key(), given.phone.key());
            }
        }
    }
    assert_eq!(store.totals().contacts, 1_201);
    assert!(
        store
            .create_contacts(vec![], Write::unattended())
            .await
            .unwrap()
            .is_empty()
    );
}

/// Without a key a batch is written in slices: a crash keeps a beginning of it, and a small write
/// need not wait for all of it.
pub(super) async fn a_batch_is_written_in_slices_and_a_small_write_goes_between(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    let held = backend.gate().hold();
    let inner = Arc::clone(&store.store);
    let batch = tokio::spawn(async move {
        let drafts = (0..4_000).map(draft).collect();
        inner.create_contacts(drafts, Write::unattended()).await
    });
    assert!(held.arrived().await);
    assert!(held.step().await, "the first slice is not the last");
    let single = {
        let mut small = store.create_contact(draft(9_999), Write::unattended());
        assert!(is_sent(&mut small).await);
        // The slice that stands at the gate, then the group of the small write.
        assert!(held.step().await && held.step().await, "the batch goes on");
        answer(small).await.unwrap()
    };
    assert!(!batch.is_finished());
    store.crash().await;
    drop(held);
    let there = store.totals().contacts;
    assert!((500..4_000).contains(&there), "{there}");
    assert_eq!(store.told(single.id).await, Some(json(&single)));
    let mut gone = 0;
    for number in 0..4_000 {
        let found = store.contact_by_phone(&draft(number).phone).await.unwrap();
        gone += u64::from(found.is_none());
        assert!(
            found.is_none() || gone == 0,
            "{number}: the beginning of the batch is kept"
        );
    }
    assert_eq!(there - 1, 4_000 - gone);
    drop(batch);
}

pub(super) async fn a_batch_under_an_idempotency_key_is_there_whole_or_not_at_all(
    backend: &dyn Backend,
) {
    const COUNT: u64 = 2_500;
    let mut store = Fixture::start(backend).await;
    for (key, committed) in [(0, false), (1, true)] {
        let before = store.totals().contacts;
        let held = backend.gate().hold();
        let inner = Arc::clone(&store.store);
        let batch = tokio::spawn(async move {
            let drafts = (0..COUNT as usize).map(draft).collect();
            inner.create_contacts(drafts, repeatable(key)).await
        });
        assert!(held.arrived().await);
        if committed {
            // A second group would stand at the gate, and no answer come.
            held.step().await;
            answer(batch).await.unwrap().unwrap();
        }
        store.crash().await;
        drop(held);
        let made = store.totals().contacts - before;
        let kept = store.remembered_answer(&answer_key(key)).await.unwrap();
        let expected = if committed { (COUNT, true) } else { (0, false) };
        assert_eq!((made, kept.is_some()), expected);
    }
}

pub(super) async fn a_stamp_moves_between_the_commit_and_the_answer(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let contact = store.add(draft(1)).await;
    let stamps = |store: &Fixture<'_>| (store.contact_stamp(contact.id), store.contacts_stamp());
    let mut before = stamps(&store);
    for round in 0..3 {
        let gate = backend.gate();
        let held = gate.hold();
        let inner = Arc::clone(&store.store);
        let write = tokio::spawn(async move {
            match round {
                0 => inner
                    .update_contact(
                        contact.id,
                        patch_of(r#"{"name":"Ada"}"#),
                        Write::unattended(),
                    )
                    .await
                    .map(|_| ()),
                1 => inner.delete_contact(contact.id, Write::unattended()).await,
                _ => {
                    let batch = vec![draft(1), draft(2)];
                    inner
                        .create_contacts(batch, Write::unattended())
                        .await
                        .map(|_| ())
                }
            }
        });
        assert!(held.arrived().await);
        assert_eq!(stamps(&store), before, "nothing is committed yet");
        drop(held);
        answer(write).await.unwrap().unwrap();
        let after = stamps(&store);
        assert_ne!(after.1, before.1);
        if round < 2 {
            assert_ne!(after.0, before.0);
        }
        before = after;
    }
    let refused = store.create_contact(draft(1), Write::unattended()).await;
    holder(refused);
    let page = store
        .contacts(ContactFilter {
            limit: 10,
            ..ContactFilter::default()
        })
        .await;
    assert_eq!(page.unwrap().contacts.len(), 2);
}

/// Readers keep what they read as long as its stamp stays. Whatever they have kept is never older
/// than a change that somebody has been answered.
pub(super) async fn what_is_kept_under_a_stamp_is_never_stale(backend: &dyn Backend) {
    const CHANGES: u64 = 300;
    let store = Fixture::start(backend).await;
    let id = store.add(draft(1)).await.id;
    let answered = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (inner, answered) = (Arc::clone(&store.store), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut kept: Option<(u64, u64)> = None;
                let mut hits = 0_u64;
                loop {
                    let floor = answered.load(Ordering::SeqCst);
                    let stamp = inner.contact_stamp(id);
                    let number = match kept {
                        Some((under, number)) if under == stamp => {
                            hits += 1;
                            number
                        }
                        _ => number_of(&*inner, id).await,
                    };
                    kept = Some((stamp, number));
                    assert!(
                        number >= floor,
                        "{number} was kept after {floor} was answered"
                    );
                    if floor == CHANGES && hits > 0 {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 1..=CHANGES {
        let patch = patch_of(&format!(r#"{{"attributes":{{"number":{number}}}}}"#));
        store
            .update_contact(id, patch, Write::unattended())
            .await
            .unwrap();
        answered.store(number, Ordering::SeqCst);
    }
    for reader in readers {
        answer(reader).await.unwrap();
    }
}

async fn number_of(store: &dyn Store, id: ContactId) -> u64 {
    let contact = store.contact(id).await.unwrap().expect("it is there");
    let attributes: serde_json::Value = serde_json::from_str(contact.attributes.get()).unwrap();
    attributes["number"].as_u64().unwrap()
}
