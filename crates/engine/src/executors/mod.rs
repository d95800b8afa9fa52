//! One executor a file.
