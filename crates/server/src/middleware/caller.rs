//! Who is calling: what the middleware has found out about a request before its handler runs.

use std::net::IpAddr;
use std::sync::Arc;

use autom8_model::{ApiKey, Author, KeyId, Scope};

use super::request_id::RequestId;

/// By what right a request is answered.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Without a key: the server asks for none, or not for this.
    Open,
    Key(Arc<ApiKey>),
}

impl Principal {
    /// What people call it: the key's name, or `open`.
    pub fn name(&self) -> &str {
        match self {
            Principal::Open => "open",
            Principal::Key(key) => &key.name,
        }
    }

    pub fn key_id(&self) -> Option<KeyId> {
        match self {
            Principal::Open => None,
            Principal::Key(key) => Some(key.id),
        }
    }

    /// Whether it may do what needs `scope`. Where no key is needed everybody may do everything.
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Principal::Open => true,
            Principal::Key(key) => key.scopes.permit(scope),
        }
    }
}

/// The caller of a request that may change something; in its extensions. A request that only
/// reads is checked and counted all the same, and has none: nothing that answers it asks who
/// reads, and it would cost an allocation.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
    /// None for a program that came through a Unix socket.
    pub address: Option<IpAddr>,
    pub request_id: RequestId,
}

impl Caller {
    /// For the audit log.
    pub fn author(&self) -> Author {
        Author {
            key: self.principal.key_id(),
            principal: self.principal.name().to_owned(),
            request_id: Some(self.request_id.as_str().to_owned()),
            address: self.address,
        }
    }
}
