//! The HTTP API as an OpenAPI document, made of what the server is made of: the table of
//! [`endpoints`](crate::endpoints) says what there is, what it is for and who may call it; the types
//! of `autom8-api` bring the schemas of what is sent and answered; and a file of [`nouns`] says for
//! each endpoint what it takes and what it may answer.
//!
//! [`operation`] is the form in which the nouns say that, [`parameters`] and [`refusals`] what many
//! have in common, [`document`] puts all into one document, and [`page`] shows it to people.

mod document;
mod nouns;
mod operation;
pub(crate) mod page;
mod parameters;
mod refusals;
mod schemas;

pub(crate) use document::json;

#[cfg(test)]
mod samples_tests;
#[cfg(test)]
mod tests;
