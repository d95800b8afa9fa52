//! API keys. All of them are in memory, by the hash of their secret: each request looks one up.

use std::sync::Arc;

use autom8_model::api_key::KeyLimit;
use autom8_model::{ApiKey, KeyId, Scopes, Timestamp, limits};
use rusqlite::{Connection, Row};
use rustc_hash::FxHashMap;

use super::SqlResult;
use super::group::{Group, KeyChange};
use super::operation::Failure;
use super::writer::Writer;
use crate::{NewKey, StoreError};

/// All keys, by what is presented and by id.
#[derive(Clone, Default)]
pub(crate) struct KeyTable {
    by_hash: FxHashMap<[u8; 32], Arc<ApiKey>>,
}

impl KeyTable {
    pub(crate) fn by_hash(&self, hash: &[u8; 32]) -> Option<&Arc<ApiKey>> {
        self.by_hash.get(hash)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    pub(crate) fn by_id(&self) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self.by_hash.values().cloned().collect();
        keys.sort_unstable_by_key(|key| key.id);
        keys
    }

    pub(crate) fn apply(&mut self, change: KeyChange) {
        match change {
            KeyChange::Put(hash, key) => {
                self.by_hash.insert(hash, key);
            }
            KeyChange::Delete(id) => self.by_hash.retain(|_, key| key.id != id),
            KeyChange::Used(id, at) => {
                for key in self.by_hash.values_mut().filter(|key| key.id == id) {
                    Arc::make_mut(key).last_used_at = Some(at);
                }
            }
        }
    }
}

impl Writer {
    pub(crate) fn create_key(
        &self,
        new: NewKey,
        group: &mut Group,
    ) -> Result<Arc<ApiKey>, Failure> {
        let (count, taken): (i64, bool) = self
            .connection
            .prepare_cached(
                "SELECT (SELECT count(*) FROM api_keys),
                        EXISTS (SELECT 1 FROM api_keys WHERE name = ?1)",
            )?
            .query_row([&new.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if taken {
            let why = format!("a key named `{}` exists already", new.name);
            return Err(StoreError::Conflict { why }.into());
        }
        if count >= limits::API_KEYS_MAX as i64 {
            return Err(StoreError::Overloaded { what: "API keys" }.into());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO api_keys (name, hash, shown, scopes, limit_requests, limit_period_s,
                                       created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((
                &new.name,
                new.hash,
                &new.shown,
                new.scopes.bits(),
                new.limit.map(|limit| limit.requests),
                new.limit.map(|limit| limit.period_s),
                group.now.as_micros(),
                new.expires_at.map(Timestamp::as_micros),
            ))?;
        let key = Arc::new(ApiKey {
            id: KeyId(self.connection.last_insert_rowid()),
            name: new.name,
            scopes: new.scopes,
            shown: new.shown,
            limit: new.limit,
            created_at: group.now,
            expires_at: new.expires_at,
            last_used_at: None,
        });
        group.keys.push(KeyChange::Put(new.hash, Arc::clone(&key)));
        Ok(key)
    }

    pub(crate) fn delete_key(&self, id: KeyId, group: &mut Group) -> Result<(), Failure> {
        let deleted = self
            .connection
            .prepare_cached("DELETE FROM api_keys WHERE id = ?1")?
            .execute([id.0])?;
        if deleted == 0 {
            let what = format!("key {id}");
            return Err(StoreError::NotFound { what }.into());
        }
        group.keys.push(KeyChange::Delete(id));
        Ok(())
    }

    pub(crate) fn touch_keys(
        &self,
        used: Vec<(KeyId, Timestamp)>,
        group: &mut Group,
    ) -> Result<(), Failure> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1")?;
        for (id, at) in used {
            update.execute((id.0, at.as_micros()))?;
            group.keys.push(KeyChange::Used(id, at));
        }
        Ok(())
    }
}

/// All keys, as they are stored.
pub(crate) fn load(connection: &Connection) -> SqlResult<KeyTable> {
    let by_hash = connection
        .prepare(
            "SELECT hash, id, name, scopes, shown, limit_requests, limit_period_s,
                    created_at, expires_at, last_used_at
             FROM api_keys",
        )?
        .query_map([], |row| Ok((row.get(0)?, Arc::new(read_key(row)?))))?
        .collect::<SqlResult<_>>()?;
    Ok(KeyTable { by_hash })
}

fn read_key(row: &Row<'_>) -> SqlResult<ApiKey> {
    let time = |column: usize| -> SqlResult<Option<Timestamp>> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_micros))
    };
    let scopes = row.get(3)?;
    let limit: (Option<u32>, Option<u32>) = (row.get(5)?, row.get(6)?);
    Ok(ApiKey {
        id: KeyId(row.get(1)?),
        name: row.get(2)?,
        scopes: Scopes::from_bits(scopes)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, scopes))?,
        shown: row.get(4)?,
        limit: match limit {
            (Some(requests), Some(period_s)) => Some(KeyLimit { requests, period_s }),
            _ => None,
        },
        created_at: Timestamp::from_micros(row.get(7)?),
        expires_at: time(8)?,
        last_used_at: time(9)?,
    })
}
