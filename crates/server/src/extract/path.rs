//! The noun in a path. A path that cannot name anything names nothing: it is 404, like one that
//! could.

use autom8_api::problem::Problem;
use autom8_model::{ContactId, KeyId, RunId, TaskName};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::scan::shown_key;
use crate::error::ApiProblem;

/// `/tasks/{name}` and below.
#[derive(Clone, Debug)]
pub struct TaskPath(pub TaskName);

/// `/runs/{id}` and below.
#[derive(Clone, Copy, Debug)]
pub struct RunPath(pub RunId);

/// `/keys/{id}`.
#[derive(Clone, Copy, Debug)]
pub struct KeyPath(pub KeyId);

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let text = segment(parts, state).await?;
        let missing = || Problem::not_found(format!("key {}", shown_key(&text))).into();
        text.parse()
            .map(|id| KeyPath(KeyId(id)))
            .map_err(|_| missing())
    }
}

/// `/contacts/{id}`.
#[derive(Clone, Copy, Debug)]
pub struct ContactPath(pub ContactId);

impl<S: Send + Sync> FromRequestParts<S> for ContactPath {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        // As it stands on the wire, which takes no copy of it.
        let written = parts.uri.path().rsplit('/').next();
        if let Some(id) = written.and_then(id) {
            return Ok(ContactPath(ContactId(id)));
        }
        let text = segment(parts, state).await?;
        match id(&text) {
            Some(id) => Ok(ContactPath(ContactId(id))),
            None => Err(no_contact(&text)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let text = segment(parts, state).await?;
        text.parse().map(TaskPath).map_err(|_| no_task(&text))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let text = segment(parts, state).await?;
        match id(&text) {
            Some(id) => Ok(RunPath(RunId(id))),
            None => Err(no_run(&text)),
        }
    }
}

/// An id as it is given out, and in no other spelling: `+7` and `07` would be further addresses of
/// what is at `7`.
pub(crate) fn id(text: &str) -> Option<i64> {
    let id = text.parse().ok()?;
    (id > 0 && !text.starts_with(['0', '+'])).then_some(id)
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiProblem> {
    match Path::<String>::from_request_parts(parts, state).await {
        Ok(Path(text)) => Ok(text),
        // Percent-encoding that is no UTF-8.
        Err(_) => {
            let path: String = parts.uri.path().chars().take(100).collect();
            Err(Problem::not_found(path).into())
        }
    }
}

pub fn no_task(name: &str) -> ApiProblem {
    Problem::not_found(format!("task `{}`", shown_key(name))).into()
}

pub fn no_contact(id: &str) -> ApiProblem {
    Problem::not_found(format!("contact {}", shown_key(id))).into()
}

pub fn no_run(id: &str) -> ApiProblem {
    Problem::not_found(format!("run {}", shown_key(id))).into()
}

#[cfg(test)]
mod tests {
    use crate::routes::test_bench::Bench;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(super::id("7"), Some(7));
        assert_eq!(super::id("9223372036854775807"), Some(i64::MAX));
        for other in [
            "",
            "0",
            "-7",
            "+7",
            "07",
            " 7",
            "7 ",
            "7.0",
            "9223372036854775808",
        ] {
            assert_eq!(super::id(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_names_nothing_is_not_found_and_repeated_as_it_came() {
        let bench = Bench::start().await;
        for (path, named) in [
            ("/api/v1/tasks/nope", "task `nope`"),
            ("/api/v1/tasks/No%20Name", "task `No Name`"),
            ("/api/v1/tasks/%ff", "/api/v1/tasks/%ff"),
            ("/api/v1/runs/7", "run 7"),
            ("/api/v1/runs/x", "run x"),
            ("/api/v1/runs/+7", "run +7"),
            ("/api/v1/runs/-7", "run -7"),
            (
                "/api/v1/runs/99999999999999999999",
                "run 99999999999999999999",
            ),
        ] {
            let message = bench.get(path).await.expect_problem(404);
            assert_eq!(message, format!("{named} does not exist"), "{path}");
        }
    }
}
