//! One executor a file.

pub mod builtin;
pub mod noop;

pub use builtin::{Builtin, BuiltinExecutor};
pub use noop::Noop;
