//! The least that a durable run engine on SQLite can do, and nothing more: runs written once,
//! outcomes appended once, one claim receipt a batch, one synced commit a group, order in memory.
//!
//! No tasks, no guards, no logs, no statistics, no HTTP: what the product adds to this is what it
//! costs. One producer, one writer and one executor, each a thread.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, OpenFlags, Statement};

use crate::machine::{bytes_written, now};

/// What is put through.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    pub runs: usize,
    pub batch_runs: usize,
    pub payload_bytes: usize,
}

/// Runs that may be claimed and unfinished at once: the knee of the measured curve.
const WINDOW: usize = 8_192;
/// Batches that the producer has sent and not been answered for.
const BATCHES_IN_FLIGHT: usize = 2;
/// Rows of one `INSERT … VALUES`.
const ROWS: usize = 16;
/// Runs and outcomes of one commit.
const GROUP_ROWS_MAX: usize = 20_000;

/// What came out.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    pub runs_per_s: f64,
    /// Handed to the file system, WAL and checkpoints, by run.
    pub bytes_per_run: f64,
}

impl Throughput {
    /// From the work of `runs` that began with these readings.
    pub fn since(runs: usize, started: std::time::Instant, bytes_before: u64) -> Throughput {
        Throughput {
            runs_per_s: runs as f64 / started.elapsed().as_secs_f64(),
            bytes_per_run: (bytes_written().0 - bytes_before) as f64 / runs as f64,
        }
    }
}

enum Command {
    Enqueue {
        payload: Vec<u8>,
        runs: usize,
        accepted: Sender<()>,
    },
    Finish(Receipt),
    /// Answered when nothing waits and nothing runs.
    WhenIdle(Sender<()>),
    /// From now on runs are claimed.
    Open,
    Stop,
}

struct Receipt {
    epoch: i64,
    ids: Vec<i64>,
    started_at: i64,
    finished_at: i64,
}

/// A writer thread and an executor thread on one file.
pub struct Ceiling {
    inbox: Sender<Command>,
    threads: Vec<std::thread::JoinHandle<Result<()>>>,
}

impl Ceiling {
    /// Opens a new file. While it is not open for claims, runs only pile up.
    pub fn start(folder: &Path, claiming: bool) -> Result<Ceiling> {
        let (inbox, commands) = channel();
        let (claimed, to_execute) = channel::<Receipt>();
        let connection = create_file(&folder.join("ceiling.db"))?;
        let finished = inbox.clone();
        let executor = std::thread::spawn(move || -> Result<()> {
            while let Ok(mut receipt) = to_execute.recv() {
                receipt.started_at = unix_micros();
                receipt.finished_at = unix_micros();
                if finished.send(Command::Finish(receipt)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let writer =
            std::thread::spawn(move || Writer::new(claimed, claiming).run(&connection, &commands));
        Ok(Ceiling {
            inbox,
            threads: vec![writer, executor],
        })
    }

    /// Enqueues batch after batch, each acknowledged after its commit.
    pub fn enqueue(&self, volume: Volume) -> Result<()> {
        let mut outstanding: VecDeque<Receiver<()>> = VecDeque::new();
        let mut left = volume.runs;
        while left > 0 {
            let runs = volume.batch_runs.min(left);
            left -= runs;
            let (accepted, answer) = channel();
            // The batch's inputs in one buffer, as they arrive in a request's body.
            let payload = vec![b'x'; runs * volume.payload_bytes];
            self.inbox.send(Command::Enqueue {
                payload,
                runs,
                accepted,
            })?;
            outstanding.push_back(answer);
            if outstanding.len() >= BATCHES_IN_FLIGHT
                && let Some(oldest) = outstanding.pop_front()
            {
                oldest.recv()?;
            }
        }
        for answer in outstanding {
            answer.recv()?;
        }
        Ok(())
    }

    pub fn open_for_claims(&self) -> Result<()> {
        Ok(self.inbox.send(Command::Open)?)
    }

    pub fn wait_until_idle(&self) -> Result<()> {
        let (idle, answer) = channel();
        self.inbox.send(Command::WhenIdle(idle))?;
        Ok(answer.recv()?)
    }

    /// Stops both threads and passes on what went wrong in them.
    pub fn stop(self) -> Result<()> {
        self.inbox.send(Command::Stop)?;
        // The executor ends with the writer, which held the other end of its channel.
        for thread in self.threads {
            thread
                .join()
                .map_err(|_| anyhow!("a thread of the ceiling panicked"))??;
        }
        Ok(())
    }
}

fn create_file(file: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA cache_size = -65536;
         PRAGMA wal_autocheckpoint = 4000;
         CREATE TABLE runs (
             id INTEGER PRIMARY KEY, task_id INTEGER NOT NULL, priority INTEGER NOT NULL,
             run_at INTEGER, attempt INTEGER NOT NULL, settled_epoch INTEGER NOT NULL,
             payload BLOB
         );
         CREATE TABLE outcomes (
             id INTEGER PRIMARY KEY, task_id INTEGER NOT NULL, state INTEGER NOT NULL,
             attempt INTEGER NOT NULL, epoch INTEGER NOT NULL, started_at INTEGER NOT NULL,
             finished_at INTEGER NOT NULL
         );
         CREATE TABLE claims (
             epoch INTEGER PRIMARY KEY, worker INTEGER NOT NULL, lease_until INTEGER,
             n INTEGER NOT NULL, ids BLOB NOT NULL
         );",
    )?;
    Ok(connection)
}

/// What the writer keeps in memory, beside its connection.
struct Writer {
    claimed: Sender<Receipt>,
    claiming: bool,
    next_id: i64,
    next_epoch: i64,
    /// Ranges of ids that wait, first and last.
    ready: VecDeque<(i64, i64)>,
    in_flight: usize,
    idle_waiters: Vec<Sender<()>>,
}

impl Writer {
    fn new(claimed: Sender<Receipt>, claiming: bool) -> Writer {
        Writer {
            claimed,
            claiming,
            next_id: 1,
            next_epoch: 1,
            ready: VecDeque::new(),
            in_flight: 0,
            idle_waiters: Vec::new(),
        }
    }

    /// Until a stop, commits group after group of whatever waits.
    fn run(&mut self, connection: &Connection, commands: &Receiver<Command>) -> Result<()> {
        let mut statements = Statements::prepare(connection)?;
        while let Ok(first) = commands.recv() {
            let mut rows = rows_of(&first);
            let mut group = vec![first];
            while rows < GROUP_ROWS_MAX {
                let Ok(command) = commands.try_recv() else {
                    break;
                };
                rows += rows_of(&command);
                group.push(command);
            }
            if group.iter().any(|command| matches!(command, Command::Stop)) {
                break;
            }
            self.commit(connection, &mut statements, group)?;
            if self.is_idle() {
                for waiter in self.idle_waiters.drain(..) {
                    let _ = waiter.send(());
                }
            }
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && (self.ready.is_empty() || !self.claiming)
    }

    fn commit(
        &mut self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        group: Vec<Command>,
    ) -> Result<()> {
        let mut accepted_all = Vec::new();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for command in group {
            match command {
                Command::Finish(receipt) => {
                    statements.append_outcomes(&receipt)?;
                    statements.delete_claim.execute([receipt.epoch])?;
                    self.in_flight -= receipt.ids.len();
                }
                Command::Enqueue {
                    payload,
                    runs,
                    accepted,
                } => {
                    let first = self.next_id;
                    statements.insert_runs(first, runs, &payload)?;
                    self.next_id += runs as i64;
                    self.ready.push_back((first, self.next_id - 1));
                    accepted_all.push(accepted);
                }
                Command::WhenIdle(waiter) => self.idle_waiters.push(waiter),
                Command::Open => self.claiming = true,
                Command::Stop => {}
            }
        }
        let receipt = self.claim();
        if let Some(receipt) = &receipt {
            let ids = encode(&receipt.ids);
            statements
                .insert_claim
                .execute((receipt.epoch, 1, receipt.ids.len() as i64, ids))?;
        }
        connection.execute_batch("COMMIT")?;
        for accepted in accepted_all {
            let _ = accepted.send(());
        }
        if let Some(receipt) = receipt {
            self.claimed.send(receipt)?;
        }
        Ok(())
    }

    fn claim(&mut self) -> Option<Receipt> {
        let room = WINDOW - self.in_flight;
        if !self.claiming || room == 0 || self.ready.is_empty() {
            return None;
        }
        let mut ids = Vec::with_capacity(room);
        while let Some((first, last)) = self.ready.front_mut() {
            let take = (room - ids.len()).min((*last - *first + 1) as usize) as i64;
            ids.extend(*first..*first + take);
            *first += take;
            if first > last {
                self.ready.pop_front();
            }
            if ids.len() == room {
                break;
            }
        }
        self.in_flight += ids.len();
        let epoch = self.next_epoch;
        self.next_epoch += 1;
        Some(Receipt {
            epoch,
            ids,
            started_at: 0,
            finished_at: 0,
        })
    }
}

fn rows_of(command: &Command) -> usize {
    match command {
        Command::Enqueue { runs, .. } => *runs,
        Command::Finish(receipt) => receipt.ids.len(),
        Command::WhenIdle(_) | Command::Open | Command::Stop => 0,
    }
}

/// Every statement, prepared once; inserts by the number of their rows.
struct Statements<'c> {
    runs: HashMap<usize, Statement<'c>>,
    outcomes: HashMap<usize, Statement<'c>>,
    insert_claim: Statement<'c>,
    delete_claim: Statement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self> {
        let insert = |table: &str, row: &str, rows: usize| {
            let values = vec![row; rows].join(", ");
            connection.prepare(&format!("INSERT INTO {table} VALUES {values}"))
        };
        let mut runs = HashMap::new();
        let mut outcomes = HashMap::new();
        for rows in [1, ROWS] {
            runs.insert(rows, insert("runs", "(?, 1, 0, NULL, 0, 0, ?)", rows)?);
            outcomes.insert(rows, insert("outcomes", "(?, 1, 2, 1, ?, ?, ?)", rows)?);
        }
        Ok(Statements {
            runs,
            outcomes,
            insert_claim: connection.prepare("INSERT INTO claims VALUES (?, ?, NULL, ?, ?)")?,
            delete_claim: connection.prepare("DELETE FROM claims WHERE epoch = ?")?,
        })
    }

    fn insert_runs(&mut self, first: i64, runs: usize, payload: &[u8]) -> Result<()> {
        let each = payload.len() / runs.max(1);
        let mut done = 0;
        while done < runs {
            let rows = if runs - done >= ROWS { ROWS } else { 1 };
            let statement = self.runs.get_mut(&rows).context("a prepared size")?;
            for row in 0..rows {
                let index = done + row;
                statement.raw_bind_parameter(row * 2 + 1, first + index as i64)?;
                statement.raw_bind_parameter(row * 2 + 2, &payload[index * each..][..each])?;
            }
            statement.raw_execute()?;
            done += rows;
        }
        Ok(())
    }

    fn append_outcomes(&mut self, receipt: &Receipt) -> Result<()> {
        let mut ids = receipt.ids.as_slice();
        while !ids.is_empty() {
            let rows = if ids.len() >= ROWS { ROWS } else { 1 };
            let (now, rest) = ids.split_at(rows);
            ids = rest;
            let statement = self.outcomes.get_mut(&rows).context("a prepared size")?;
            for (row, id) in now.iter().enumerate() {
                statement.raw_bind_parameter(row * 4 + 1, id)?;
                statement.raw_bind_parameter(row * 4 + 2, receipt.epoch)?;
                statement.raw_bind_parameter(row * 4 + 3, receipt.started_at)?;
                statement.raw_bind_parameter(row * 4 + 4, receipt.finished_at)?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }
}

/// Ascending ids as LEB128 deltas, about a byte each.
fn encode(ids: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() + 8);
    let mut previous = 0;
    for id in ids {
        let mut delta = (id - previous) as u64;
        previous = *id;
        while delta >= 0x80 {
            bytes.push(delta as u8 | 0x80);
            delta >>= 7;
        }
        bytes.push(delta as u8);
    }
    bytes
}

#[allow(
    clippy::disallowed_methods,
    reason = "the ceiling has no product around it to ask for a clock"
)]
fn unix_micros() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Enqueue to finish, both going on at once.
pub fn pipe(folder: &Path, volume: Volume) -> Result<Throughput> {
    let ceiling = Ceiling::start(folder, true)?;
    let (started, bytes) = (now(), bytes_written().0);
    ceiling.enqueue(volume)?;
    ceiling.wait_until_idle()?;
    let throughput = Throughput::since(volume.runs, started, bytes);
    ceiling.stop()?;
    Ok(throughput)
}

/// Enqueue alone, then drain alone.
pub fn enqueue_then_drain(folder: &Path, volume: Volume) -> Result<(Throughput, Throughput)> {
    let ceiling = Ceiling::start(folder, false)?;
    let (started, bytes) = (now(), bytes_written().0);
    ceiling.enqueue(volume)?;
    let enqueue = Throughput::since(volume.runs, started, bytes);
    let (started, bytes) = (now(), bytes_written().0);
    ceiling.open_for_claims()?;
    ceiling.wait_until_idle()?;
    let drain = Throughput::since(volume.runs, started, bytes);
    ceiling.stop()?;
    Ok((enqueue, drain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_the_ceiling_is_stored_and_ended_once() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume {
            runs: 20_005,
            batch_runs: 3_000,
            payload_bytes: 10,
        };
        pipe(folder.path(), volume).unwrap();
        let connection = Connection::open(folder.path().join("ceiling.db")).unwrap();
        let count = |sql: &str| {
            connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(
            count("SELECT count(*) FROM runs WHERE length(payload) = 10"),
            20_005
        );
        assert_eq!(
            count("SELECT count(*) FROM outcomes JOIN runs USING (id)"),
            20_005
        );
        assert_eq!(count("SELECT count(*) FROM claims"), 0);
    }

    #[test]
    fn what_was_piled_up_is_drained() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume {
            runs: 10_000,
            batch_runs: 10_000,
            payload_bytes: 0,
        };
        let (enqueue, drain) = enqueue_then_drain(folder.path(), volume).unwrap();
        assert!(enqueue.runs_per_s > 0.0 && drain.bytes_per_run > 0.0);
    }
}
