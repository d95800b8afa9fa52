//! API keys: found by the hash of their secret from the answer of their creation to that of their
//! deletion.

use std::sync::Arc;

use autom8_model::api_key::{KeyLimit, Scope};
use autom8_model::{ApiKey, KeyId, Scopes};

use super::Backend;
use super::fixture::{Fixture, answer, is_conflict, is_not_found, is_sent};
use crate::{NewKey, Write};

fn key(number: u8) -> NewKey {
    NewKey {
        name: format!("key {number}"),
        scopes: Scopes::of([Scope::Run, Scope::Debug]),
        hash: [number; 32],
        shown: format!("a8_{number:05}"),
        limit: None,
        expires_at: None,
    }
}

async fn create(store: &Fixture<'_>, number: u8) -> Arc<ApiKey> {
    store
        .create_key(key(number), Write::unattended())
        .await
        .unwrap()
}

fn names(store: &Fixture<'_>) -> Vec<String> {
    store.keys().iter().map(|key| key.name.clone()).collect()
}

pub(super) async fn a_key_is_found_by_the_hash_of_its_secret(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    assert!(!store.has_keys() && store.keys().is_empty());
    let limit = KeyLimit {
        requests: 600,
        period_s: 60,
    };
    let new = NewKey {
        limit: Some(limit),
        expires_at: Some(store.after(60)),
        ..key(1)
    };
    let made = store
        .create_key(new.clone(), Write::unattended())
        .await
        .unwrap();
    let expected = ApiKey {
        id: made.id,
        name: new.name,
        scopes: new.scopes,
        shown: new.shown,
        limit: Some(limit),
        created_at: store.now(),
        expires_at: Some(store.after(60)),
        last_used_at: None,
    };
    let bare = create(&store, 2).await;
    assert_eq!((bare.limit, bare.expires_at), (None, None));
    for round in 0..3 {
        assert!(store.has_keys());
        assert_eq!(store.key_by_hash(&[1; 32]).as_deref(), Some(&expected));
        assert_eq!(store.key_by_hash(&[2; 32]), Some(Arc::clone(&bare)));
        assert_eq!(store.key_by_hash(&[3; 32]), None);
        assert_eq!(
            store.keys(),
            [Arc::new(expected.clone()), Arc::clone(&bare)]
        );
        if round == 0 {
            store.restart().await;
        } else {
            store.crash().await;
        }
    }
}

pub(super) async fn a_taken_name_is_a_conflict_and_is_free_after_the_deletion(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    let first = create(&store, 1).await;
    let same = NewKey {
        hash: [9; 32],
        ..key(1)
    };
    let refused = store.create_key(same.clone(), Write::unattended()).await;
    assert!(is_conflict(&refused), "{refused:?}");
    assert_eq!(store.key_by_hash(&[9; 32]), None);
    assert_eq!(names(&store), ["key 1"]);
    store
        .delete_key(first.id, Write::unattended())
        .await
        .unwrap();
    let second = store.create_key(same, Write::unattended()).await.unwrap();
    assert!(second.id > first.id, "the audit log tells them apart");
    assert_eq!(
        store.key_by_hash(&[1; 32]),
        None,
        "the old secret opens nothing"
    );
}

pub(super) async fn a_deleted_key_is_found_no_more_and_its_id_is_not_used_again(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    let mut last = KeyId(0);
    for _ in 0..3 {
        let made = create(&store, 1).await;
        assert!(made.id > last);
        last = made.id;
        store.delete_key(last, Write::unattended()).await.unwrap();
        assert_eq!(store.key_by_hash(&[1; 32]), None);
        assert!(!store.has_keys());
        assert!(is_not_found(
            &store.delete_key(last, Write::unattended()).await
        ));
        store.crash().await;
        assert!(!store.has_keys());
    }
}

pub(super) async fn the_last_use_of_a_key_is_noted(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let one = create(&store, 1).await.id;
    create(&store, 2).await;
    let at = store.after(60);
    store
        .touch_keys(vec![(KeyId(999), at), (one, at)])
        .await
        .unwrap();
    store.touch_keys(vec![]).await.unwrap();
    for _ in 0..2 {
        let used = |hash: u8| {
            store
                .key_by_hash(&[hash; 32])
                .and_then(|key| key.last_used_at)
        };
        assert_eq!((used(1), used(2)), (Some(at), None));
        assert_eq!(store.keys().len(), 2);
        store.crash().await;
    }
}

/// From the first key on calls need one: it must not be seen before it is durable.
pub(super) async fn a_key_is_there_from_its_commit_on(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let held = backend.gate().hold();
    {
        let mut creation = store.create_key(key(1), Write::unattended());
        assert!(is_sent(&mut creation).await);
        assert!(held.arrived().await);
        assert!(!store.has_keys());
        assert_eq!(store.key_by_hash(&[1; 32]), None);
    }
    store.crash().await;
    drop(held);
    assert!(!store.has_keys());
    let held = backend.gate().hold();
    let mut creation = store.create_key(key(1), Write::unattended());
    assert!(is_sent(&mut creation).await);
    drop(held);
    answer(creation).await.unwrap();
    assert!(store.has_keys());
    assert_eq!(names(&store), ["key 1"]);
}
