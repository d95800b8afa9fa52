//! What a server says of itself: `GET /api/v1/info` and `GET /`.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/info`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Info {
    pub name: String,
    pub version: String,
    pub environment: String,
    /// `full`: an accepted write survives a power loss; `normal`: it survives a crash of the
    /// process.
    pub durability: String,
    pub storage: StorageSummary,
    pub security: SecuritySummary,
    /// Where the endpoints are listed, relative to this server.
    pub docs: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StorageSummary {
    /// E.g. `sqlite`.
    pub kind: String,
    pub library_version: String,
    pub schema_version: i64,
}

/// Who may reach the server and what its tasks may do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecuritySummary {
    /// `loopback` or `unix_socket`: only programs of this machine; `network`: others too.
    pub reachable_from: String,
    /// Whether requests need an API key.
    pub api_key_required: bool,
    /// Whether metrics can be read without one.
    #[serde(default)]
    pub monitoring_open: bool,
    /// Whether changes by web pages from elsewhere are refused, and on loopback all their requests.
    pub host_guard: bool,
    /// What a client may ask, e.g. `5000 per minute`; `null` where nothing is limited.
    #[serde(default)]
    pub rate_limit: Option<String>,
    /// Whether tasks may start processes.
    pub process_tasks: bool,
}

/// `GET /` for a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Index {
    pub service: String,
    pub version: String,
    pub endpoints: Vec<EndpointSummary>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EndpointSummary {
    pub methods: Vec<String>,
    pub path: String,
    pub summary: String,
}
