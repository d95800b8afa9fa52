//! Whoever sends it, in whatever form: it is answered as one request or refused as one, nothing is
//! written that was not asked for in good form, and honest clients notice nothing.
//!
//! [`corpus`] is what is wrong inside of requests: bodies, paths and queries, against every route
//! that the server lists. [`framing`] is what is wrong with requests themselves, byte by byte, and
//! [`connections`] what is wrong with the pace of those who send them. [`limits`] is who sends too many
//! in good form.

mod connections;
mod corpus;
mod framing;
mod limits;
