//! One executor a file.

pub mod builtin;
pub mod http;
pub mod noop;
pub mod process;

pub use builtin::{Builtin, BuiltinExecutor};
pub use http::HttpExecutor;
pub use http::network::{Network, NetworkError, NetworkPolicy};
pub use noop::Noop;
pub use process::{ProcessConfig, ProcessExecutor};

#[cfg(test)]
mod one_run;
