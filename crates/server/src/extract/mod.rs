//! What a request brings, read strictly: a body, a query or a path is understood whole, or refused
//! with the place of the fault and its fix, before anything is written.
//!
//! [`scan`] judges the bytes of a body as JSON and says where a value begins and ends; [`json`]
//! makes a type of them; [`merge`] lays a patch over a document; [`batch`] reads ten thousand inputs
//! without making ten thousand of anything; [`contact`] and [`contact_batch`] read contacts.
//! [`query`], [`contact_query`] and [`path`] read the rest of the request, and [`writing`] says who
//! asks for a write.

pub mod batch;
pub mod contact;
pub mod contact_batch;
pub mod contact_query;
pub mod json;
pub mod merge;
pub mod path;
pub mod query;
pub mod scan;
pub mod writing;

pub use json::{JsonBody, OptionalJsonBody};
pub use path::{RunPath, TaskPath};
pub use query::{FromQuery, Parameters, Query};
pub use writing::Writing;
