//! What the command line needs of the store without a server: it may not use the store itself.
//!
//! What is not `async` blocks until it is done.

pub mod backup;
pub mod keys;
