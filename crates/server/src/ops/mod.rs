//! What the command line needs of the store without a server: it may not use the store itself.
//!
//! Nothing here needs a runtime; each function blocks until it is done.

pub mod backup;
