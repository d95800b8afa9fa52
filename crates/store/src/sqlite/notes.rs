//! What is kept of a write beside itself: who made it, and the answer for a request that comes
//! again. See [`crate::write`].

use autom8_model::{AuditAction, AuditEntry, AuditId, Author, KeyId, Timestamp, limits};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SqlResult;
use super::group::Group;
use super::operation::Failure;
use super::writer::Writer;
use crate::{IdempotencyKey, RememberedAnswer, StoreError, StoredAnswer, Write};

/// Entries of the audit log, or kept answers, that one step drops.
const DROPPED_MAX: i64 = 5_000;

impl Writer {
    /// Refuses a write whose key is there already. A server asks before it begins; this is for
    /// the request that came to another node at the same time.
    pub(crate) fn refuse_repeated<T>(&self, write: &Write<T>) -> Result<(), Failure> {
        let Some(idempotency) = &write.idempotency else {
            return Ok(());
        };
        match answer(&self.connection, &idempotency.key)? {
            None => Ok(()),
            Some(_) => Err(StoreError::Conflict {
                why: "another request with this Idempotency-Key has just been done; \
                      send it again for its answer"
                    .to_owned(),
            }
            .into()),
        }
    }

    /// Keeps who wrote, and the answer. Nothing but the disk can make this fail, once
    /// [`refuse_repeated`](Self::refuse_repeated) has passed.
    pub(crate) fn note<T>(
        &self,
        write: Write<T>,
        action: AuditAction,
        target: impl FnOnce(&T) -> String,
        made: &T,
        group: &mut Group,
    ) -> SqlResult<()> {
        let Write {
            author,
            idempotency,
        } = write;
        if let Some(author) = author {
            self.connection
                .prepare_cached(
                    "INSERT INTO audit_log (at, key_id, principal, action, target, request_id, address)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute((
                    group.now.as_micros(),
                    author.key.map(|key| key.0),
                    author.principal,
                    action.code(),
                    target(made),
                    author.request_id,
                    author.address.map(|address| address.to_string()),
                ))?;
            group.rows += 1;
        }
        if let Some(idempotency) = idempotency {
            let answer = (idempotency.answer)(made);
            let marked = (&idempotency.key, &idempotency.fingerprint);
            keep(&self.connection, marked, &answer, group.now, ROOM)?;
            group.rows += 1;
        }
        Ok(())
    }

    /// One step of forgetting answers; zero when there is nothing left to forget.
    pub(crate) fn forget_answers(&self, group: &Group) -> SqlResult<u64> {
        let kept = Kept {
            since: group.now.minus(limits::IDEMPOTENCY_AGE_MAX),
            rows_max: limits::IDEMPOTENCY_ANSWERS_MAX,
        };
        drop_oldest(&self.connection, ANSWERS, kept, DROPPED_MAX)
    }

    /// One step of dropping audit entries; zero when there is nothing left to drop.
    pub(crate) fn drop_audit_entries(&self, before: Timestamp) -> SqlResult<u64> {
        let kept = Kept {
            since: before,
            rows_max: limits::AUDIT_ENTRIES_MAX,
        };
        drop_oldest(&self.connection, AUDIT_LOG, kept, DROPPED_MAX)
    }
}

/// A table and its column of time.
type Aging = (&'static str, &'static str);

const ANSWERS: Aging = ("idempotency", "created_at");
const AUDIT_LOG: Aging = ("audit_log", "at");

/// What is kept of a table; the first bound that is reached drops.
#[derive(Clone, Copy)]
struct Kept {
    since: Timestamp,
    rows_max: i64,
}

/// Ids rise with time, so the oldest are the lowest and no index on time is needed. The first row
/// that is young enough ends the step.
fn drop_oldest(
    connection: &Connection,
    (table, time): Aging,
    kept: Kept,
    step_max: i64,
) -> SqlResult<u64> {
    let dropped = connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE id < (
                 SELECT coalesce(
                     (SELECT min(id) FROM (SELECT id, {time} AS at FROM {table} ORDER BY id LIMIT ?3)
                      WHERE at >= ?1
                        AND id > (SELECT max(id) FROM {table}) - ?2),
                     (SELECT 1 + max(id) FROM (SELECT id FROM {table} ORDER BY id LIMIT ?3)),
                     0))"
        ))?
        .execute((kept.since.as_micros(), kept.rows_max, step_max))?;
    Ok(dropped as u64)
}

/// What all kept answers may take.
#[derive(Clone, Copy)]
struct Room {
    rows_max: i64,
    bytes_max: i64,
}

const ROOM: Room = Room {
    rows_max: limits::IDEMPOTENCY_ANSWERS_MAX,
    bytes_max: limits::IDEMPOTENCY_BYTES_MAX,
};

/// Keeps an answer, and lets the oldest go for which there is no room any more: whoever calls as
/// fast as the limit allows fills gigabytes before the next pruning.
fn keep(
    connection: &Connection,
    (key, fingerprint): (&IdempotencyKey, &[u8; 32]),
    answer: &StoredAnswer,
    now: Timestamp,
    room: Room,
) -> SqlResult<()> {
    let bytes_before: i64 = connection
        .prepare_cached(
            "SELECT bytes_before + length(body) FROM idempotency ORDER BY id DESC LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    connection
        .prepare_cached(
            "INSERT INTO idempotency
                 (key, created_at, bytes_before, fingerprint, status, location, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            key.0,
            now.as_micros(),
            bytes_before,
            fingerprint,
            answer.status,
            &answer.location,
            &answer.body,
        ))?;
    let bytes = i64::try_from(answer.body.len()).unwrap_or(i64::MAX);
    // Both rise with the ids: the first that may stay is found from the oldest on.
    connection
        .prepare_cached(
            "DELETE FROM idempotency WHERE id < max(
                 ?1,
                 (SELECT id FROM idempotency WHERE bytes_before >= ?2 OR id = ?3
                  ORDER BY id LIMIT 1))",
        )?
        .execute((
            connection.last_insert_rowid() - room.rows_max + 1,
            bytes_before
                .saturating_add(bytes)
                .saturating_sub(room.bytes_max),
            connection.last_insert_rowid(),
        ))?;
    Ok(())
}

/// The kept answer of a key.
pub(crate) fn answer(
    connection: &Connection,
    key: &IdempotencyKey,
) -> SqlResult<Option<RememberedAnswer>> {
    connection
        .prepare_cached(
            "SELECT fingerprint, status, location, body FROM idempotency WHERE key = ?1",
        )?
        .query_row([key.0], |row| {
            Ok(RememberedAnswer {
                fingerprint: row.get(0)?,
                answer: StoredAnswer {
                    status: row.get(1)?,
                    location: row.get(2)?,
                    body: row.get(3)?,
                },
            })
        })
        .optional()
}

pub(crate) fn audit_log(
    connection: &Connection,
    before: Option<AuditId>,
    limit: usize,
) -> SqlResult<Vec<AuditEntry>> {
    connection
        .prepare_cached(
            "SELECT id, at, key_id, principal, action, target, request_id, address
             FROM audit_log WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(
            (
                before.map_or(i64::MAX, |before| before.0),
                i64::try_from(limit).unwrap_or(i64::MAX),
            ),
            read_entry,
        )?
        .collect()
}

fn read_entry(row: &Row<'_>) -> SqlResult<AuditEntry> {
    let code = row.get(4)?;
    let address: Option<String> = row.get(7)?;
    Ok(AuditEntry {
        id: AuditId(row.get(0)?),
        at: Timestamp::from_micros(row.get(1)?),
        author: Author {
            key: row.get::<_, Option<i64>>(2)?.map(KeyId),
            principal: row.get(3)?,
            request_id: row.get(6)?,
            address: address.and_then(|text| text.parse().ok()),
        },
        action: AuditAction::from_code(code)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(4, code))?,
        target: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of these seconds, in this order.
    fn answers(seconds: impl IntoIterator<Item = i64>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for (_, _, sql) in super::super::schema::MIGRATIONS {
            connection.execute_batch(sql).unwrap();
        }
        for (place, seconds) in seconds.into_iter().enumerate() {
            connection
                .execute(
                    "INSERT INTO idempotency
                         (key, created_at, bytes_before, fingerprint, status, body)
                     VALUES (?1, ?2, 0, x'00', 201, x'')",
                    (
                        place.to_be_bytes(),
                        Timestamp::from_seconds(seconds).as_micros(),
                    ),
                )
                .unwrap();
        }
        connection
    }

    fn left(connection: &Connection) -> Vec<i64> {
        let mut select = connection
            .prepare("SELECT created_at FROM idempotency ORDER BY id")
            .unwrap();
        let times = select.query_map([], |row| row.get(0)).unwrap();
        times
            .map(|time| Timestamp::from_micros(time.unwrap()).as_micros() / 1_000_000)
            .collect()
    }

    /// Steps until nothing is dropped; returns how many each dropped.
    fn drop_all(connection: &Connection, since: i64, rows_max: i64, step_max: i64) -> Vec<u64> {
        let kept = Kept {
            since: Timestamp::from_seconds(since),
            rows_max,
        };
        let step = || drop_oldest(connection, ANSWERS, kept, step_max).unwrap();
        std::iter::repeat_with(step)
            .take_while(|dropped| *dropped > 0)
            .collect()
    }

    #[test]
    fn age_and_number_each_bound_what_is_kept_and_a_step_bounds_the_work() {
        let connection = answers(1..=20);
        assert_eq!(drop_all(&connection, 8, 1_000, 3), [3, 3, 1]);
        assert_eq!(left(&connection), (8..=20).collect::<Vec<_>>());
        assert_eq!(drop_all(&connection, 0, 5, 100), [8]);
        assert_eq!(left(&connection), [16, 17, 18, 19, 20]);
        assert!(drop_all(&connection, 0, 5, 100).is_empty());
        assert_eq!(drop_all(&connection, 100, 5, 2), [2, 2, 1]);
        assert!(drop_all(&connection, 100, 5, 2).is_empty());
    }

    /// Keeps an answer of so many bytes, and tells how many bytes each that is kept has.
    fn kept_with(connection: &Connection, number: u8, bytes: usize, room: Room) -> Vec<i64> {
        let answer = StoredAnswer {
            status: 201,
            location: None,
            body: vec![b'x'; bytes],
        };
        let marked = (&IdempotencyKey([number; 32]), &[0; 32]);
        keep(connection, marked, &answer, Timestamp::UNIX_EPOCH, room).unwrap();
        let mut select = connection
            .prepare("SELECT length(body) FROM idempotency ORDER BY id")
            .unwrap();
        let bytes = select.query_map([], |row| row.get(0)).unwrap();
        bytes.map(Result::unwrap).collect()
    }

    #[test]
    fn each_answer_makes_room_for_itself_in_number_and_in_bytes() {
        let connection = answers([]);
        let room = Room {
            rows_max: 4,
            bytes_max: 100,
        };
        let keep = |number, bytes| kept_with(&connection, number, bytes, room);
        assert_eq!(keep(1, 40), [40]);
        assert_eq!(keep(2, 40), [40, 40]);
        assert_eq!(keep(3, 20), [40, 40, 20], "full to the byte");
        assert_eq!(keep(4, 1), [40, 20, 1]);
        assert_eq!(keep(5, 1), [40, 20, 1, 1]);
        assert_eq!(keep(6, 1), [20, 1, 1, 1]);
        assert_eq!(keep(7, 90), [1, 1, 1, 90]);
        assert_eq!(keep(8, 500), [500], "the newest is kept, whatever it takes");
        assert_eq!(keep(9, 0), [0]);
        // What time has dropped from the front has no part in the sum.
        assert_eq!(keep(10, 60), [0, 60]);
        assert_eq!(drop_all(&connection, 1, 1_000, 1_000), [2]);
        assert_eq!(keep(11, 60), [60]);
        assert_eq!(keep(12, 40), [60, 40]);
    }

    #[test]
    fn a_clock_that_stood_ahead_keeps_older_answers_no_longer_than_their_number_allows() {
        let connection = answers([1, 2, 9_999, 3, 4, 5]);
        assert_eq!(drop_all(&connection, 100, 1_000, 100), [2]);
        assert_eq!(left(&connection), [9_999, 3, 4, 5]);
        assert_eq!(drop_all(&connection, 100, 2, 100), [4]);
    }
}
