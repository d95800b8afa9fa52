//! When each key was used last, to the minute: so that one that nobody uses can be found and
//! deleted. It is written once a minute and not with each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use autom8_engine::timer;
use autom8_model::{ApiKey, KeyId, Timestamp, limits};
use autom8_store::Store;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How exact it is, and how often it is written.
const EVERY: Duration = Duration::from_secs(60);

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub struct KeyUse(Mutex<HashMap<KeyId, Timestamp>>);

impl KeyUse {
    /// Notes a use. Where another request is noting one, it lets it pass: a key that is used will
    /// be used again.
    pub(super) fn note(&self, key: &ApiKey, now: Timestamp) {
        let is_recent = |last: Timestamp| now.since(last) < EVERY;
        if key.last_used_at.is_some_and(is_recent) {
            return;
        }
        if let Some(mut unwritten) = self.0.try_lock()
            && (unwritten.len() < limits::API_KEYS_MAX || unwritten.contains_key(&key.id))
        {
            unwritten.insert(key.id, now);
        }
    }

    fn take(&self) -> Vec<(KeyId, Timestamp)> {
        self.0.lock().drain().collect()
    }

    /// Writes what was noted, every minute and once more when `stopping` fires. What cannot be
    /// written is forgotten: it is a hint for people.
    pub(crate) async fn keep_writing(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        stopping: CancellationToken,
    ) {
        loop {
            let stops = tokio::select! {
                biased;
                () = stopping.cancelled() => true,
                () = timer::sleep(EVERY) => false,
            };
            let used = self.take();
            if !used.is_empty()
                && let Err(error) = store.touch_keys(used).await
            {
                tracing::debug!(%error, "the last use of keys was not written");
            }
            if stops {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::Scopes;

    fn key(id: i64, last_used_at: Option<Timestamp>) -> ApiKey {
        ApiKey {
            id: KeyId(id),
            name: format!("key-{id}"),
            scopes: Scopes::default(),
            shown: "a8_abcdef".to_owned(),
            limit: None,
            created_at: Timestamp::from_seconds(0),
            expires_at: None,
            last_used_at,
        }
    }

    #[test]
    fn a_use_is_noted_when_the_last_one_is_a_minute_old() {
        let at = Timestamp::from_seconds;
        let uses = KeyUse::default();
        uses.note(&key(1, Some(at(100))), at(159));
        assert_eq!(uses.take(), []);
        uses.note(&key(1, Some(at(100))), at(160));
        uses.note(&key(1, Some(at(100))), at(161));
        assert_eq!(uses.take(), [(KeyId(1), at(161))]);
        uses.note(&key(2, None), at(5));
        assert_eq!(uses.take(), [(KeyId(2), at(5))]);
        // A clock that was set back makes no use of it.
        uses.note(&key(1, Some(at(100))), at(7));
        assert_eq!(uses.take(), []);
    }

    #[test]
    fn what_is_not_written_yet_is_bounded() {
        let uses = KeyUse::default();
        for id in 0..limits::API_KEYS_MAX as i64 + 10 {
            uses.note(&key(id, None), Timestamp::from_seconds(1));
        }
        assert_eq!(uses.take().len(), limits::API_KEYS_MAX);
    }
}
