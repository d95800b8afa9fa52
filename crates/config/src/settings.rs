//! The table of everything that can be set. It is the reference too: `autom8 config explain`
//! prints it.

use std::path::PathBuf;
use std::time::Duration;

use crate::host_name::HostName;
use crate::listen::{Listen, ListenAddress};
use crate::network::Network;
use crate::rate_limit::RateLimit;
use crate::table::settings;
use crate::value::{ByteSize, DatabaseUrl, Durability, LogFormat, TimeZoneName};

settings! {
    /// The process that serves.
    section [server] ServerConfig {
        /// Address to listen on: an IP, an IP with a port, or unix:PATH.
        listen: Listen = Listen::default(), guide "API_HOST", flag "listen" "ADDR|unix:PATH";
        /// TCP port; 0 takes a free one.
        port: u16 = 5000, guide "API_PORT", flag "port" "N";
        /// Names by which a proxy on this machine reaches the server, beside localhost and
        /// loopback addresses; requests under any other name are refused.
        allowed_hosts: Vec<HostName> = Vec::new();
        /// What this installation is for, e.g. development, staging or production.
        /// In production, unsafe settings are refused.
        environment: String = "development".to_owned(), guide "ENVIRONMENT", check environment;
        /// IANA time zone in which reports show times. The API and the status page speak UTC, and
        /// a cron schedule names its own zone.
        timezone: TimeZoneName = TimeZoneName::default(), guide "TIMEZONE";
        /// How long runs and requests may go on after a stop was asked for.
        shutdown_grace: Duration = Duration::from_secs(20), check grace;
    }

    /// Where the data lies, and when a write counts as accepted.
    section [storage] StorageConfig {
        /// Directory of the database, run logs, backups and reports; created if missing.
        directory: PathBuf = PathBuf::from("autom8-data"), flag "data" "DIR";
        /// full: an accepted write survives a power loss; normal: it survives a crash of the
        /// process.
        durability: Durability = Durability::Full;
        /// The same as `directory`, as a URL: sqlite:DIRECTORY/autom8.db.
        database_url: Option<DatabaseUrl> = None, guide "DATABASE_URL", secret yes;
    }

    /// What runs tasks.
    section [executors] ExecutorsConfig with { http: HttpExecutorConfig, process: ProcessExecutorConfig } {
        /// Runs that may execute at once.
        slots: u32 = 64, check slots;
    }

    /// Tasks that send HTTP requests.
    section [executors.http] HttpExecutorConfig {
        /// Private networks that tasks may reach when the server is not open on loopback.
        allow_networks: Vec<Network> = Vec::new();
    }

    /// Tasks that start processes.
    section [executors.process] ProcessExecutorConfig {
        /// Let tasks start processes, with the rights of this server.
        enabled: bool = false, flag "allow-process";
    }

    /// How much history is kept; the first bound that is reached drops the oldest.
    section [retention] RetentionConfig {
        /// Age of the oldest run that is kept.
        age: Duration = Duration::from_secs(30 * 86_400), check retention_age;
        /// Ended runs that are kept.
        runs: u64 = 10_000_000, check retention_runs;
        /// Bytes of history that are kept.
        bytes: ByteSize = ByteSize(10 << 30), check retention_bytes;
        /// Age of the oldest entry of the audit log that is kept.
        audit_age: Duration = Duration::from_secs(90 * 86_400), check retention_age;
    }

    /// Answers about contacts that are kept in memory, each for as long as it holds.
    section [cache] CacheConfig {
        /// Bytes of single contacts that are kept; 0B keeps none.
        contacts: ByteSize = ByteSize(16 << 20);
        /// Bytes of pages of lists that are kept; 0B keeps none.
        contact_lists: ByteSize = ByteSize(16 << 20);
    }

    /// What the server measures about itself.
    section [telemetry] TelemetryConfig {
        /// Time between two samples of the machine.
        sample_interval: Duration = Duration::from_secs(1), check sample_interval;
    }

    /// Who may call, and how often.
    section [security] SecurityConfig {
        /// File with an API key that the server takes in as its first `admin` key at a start
        /// without any; only its owner may be able to read it.
        api_key_file: Option<PathBuf> = None, guide "AUTOM8_API_KEY_FILE";
        /// Let anybody read the metrics of a server that other machines can reach, without a key.
        monitoring_open: bool = false;
        /// Limit the requests of each client: of an API key, and without one of an address.
        rate_limit_enabled: bool = true, guide "RATE_LIMIT_ENABLED";
        /// Requests that a client may make; a key may have a limit of its own.
        rate_limit_default: RateLimit = RateLimit { requests: 5_000, period: Duration::from_secs(60) },
            guide "RATE_LIMIT_DEFAULT";
        /// Requests that a client may save up while idle; unset means as many as the limit.
        rate_limit_burst: Option<u32> = None, check burst;
        /// Proxies whose X-Forwarded-For is believed. Without them all clients behind a proxy
        /// share its address and its limit.
        trusted_proxies: Vec<Network> = Vec::new();
        /// Start in production although the rate limit is off.
        allow_production_without_rate_limit: bool = false;
    }

    /// Lines on standard error.
    section [log] LogConfig {
        /// error, warn, info, debug or trace; or directives such as autom8_engine=debug,info.
        level: String = "info".to_owned(), guide "LOG_LEVEL", check level;
        /// text for people, json for machines.
        format: LogFormat = LogFormat::Text;
    }
}

impl ServerConfig {
    /// Where to bind.
    pub fn address(&self) -> ListenAddress {
        match &self.listen {
            Listen::Unix(path) => ListenAddress::Unix(path.clone()),
            Listen::Tcp { host, port } => {
                ListenAddress::Tcp((*host, port.unwrap_or(self.port)).into())
            }
        }
    }

    pub fn is_production(&self) -> bool {
        self.environment == "production"
    }
}

/// Runs at once in one process: each may own a child process, a pipe pair and a thread's stack.
const SLOTS_MAX: u32 = 4_096;
/// A service manager kills what takes longer.
const SHUTDOWN_GRACE_MAX: Duration = Duration::from_secs(3_600);
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(100);
const SAMPLE_INTERVAL_MAX: Duration = Duration::from_secs(60);
const RETENTION_AGE_MIN: Duration = Duration::from_secs(60);
const RETENTION_RUNS_MIN: u64 = 1_000;
const RETENTION_BYTES_MIN: u64 = 16 << 20;
const ENVIRONMENT_CHARS_MAX: usize = 64;

fn slots(slots: &u32) -> Result<(), String> {
    within(*slots, 1, SLOTS_MAX)
}

fn within<T: PartialOrd + std::fmt::Display>(value: T, min: T, max: T) -> Result<(), String> {
    if value < min || value > max {
        return Err(format!("{value} is out of range: use {min} to {max}"));
    }
    Ok(())
}

fn grace(grace: &Duration) -> Result<(), String> {
    match *grace > SHUTDOWN_GRACE_MAX {
        true => Err("is longer than 1h, which no service manager waits for".to_owned()),
        false => Ok(()),
    }
}

fn sample_interval(interval: &Duration) -> Result<(), String> {
    match (SAMPLE_INTERVAL_MIN..=SAMPLE_INTERVAL_MAX).contains(interval) {
        true => Ok(()),
        false => Err("is out of range: use 100ms to 60s".to_owned()),
    }
}

fn retention_age(age: &Duration) -> Result<(), String> {
    match *age < RETENTION_AGE_MIN {
        true => Err("is shorter than 1m: history would vanish while it is looked at".to_owned()),
        false => Ok(()),
    }
}

fn retention_runs(runs: &u64) -> Result<(), String> {
    within(*runs, RETENTION_RUNS_MIN, i64::MAX as u64)
}

fn retention_bytes(bytes: &ByteSize) -> Result<(), String> {
    match bytes.0 < RETENTION_BYTES_MIN {
        true => Err("is less than 16MiB: a few run logs would fill it".to_owned()),
        false => Ok(()),
    }
}

fn burst(burst: &Option<u32>) -> Result<(), String> {
    match burst {
        Some(0) => Err("is 0, which would refuse every request: use 1 or more".to_owned()),
        _ => Ok(()),
    }
}

fn environment(name: &str) -> Result<(), String> {
    let fits = (1..=ENVIRONMENT_CHARS_MAX).contains(&name.chars().count());
    match fits
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        true => Ok(()),
        false => Err(format!(
            "`{name}` is not a name: use letters, digits, - _ . and at most {ENVIRONMENT_CHARS_MAX}"
        )),
    }
}

/// Only the levels are judged here; whether a target of a directive exists nobody can know.
fn level(directives: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in directives.split(',') {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level);
        if !LEVELS.contains(&level.trim().to_ascii_lowercase().as_str()) {
            return Err(format!(
                "`{level}` is not a level: use {}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}
