//! Layered settings: flags over environment over `autom8.toml` over defaults, and every value
//! knows where it comes from.
//!
//! In reading order: [`settings`] is the one table of everything that can be set, with type,
//! default, names and help; [`table`] turns it into structs and rows; [`value`] says how a value
//! is written; [`file`] finds the values of a TOML text with their lines; [`layers`] lays the
//! sources over each other and judges the whole. All of that is pure. [`read`] is the edge that
//! reads the environment and the files of this process.

mod error;
mod file;
pub mod host_name;
mod layers;
pub mod listen;
pub mod network;
pub mod origin;
pub mod rate_limit;
mod read;
pub mod settings;
pub mod suggest;
pub mod table;
pub mod value;

pub use error::{ConfigError, Fault};
pub use host_name::HostName;
pub use layers::{FileText, Sources};
pub use listen::{Listen, ListenAddress};
pub use network::Network;
pub use origin::Origin;
pub use rate_limit::RateLimit;
pub use read::{CONFIG_FILE, read};
pub use settings::{
    CacheConfig, ExecutorsConfig, HttpExecutorConfig, LogConfig, ProcessExecutorConfig,
    RetentionConfig, SecurityConfig, ServerConfig, StorageConfig, TelemetryConfig,
};
pub use table::{SETTINGS, Setting};
pub use value::{ByteSize, DatabaseUrl, Durability, LogFormat, TimeZoneName};

use origin::Origins;

/// Everything that can be set, each value with its origin.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub server: ServerConfig,
    pub storage: StorageConfig,
    pub executors: ExecutorsConfig,
    pub retention: RetentionConfig,
    pub cache: CacheConfig,
    pub telemetry: TelemetryConfig,
    pub security: SecurityConfig,
    pub log: LogConfig,
    origins: Origins,
}

impl Config {
    /// Lays the sources over the defaults and checks the whole.
    ///
    /// # Errors
    /// All faults at once, each with its place and its fix.
    pub fn load(sources: &Sources<'_>) -> Result<Config, ConfigError> {
        layers::load(sources)
    }

    /// Where the value of a setting comes from.
    pub fn origin(&self, setting: &Setting) -> &Origin {
        self.origins.of(setting.key)
    }

    /// What a person may see of a value: secrets are left out.
    pub fn shown(&self, setting: &Setting) -> String {
        (setting.show)(self)
    }

    /// The file of the database, inside the data directory.
    pub fn database_path(&self) -> std::path::PathBuf {
        self.storage.directory.join(value::DATABASE_FILE)
    }

    /// What is odd but not refused, for a person to read at start and in `config check`.
    pub fn warnings(&self) -> Vec<String> {
        layers::warnings(self)
    }
}
