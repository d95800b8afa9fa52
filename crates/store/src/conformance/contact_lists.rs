//! Lists of contacts: each once in every order and both directions, whatever else goes on, and
//! searches that find what a look at every contact would find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autom8_model::contact::name_key;
use autom8_model::{Contact, ContactDraft, ContactId, limits};

use super::Backend;
use super::fixture::{Fixture, answer, draft, draft_of, json, patch_of};
use super::random::Random;
use crate::{ContactFilter, ContactPosition, ContactSort, ContactSortKey, StoreError, Write};

const SORTS: [ContactSort; 4] = [
    ContactSort::Id,
    ContactSort::Name,
    ContactSort::CreatedAt,
    ContactSort::UpdatedAt,
];

/// Every order, in both directions.
pub(crate) fn orders() -> impl Iterator<Item = ContactFilter> {
    SORTS.into_iter().flat_map(|sort| {
        [false, true].map(|descending| ContactFilter {
            sort,
            descending,
            limit: 10,
            ..ContactFilter::default()
        })
    })
}

/// What a filter shows, all pages together, found by looking at every contact.
pub(crate) fn expected<'a>(
    contacts: impl IntoIterator<Item = &'a Contact>,
    filter: &ContactFilter,
) -> Vec<ContactId> {
    let words = filter
        .query
        .as_deref()
        .map(|text| name_key(text.trim_start()));
    let number: Option<String> = filter.query.as_deref().map(|text| {
        let number: String = text.chars().filter(|c| !" -./()".contains(*c)).collect();
        // The `00` before a country's code is its `+`.
        match number.strip_prefix("00") {
            Some(rest) if !rest.is_empty() && !rest.starts_with('0') => format!("+{rest}"),
            _ => number,
        }
    });
    let is_found = |contact: &&Contact| {
        let Some((words, number)) = words.as_ref().zip(number.as_ref()) else {
            return true;
        };
        let key = contact.phone.key();
        let is_number = number
            .bytes()
            .enumerate()
            .all(|(place, byte)| byte.is_ascii_digit() || (place == 0 && byte == b'+'));
        name_key(&contact.name).starts_with(words)
            || contact
                .email
                .as_ref()
                .is_some_and(|email| email.key().starts_with(words))
            || (is_number
                && !number.is_empty()
                && (key.starts_with(number) || key.trim_start_matches('+').starts_with(number)))
    };
    let is_tagged = |contact: &&Contact| {
        let has = |tag: &str| contact.tags.iter().any(|own| own.as_str() == tag);
        filter.tag.as_deref().is_none_or(has)
    };
    let mut found: Vec<&Contact> = contacts
        .into_iter()
        .filter(is_found)
        .filter(is_tagged)
        .collect();
    found.sort_by_key(|contact| contact.id);
    match filter.sort {
        ContactSort::Id => {}
        ContactSort::Name => found.sort_by_key(|contact| name_key(&contact.name)),
        ContactSort::CreatedAt => found.sort_by_key(|contact| contact.created_at),
        ContactSort::UpdatedAt => found.sort_by_key(|contact| contact.updated_at),
    }
    if filter.descending {
        found.reverse();
    }
    found.iter().map(|contact| contact.id).collect()
}

/// Contacts that are alike in all kinds of ways: short names out of few letters, numbers that begin
/// with each other, and tags that most have or hardly any.
pub(crate) fn any_draft(random: &mut Random, number: usize) -> ContactDraft {
    let names = [
        "a",
        "Ab",
        "AB c",
        "ÄB",
        "äb d",
        "ΟΔΟΣ",
        "οδός",
        "b%",
        "b_",
        "B",
        "+49",
        "49 a",
        "z\u{10ffff}",
    ];
    let starts = ["+49", "49", "+4", "0049", "12"];
    let hosts = ["x.org", "Y.org"];
    let tags = ["often", "rare", "Often", "a", "49"];
    let name = names[random.below(names.len())];
    let start = starts[random.below(starts.len())];
    let own: Vec<&str> = tags
        .into_iter()
        .enumerate()
        .filter(|(place, _)| random.one_in(1 + place * 3))
        .map(|(_, tag)| tag)
        .collect();
    let email = (!random.one_in(3)).then(|| {
        let local = ["a", "AB", "b_", "49"][random.below(4)];
        format!("{local}{number}@{}", hosts[random.below(2)])
    });
    let fields = serde_json::json!({
        "name": name, "phone": format!("{start} {number:06}"), "email": email, "tags": own,
    });
    draft_of(&fields.to_string())
}

pub(crate) fn any_filter(random: &mut Random) -> ContactFilter {
    let queries = [
        "a",
        "A",
        "ab",
        "AB ",
        " ab",
        "ä",
        "ΟΔ",
        "οδοσ",
        "ΟΔΟΣ",
        "b%",
        "b_",
        "%",
        "_",
        "+",
        "+4",
        "4",
        "49",
        "(49)",
        "+49 00",
        "0",
        "00 49-0",
        "12/0",
        "z\u{10ffff}",
        "\u{10ffff}",
        "'",
        "\0",
        "nobody",
        "",
        "  ",
        "a1",
        "AB1",
        "49 a",
    ];
    let tags = ["often", "rare", "Often", "a", "49", "none", ""];
    ContactFilter {
        query: (!random.one_in(4)).then(|| queries[random.below(queries.len())].to_owned()),
        tag: random
            .one_in(2)
            .then(|| tags[random.below(tags.len())].to_owned()),
        sort: SORTS[random.below(4)],
        descending: random.one_in(2),
        limit: 1 + random.below(7),
        ..ContactFilter::default()
    }
}

/// Follows the cursor of a list to its end.
async fn all(store: &Fixture<'_>, mut filter: ContactFilter) -> Vec<Contact> {
    let mut found = Vec::new();
    loop {
        let page = store.contacts(filter.clone()).await.unwrap();
        assert!(page.contacts.len() <= filter.limit);
        found.extend(page.contacts);
        assert!(found.len() < 100_000, "a list has an end");
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return found,
        }
    }
}

fn ids(contacts: &[Contact]) -> Vec<ContactId> {
    contacts.iter().map(|contact| contact.id).collect()
}

pub(super) async fn every_order_shows_each_contact_once_in_both_directions(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let mut known = Vec::new();
    // Many of one name and of one time.
    for number in 0..40 {
        let name = ["bob", "Bob", "ada", "ÉVA", "éva"][number % 5];
        let phone = format!(r#"{{"name":"{name}","phone":"{:07}"}}"#, 1_000_000 - number);
        known.push(store.add(draft_of(&phone)).await);
        if number % 8 == 0 {
            store.advance(1);
        }
    }
    for number in [3, 30, 7] {
        let id = known[number].id;
        let patch = patch_of(r#"{"tags":["changed"]}"#);
        known[number] = store
            .update_contact(id, patch, Write::unattended())
            .await
            .unwrap();
    }
    for order in orders() {
        for limit in [1, 2, 7, 39, 40, 41, 300] {
            let filter = ContactFilter {
                limit,
                ..order.clone()
            };
            let found = all(&store, filter.clone()).await;
            assert_eq!(ids(&found), expected(&known, &filter), "{filter:?}");
            for contact in found {
                let known = known.iter().find(|known| known.id == contact.id);
                assert_eq!(Some(json(&contact)), known.map(json));
            }
        }
    }
}

pub(super) async fn an_offset_leaves_out_so_many(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let mut known = Vec::new();
    for number in 0..30 {
        known.push(store.add(draft(number)).await);
    }
    for order in orders() {
        for (query, tag) in [
            (None, None),
            (Some("contact"), None),
            (None, Some("all")),
            (Some("+49"), Some("tag-1")),
        ] {
            for offset in [0, 1, 9, 10, 29, 30, 31, 1_000] {
                let filter = ContactFilter {
                    query: query.map(str::to_owned),
                    tag: tag.map(str::to_owned),
                    offset,
                    ..order.clone()
                };
                let whole = expected(&known, &filter);
                let rest = &whole[offset.min(whole.len())..];
                let page = store.contacts(filter.clone()).await.unwrap();
                assert_eq!(
                    ids(&page.contacts),
                    rest[..rest.len().min(10)],
                    "{filter:?}"
                );
                assert_eq!(page.next.is_some(), rest.len() > 10, "{filter:?}");
                let Some(next) = page.next else { continue };
                let behind = ContactFilter {
                    after: Some(next),
                    offset: 2,
                    ..filter.clone()
                };
                let page = store.contacts(behind).await.unwrap();
                let rest = &rest[12.min(rest.len())..];
                assert_eq!(
                    ids(&page.contacts),
                    rest[..rest.len().min(10)],
                    "{filter:?}"
                );
            }
        }
    }
}

/// Those that are there all along are shown once each, in order, while others come and go.
pub(super) async fn pages_neither_repeat_nor_lose_a_contact_while_others_come_and_go(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    let mut lasting = Vec::new();
    for number in 0..60 {
        let draft = draft_of(&format!(
            r#"{{"name":"{} n","phone":"{:07}","tags":["lasting"]}}"#,
            char::from(b'a' + (number * 7 % 26) as u8),
            1_000_000 + number
        ));
        lasting.push(store.add(draft).await);
        store.advance(1);
    }
    let over = Arc::new(AtomicBool::new(false));
    let (inner, stop) = (Arc::clone(&store.store), Arc::clone(&over));
    let others = tokio::spawn(async move {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let draft = draft_of(&format!(
                r#"{{"name":"{} m","phone":"{:07}"}}"#,
                char::from(b'a' + (number * 11 % 26) as u8),
                2_000_000 + number
            ));
            let made = inner
                .create_contact(draft, Write::unattended())
                .await
                .unwrap();
            if number % 3 > 0 {
                inner
                    .delete_contact(made.id, Write::unattended())
                    .await
                    .unwrap();
            }
        }
        number
    });
    for order in orders() {
        for limit in [1, 4] {
            let filter = ContactFilter {
                limit,
                ..order.clone()
            };
            // In an order of times what comes in the meantime comes at the end: it has none.
            let mut found = Vec::new();
            let mut pages = filter.clone();
            while found.len() < 10_000 {
                let page = store.contacts(pages.clone()).await.unwrap();
                found.extend(ids(&page.contacts));
                let missing = lasting.iter().any(|one| !found.contains(&one.id));
                let Some(next) = page.next.filter(|_| missing) else {
                    break;
                };
                pages.after = Some(next);
            }
            let once: BTreeSet<_> = found.iter().copied().collect();
            assert_eq!(once.len(), found.len(), "{filter:?}: one was shown twice");
            found.retain(|id| lasting.iter().any(|one| one.id == *id));
            assert_eq!(found, expected(&lasting, &filter), "{filter:?}");
        }
    }
    over.store(true, Ordering::Relaxed);
    assert!(answer(others).await.unwrap() > 0);
}

pub(super) async fn a_page_of_large_contacts_ends_early_and_goes_on(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let filler = "x".repeat(limits::ATTRIBUTES_BYTES_MAX - 100);
    let count = limits::PAGE_BYTES_MAX / limits::ATTRIBUTES_BYTES_MAX + 60;
    for number in 0..count {
        let fields = serde_json::json!({"name": format!("Large {number:04}"), "tags": ["t"],
            "phone": format!("+4420794{number:05}"), "attributes": {"a": filler}});
        store.add(draft_of(&fields.to_string())).await;
    }
    for (query, tag) in [(None, None), (Some("large"), None), (None, Some("t"))] {
        for mut filter in orders() {
            filter.limit = limits::PAGE_MAX;
            filter.query = query.map(str::to_owned);
            filter.tag = tag.map(str::to_owned);
            let page = store.contacts(filter.clone()).await.unwrap();
            let bytes: usize = page
                .contacts
                .iter()
                .map(|one| one.attributes.get().len())
                .sum();
            assert!(bytes < limits::PAGE_BYTES_MAX + limits::ATTRIBUTES_BYTES_MAX);
            assert!(page.contacts.len() > count - 100 && page.contacts.len() < count);
            filter.after = Some(page.next.unwrap());
            let rest = store.contacts(filter).await.unwrap();
            assert_eq!(page.contacts.len() + rest.contacts.len(), count);
            assert_eq!(rest.next, None);
            let seen: BTreeSet<ContactId> = page
                .contacts
                .iter()
                .chain(&rest.contacts)
                .map(|one| one.id)
                .collect();
            assert_eq!(seen.len(), count);
        }
    }
}

pub(super) async fn a_search_finds_what_begins_so(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for (name, phone, email) in [
        ("Ada Lovelace", "+44 20 7946 0018", "ada@Example.org"),
        ("ADAM", "030 1234567", "zoe@example.org"),
        ("Οδυσσεύς", "+30 (21) 1234-567", "o@example.org"),
        ("100% Ltd", "4420000", "100%@example.org"),
    ] {
        let fields = serde_json::json!({"name": name, "phone": phone, "email": email});
        store.add(draft_of(&fields.to_string())).await;
    }
    for (query, expected) in [
        ("ada", vec![1, 2]),
        ("ADA ", vec![1]),
        ("ada@example", vec![1]),
        ("Zoe@EX", vec![2]),
        ("lovelace", vec![]),
        ("ΟΔΥΣ", vec![3]),
        ("ο", vec![3]),
        ("100%", vec![4]),
        ("1%", vec![]),
        ("%", vec![]),
        ("4420", vec![1, 4]),
        ("+44 20", vec![1]),
        ("0044 20", vec![1]),
        ("(44) 20-79", vec![1]),
        ("44x", vec![]),
        ("30", vec![3]),
        ("030", vec![2]),
        ("+", vec![1, 3]),
        ("-", vec![]),
        ("", vec![1, 2, 3, 4]),
        ("   ", vec![1, 2, 3, 4]),
    ] {
        let filter = ContactFilter {
            query: Some(query.to_owned()),
            limit: 3,
            ..ContactFilter::default()
        };
        let found: Vec<i64> = all(&store, filter)
            .await
            .iter()
            .map(|one| one.id.0)
            .collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

pub(super) async fn lists_agree_with_a_look_at_every_contact(backend: &dyn Backend) {
    for seed in [1, 2] {
        agree(backend, seed).await;
    }
}

/// Repeat one with the seed that it printed in `AUTOM8_CONFORMANCE_SEED`.
#[allow(
    clippy::print_stderr,
    reason = "a failure is repeated with the seed it names"
)]
pub(super) async fn fresh_lists_agree_with_a_look_at_every_contact(backend: &dyn Backend) {
    let given = std::env::var("AUTOM8_CONFORMANCE_SEED").ok();
    let seed = given.map_or_else(Random::fresh_seed, |text| text.parse().expect("a number"));
    eprintln!("AUTOM8_CONFORMANCE_SEED={seed}");
    agree(backend, seed).await;
}

async fn agree(backend: &dyn Backend, seed: u64) {
    let mut store = Fixture::start(backend).await;
    let mut random = Random::seeded(seed);
    let mut known: BTreeMap<ContactId, Contact> = BTreeMap::new();
    for contact in all(&store, orders().next().unwrap()).await {
        store
            .delete_contact(contact.id, Write::unattended())
            .await
            .unwrap();
    }
    for number in 0..150 {
        let ids: Vec<ContactId> = known.keys().copied().collect();
        let any = random.pick(&ids).copied();
        match (random.below(20), any) {
            (0..3, Some(id)) => {
                store.delete_contact(id, Write::unattended()).await.unwrap();
                known.remove(&id);
            }
            (3..6, Some(id)) => {
                let new = any_draft(&mut random, number);
                let patch = autom8_model::ContactPatch {
                    name: Some(new.name),
                    phone: Some(new.phone),
                    email: Some(new.email),
                    tags: Some(new.tags),
                    attributes: None,
                };
                let changed = store
                    .update_contact(id, patch, Write::unattended())
                    .await
                    .unwrap();
                known.insert(id, changed);
            }
            (6, _) => store.advance(random.below(3) as u64),
            (7, _) if random.one_in(3) => store.crash().await,
            _ => {
                let made = store.add(any_draft(&mut random, number)).await;
                known.insert(made.id, made);
            }
        }
        let filter = any_filter(&mut random);
        let found = ids_of(&store, filter.clone()).await;
        assert_eq!(
            found,
            expected(known.values(), &filter),
            "seed {seed}: {filter:?}"
        );
        assert_eq!(store.totals().contacts, known.len() as u64);
    }
    store.close().await;
}

async fn ids_of(store: &Fixture<'_>, filter: ContactFilter) -> Vec<ContactId> {
    ids(&all(store, filter).await)
}

pub(super) async fn a_cursor_of_another_order_is_refused(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.add(draft(1)).await;
    for (sort, key) in [
        (ContactSort::Id, ContactSortKey::Name("a".to_owned())),
        (ContactSort::Name, ContactSortKey::Id),
        (ContactSort::Name, ContactSortKey::Time(store.now())),
        (ContactSort::UpdatedAt, ContactSortKey::Id),
        (ContactSort::CreatedAt, ContactSortKey::Name("a".to_owned())),
    ] {
        let filter = ContactFilter {
            sort,
            after: Some(ContactPosition {
                key,
                id: ContactId(1),
            }),
            limit: 10,
            ..ContactFilter::default()
        };
        let refused = store.contacts(filter).await;
        assert!(
            matches!(&refused, Err(StoreError::Invalid(fault)) if fault.path == "/cursor"),
            "{refused:?}"
        );
    }
}
