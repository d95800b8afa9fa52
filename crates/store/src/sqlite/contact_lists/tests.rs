//! Lists and searches where matches are many: the bounds are small here.

use std::sync::Arc;
use std::time::Duration;

use autom8_model::{BootId, Contact, ManualClock};

use super::*;
use crate::conformance::contact_lists::{any_draft, any_filter, expected, orders};
use crate::conformance::random::Random;
use crate::observe::Unobserved;
use crate::sqlite::{Durability, SqliteOptions, SqliteStore, open};
use crate::{RetentionPolicy, Store, Write};

const SMALL: Bounds = Bounds {
    gathered_max: 4,
    visits_max: 9,
};

/// So many contacts by chance, and a connection that reads them.
async fn contacts(
    random: &mut Random,
    count: usize,
) -> (tempfile::TempDir, Connection, Vec<Contact>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap()));
    let options = SqliteOptions {
        directory: dir.path().to_owned(),
        durability: Durability::Normal,
        boot: BootId(1),
        retention: RetentionPolicy {
            age_max: Duration::from_secs(86_400),
            runs_max: 1_000,
            bytes_max: 1 << 30,
            audit_age_max: Duration::from_secs(86_400),
        },
    };
    let store = SqliteStore::open(options, Arc::clone(&clock) as _, Arc::new(Unobserved)).unwrap();
    let mut made = Vec::new();
    for number in 0..count {
        let draft = any_draft(random, number);
        made.push(
            store
                .create_contact(draft, Write::unattended())
                .await
                .unwrap(),
        );
        clock.advance(Duration::from_secs(random.below(2) as u64));
    }
    store.close().await;
    let connection = open::open_readable(&dir.path().join(open::DATABASE_FILE)).unwrap();
    (dir, connection, made)
}

fn found(page: &ContactPage) -> Vec<ContactId> {
    page.contacts.iter().map(|contact| contact.id).collect()
}

#[tokio::test]
async fn many_matches_are_walked_and_none_is_left_out_or_shown_twice() {
    let mut random = Random::seeded(3);
    let (_dir, connection, contacts) = contacts(&mut random, 100).await;
    for _ in 0..500 {
        let mut filter = any_filter(&mut random);
        let whole = expected(&contacts, &filter);
        let mut all = Vec::new();
        let mut pages = 0;
        loop {
            let page = page(&connection, &filter, SMALL).unwrap().unwrap();
            assert!(page.contacts.len() <= filter.limit, "{filter:?}");
            all.extend(found(&page));
            pages += 1;
            assert!(pages <= 2 + contacts.len(), "{filter:?}: a page leads on");
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        assert_eq!(all, whole, "{filter:?}");
    }
}

#[tokio::test]
async fn an_offset_into_many_matches_is_exact_or_refused() {
    let mut random = Random::seeded(4);
    let (_dir, connection, contacts) = contacts(&mut random, 100).await;
    let (mut exact, mut refused) = (0, 0);
    for _ in 0..500 {
        let mut filter = any_filter(&mut random);
        filter.offset = random.below(60);
        let whole = expected(&contacts, &filter);
        let rest = &whole[filter.offset.min(whole.len())..];
        match page(&connection, &filter, SMALL).unwrap() {
            Ok(page) => {
                let found = found(&page);
                assert_eq!(found, rest[..found.len()], "{filter:?}");
                assert!(
                    found.len() == rest.len().min(filter.limit) || page.next.is_some(),
                    "{filter:?}"
                );
                exact += 1;
            }
            Err(fault) => {
                assert_eq!(fault.path, "/offset");
                let (mut text, mut tag) = (filter.clone(), filter.clone());
                (text.tag, tag.query) = (None, None);
                for alone in [text, tag] {
                    let matches = expected(&contacts, &alone).len();
                    assert!(matches > SMALL.gathered_max, "{filter:?}: {matches}");
                }
                refused += 1;
            }
        }
    }
    assert!(
        exact > 200 && refused > 5,
        "{exact} exact, {refused} refused"
    );
}

#[tokio::test]
async fn a_list_that_is_no_search_is_never_refused_or_short() {
    let mut random = Random::seeded(5);
    let (_dir, connection, contacts) = contacts(&mut random, 60).await;
    for order in orders() {
        for tag in [None, Some("often")] {
            let by_id = matches!(order.sort, ContactSort::Id | ContactSort::CreatedAt);
            if tag.is_some() && !by_id {
                continue;
            }
            let filter = ContactFilter {
                offset: 20,
                limit: 30,
                tag: tag.map(str::to_owned),
                ..order.clone()
            };
            let page = page(&connection, &filter, SMALL).unwrap().unwrap();
            let whole = expected(&contacts, &filter);
            assert_eq!(found(&page), whole[20..whole.len().min(50)], "{filter:?}");
        }
    }
}

#[tokio::test]
async fn a_search_for_what_is_rare_reads_it_alone() {
    let mut random = Random::seeded(6);
    let (_dir, connection, contacts) = contacts(&mut random, 100).await;
    for mut filter in orders() {
        filter.query = Some("z".to_owned());
        filter.tag = Some("often".to_owned());
        let bounds = Bounds {
            gathered_max: 100,
            visits_max: 0,
        };
        let page = page(&connection, &filter, bounds).unwrap().unwrap();
        let whole = expected(&contacts, &filter);
        assert!(
            !whole.is_empty() && whole.len() <= filter.limit,
            "{whole:?}"
        );
        assert_eq!((found(&page), page.next), (whole, None));
    }
}
