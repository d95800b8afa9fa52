//! The documents are true: their samples run, and their references say what the program says.

mod reference;
mod samples;

use autom8_tests::binary::repository_root;

/// A document, by its path from the repository's root.
#[track_caller]
fn document(path: &str) -> String {
    let file = repository_root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}
