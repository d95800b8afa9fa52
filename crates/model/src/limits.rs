//! Every bound, with its unit and its reason. What is not here is not bounded, and that is a bug.

use std::time::Duration;

/// A task name must fit a column of a terminal table.
pub const TASK_NAME_CHARS_MAX: usize = 64;
/// Queue names follow the rules of task names.
pub const QUEUE_NAME_CHARS_MAX: usize = 64;
/// All tasks are mirrored in memory (about 2 KB each): 100,000 cost at most 200 MB.
pub const TASKS_MAX: usize = 100_000;
/// A task definition is read whole at every start.
pub const TASK_SPEC_BYTES_MAX: usize = 64 * 1024;
pub const PRIORITY_MIN: i16 = -100;
pub const PRIORITY_MAX: i16 = 100;
/// Twenty doublings of a second are twelve days; nobody waits for more.
pub const ATTEMPTS_MAX: u16 = 100;
pub const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 86_400);
pub const BACKOFF_MAX: Duration = Duration::from_secs(7 * 86_400);
/// `argv` of a process, entries and bytes: the kernel refuses single strings beyond 128 KiB.
pub const ARGV_MAX: usize = 1_000;
pub const ARGV_BYTES_MAX: usize = 96 * 1024;
pub const HTTP_HEADERS_MAX: usize = 64;
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// The input of one run.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;
/// Runs of one `POST /api/v1/runs/batch`.
pub const BATCH_RUNS_MAX: usize = 10_000;
/// Nesting of any JSON that is accepted.
pub const JSON_DEPTH_MAX: usize = 64;
/// The result kept of a run; more is cut and said so.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;
/// The error text kept of an attempt.
pub const ERROR_CHARS_MAX: usize = 4_096;
/// Captured output of a run: its head and its tail, half each, are kept.
pub const RUN_LOG_BYTES_MAX: usize = 1024 * 1024;

/// The name of a contact, in characters.
pub const CONTACT_NAME_CHARS_MAX: usize = 200;
/// Digits of a phone number: E.164 allows 15, and national numbers shorter than 7 are not unique.
pub const PHONE_DIGITS_MIN: usize = 7;
pub const PHONE_DIGITS_MAX: usize = 15;
/// A phone number as given, separators included.
pub const PHONE_CHARS_MAX: usize = 40;
/// RFC 5321, section 4.5.3.1: what fits into a path.
pub const EMAIL_BYTES_MAX: usize = 254;
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;
pub const CONTACT_TAGS_MAX: usize = 50;
pub const TAG_CHARS_MAX: usize = 64;
/// The attributes of one contact, as JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;
/// Contacts of one `POST /api/v1/contacts/batch`.
pub const BATCH_CONTACTS_MAX: usize = 10_000;
/// `offset` of a list: each skipped row is visited, and a cursor visits none.
pub const OFFSET_MAX: usize = 100_000;
/// Matches of a search that are gathered and sorted; with more, the list is walked and filtered.
pub const SEARCH_GATHER_MAX: usize = 10_000;

/// All keys are mirrored in memory, and looked up in each request.
pub const API_KEYS_MAX: usize = 10_000;
pub const API_KEY_NAME_CHARS_MAX: usize = 64;
/// An `Idempotency-Key`, as sent.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// How long an answer is kept for a repeated `Idempotency-Key`…
pub const IDEMPOTENCY_AGE_MAX: Duration = Duration::from_secs(86_400);
/// …how many answers…
pub const IDEMPOTENCY_ANSWERS_MAX: i64 = 1_000_000;
/// …and how much their bodies take, whichever comes first. A contact answers some 300 bytes, a batch
/// of 10,000 over a megabyte where items are refused.
pub const IDEMPOTENCY_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// Entries of the audit log that are kept, beside their age.
pub const AUDIT_ENTRIES_MAX: i64 = 5_000_000;

/// A commit group: runs and outcomes written under one fsync. Larger groups make a bystander's
/// small write wait (whole 10,000-run batches: 10 to 80 ms at the median, slices: 1 to 4 ms).
pub const GROUP_ROWS_MAX: usize = 2_000;
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Commands waiting for the writer, in number and in payload bytes; beyond it a write is refused
/// as overload, before everything slows down.
pub const WRITER_INBOX_COMMANDS_MAX: usize = 16_384;
pub const WRITER_INBOX_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Ready entries in memory, a batch of one task being one entry (about 64 B each).
pub const READY_ENTRIES_MAX: usize = 1_000_000;
/// Payload bytes that ready runs may keep in memory so that a claim need not read them back.
pub const READY_PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Runs that may be claimed and unfinished at once for tasks that end at once (`noop`); the knee
/// of the measured curve (engine notes, section 3) lies at 8k.
pub const INSTANT_WINDOW_MAX: usize = 8_192;
pub const INSTANT_WINDOW_MIN: usize = 256;

/// A segment of runs closes at the first of these.
pub const SEGMENT_RUNS_MAX: i64 = 250_000;
pub const SEGMENT_BYTES_MAX: i64 = 128 * 1024 * 1024;
/// Runs since the last posting flush, at which the lists by task are written out.
pub const POSTINGS_TAIL_RUNS_MAX: usize = 131_072;
/// WAL frames (4 KiB pages) at which the background checkpoint starts, for a WAL under 64 MiB.
pub const WAL_CHECKPOINT_FRAMES: u32 = 6_000;

/// A lease of a remote worker, renewed by heartbeat.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How often expired leases are looked for.
pub const REAP_EVERY: Duration = Duration::from_secs(1);
/// A reaper that comes later than this after its last round has overslept: the heartbeats of its
/// workers stood in line with it.
pub const REAP_GAP_MAX: Duration = Duration::from_secs(5);
/// How long a suspect must live before the next ones may follow it: what kills its worker does so
/// soon, and a run of a day must not hold up the others for a day.
pub const SUSPECT_WATCH: Duration = Duration::from_secs(20);
pub const CLAIM_RUNS_MAX: usize = 8_192;
pub const CLAIM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Rows of a page.
pub const PAGE_DEFAULT: usize = 50;
pub const PAGE_MAX: usize = 1_000;
/// Inputs and results of a page of runs, attributes and tags of one of contacts: beyond it the page
/// ends early, with a cursor. A thousand of the largest runs would be 256 MB for one request.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows that one page of a filtered list may visit before it answers with what it has and a
/// cursor: a filter that matches nothing must not turn into a scan of history.
pub const PAGE_VISITS_MAX: usize = 20_000;

/// Fires of one schedule that `catch_up: all` replays after a downtime.
pub const CATCH_UP_FIRES_MAX: usize = 1_000;
/// How long a run or request may go on after a stop was asked for.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

const _: () = {
    assert!(INSTANT_WINDOW_MAX <= CLAIM_RUNS_MAX);
    assert!(BATCH_RUNS_MAX >= GROUP_ROWS_MAX);
    // A few rounds may be late before one counts as overslept, and a lease outlives that.
    assert!(REAP_EVERY.as_millis() * 2 < REAP_GAP_MAX.as_millis());
    assert!(REAP_GAP_MAX.as_millis() < LEASE_DURATION.as_millis());
    assert!(PAGE_DEFAULT <= PAGE_MAX);
    assert!(PAGE_MAX < PAGE_VISITS_MAX);
    assert!(REAP_EVERY.as_secs() < REAP_GAP_MAX.as_secs());
    assert!(REAP_GAP_MAX.as_secs() < LEASE_DURATION.as_secs());
    // A half of the log limit must hold at least one full line of ordinary output.
    assert!(RUN_LOG_BYTES_MAX / 2 >= 64 * 1024);
};
