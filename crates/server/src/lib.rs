//! The server: it wires the parts, and puts them behind HTTP.
//!
//! A request comes in through [`listen`], our own accept loop, and is matched by [`router`], which
//! has every route on one page; [`endpoints`] is the table of what they are for and who may call
//! them. Around its handler lies [`middleware`]; the handler is a file of [`routes`], reads what it
//! was sent with axum's extractors, asks the store or the engine through [`state`], and answers a
//! type of `autom8-api` or an [`error`]. [`telemetry`] keeps what was measured and publishes it
//! once a second.
//!
//! [`serve`](lifecycle::serve) is the whole life of the process: [`wiring`] opens and starts the
//! parts in their order, and the end lets each finish what it has accepted. [`ops`] is what the
//! command line needs of store and engine without a server. Beside the requests, [`pruner`] drops what
//! is no longer kept.

#[cfg(test)]
mod access_tests;
mod answer;
pub mod builtins;
pub mod contact_cache;
pub mod contact_files;
pub mod digest;
pub mod endpoints;
pub mod error;
pub mod extract;
mod first_key;
mod key_rules;
pub mod lifecycle;
pub mod listen;
pub mod middleware;
mod openapi;
pub mod ops;
mod pruner;
pub mod router;
pub mod routes;
mod shown;
pub mod state;
pub mod telemetry;
mod to_the_end;
mod wiring;

pub use error::ApiProblem;
pub use state::AppState;
