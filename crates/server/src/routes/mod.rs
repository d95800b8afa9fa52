//! One route a file: what it takes, its handler, its errors and its tests. Each file exports
//! `routes() -> Router<AppState>`, which [`crate::router`] merges.

pub mod health;
pub mod info;
pub mod root;
