//! The product from outside, as its users meet it: one binary whose tree mirrors the routes.

fn main() {}
