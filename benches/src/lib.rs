//! What the benchmarks share. Each of them is a program of its own that asks one question,
//! compares within one run, and prints the machine, the commit and the durability mode with its
//! figures: a number without these is not a result.
//!
//! [`machine`] describes where it runs, [`percentiles`] sums up, [`load`] asks over HTTP,
//! [`reference`](mod@reference) is the bare server that the product's is held against, [`product`]
//! starts the product as a process, [`in_process`] its engine and store in this one, [`ceiling`] is
//! the bare store that the engine is held against, [`random`] draws the keys. [`contact_rows`] are
//! what the product and [`reference_contacts`] both hold.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

pub mod ceiling;
pub mod contact_rows;
pub mod in_process;
pub mod load;
pub mod machine;
pub mod percentiles;
pub mod product;
pub mod random;
pub mod reference;
pub mod reference_contacts;
