//! A name that no task has: which one was meant?

use autom8_api::client::{Client, ClientError, PageQuery};
use autom8_api::problem::ProblemCode;
use autom8_config::suggest;

use crate::failure::Failure;

/// Tasks among which a near name is looked for.
const NAMES_MAX: usize = 1_000;

/// The failure of a request about the task `name`, with a suggestion if there is no such task.
pub(super) async fn explained(client: &Client, name: &str, error: ClientError) -> Failure {
    let not_found = match &error {
        ClientError::Refused(problem) => problem.code == ProblemCode::NotFound,
        _ => false,
    };
    let failure = Failure::from(error);
    if !not_found {
        return failure;
    }
    let page = PageQuery {
        limit: Some(NAMES_MAX),
        cursor: None,
    };
    let names: Vec<String> = match client.tasks(&page).await {
        Ok(list) => list
            .value
            .tasks
            .iter()
            .map(|task| task.spec.name.to_string())
            .collect(),
        // The first answer stands; this one was for comfort.
        Err(_) => return failure,
    };
    match suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => failure.fix(format!("did you mean `{near}`?")),
        None if names.is_empty() => failure.fix(format!(
            "there are no tasks yet; `autom8 tasks add {name} …` adds it"
        )),
        None => failure.fix("`autom8 tasks ls` lists the tasks"),
    }
}
