//! A task or a change of one, put together from flags: each flag puts a value at a path.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::failure::{Exit, Failure};

/// A JSON object under construction. Values are kept as they were written.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Draft(BTreeMap<String, Node>);

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Node {
    Value(Box<RawValue>),
    Object(Draft),
}

impl Draft {
    /// Puts a value at a path; objects on the way are made.
    ///
    /// # Errors
    /// If a value is there already, or on the way: two flags say different things.
    pub(crate) fn put(&mut self, path: &[&str], value: &impl Serialize) -> Result<(), Failure> {
        let value = to_raw_value(value).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot write {} as JSON: {error}", path.join(".")),
            )
        })?;
        self.put_raw(path, value)
    }

    /// The same for a flag that may be absent.
    pub(crate) fn put_if<T: Serialize>(
        &mut self,
        path: &[&str],
        value: Option<&T>,
    ) -> Result<(), Failure> {
        match value {
            Some(value) => self.put(path, value),
            None => Ok(()),
        }
    }

    pub(crate) fn put_raw(&mut self, path: &[&str], value: Box<RawValue>) -> Result<(), Failure> {
        let twice = || Failure::usage(format!("`{}` is given twice", path.join(".")));
        let Some((last, way)) = path.split_last() else {
            return Err(twice());
        };
        let mut object = self;
        for name in way {
            let node = object
                .0
                .entry((*name).to_owned())
                .or_insert_with(|| Node::Object(Draft::default()));
            object = match node {
                Node::Object(object) => object,
                Node::Value(_) => return Err(twice()),
            };
        }
        match object.0.insert((*last).to_owned(), Node::Value(value)) {
            None => Ok(()),
            Some(_) => Err(twice()),
        }
    }

    /// Applies `FIELD=VALUE`, where the field may be a path with dots and a value that is not
    /// JSON is a text: `retry.max_attempts=5`, `queue=slow`.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<(), Failure> {
        let Some((path, value)) = assignment
            .split_once('=')
            .filter(|(path, _)| !path.is_empty())
        else {
            return Err(Failure::usage(format!("--set `{assignment}` has no `=`"))
                .fix("write --set FIELD=VALUE, e.g. --set retry.max_attempts=5"));
        };
        let path: Vec<&str> = path.split('.').collect();
        match serde_json::from_str::<Box<RawValue>>(value) {
            Ok(raw) => self.put_raw(&path, raw),
            Err(_) => self.put(&path, &value),
        }
    }

    /// Whether there is a value, or an object, of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(draft: &Draft) -> String {
        serde_json::to_string(draft).unwrap()
    }

    #[test]
    fn values_find_their_place_and_keep_their_writing() {
        let mut draft = Draft::default();
        draft.put(&["name"], &"a").unwrap();
        draft.set("retry.max_attempts=5").unwrap();
        draft.set("do.http.body={\"n\": 1.50}").unwrap();
        draft.set("do.http.url=http://x/?a=b").unwrap();
        draft.set("schedule=null").unwrap();
        draft.put_if::<u8>(&["priority"], None).unwrap();
        assert_eq!(
            json(&draft),
            r#"{"do":{"http":{"body":{"n": 1.50},"url":"http://x/?a=b"}},"name":"a","retry":{"max_attempts":5},"schedule":null}"#
        );
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        let mut draft = Draft::default();
        draft.set("retry.backoff=1s").unwrap();
        for again in ["retry.backoff=2s", "retry.backoff.x=1"] {
            let failure = draft.set(again).unwrap_err().to_string();
            assert!(failure.contains("given twice"), "{failure}");
        }
        assert!(
            draft
                .set("nothing")
                .unwrap_err()
                .to_string()
                .contains("has no `=`")
        );
        assert!(draft.set("=1").is_err());
    }
}
