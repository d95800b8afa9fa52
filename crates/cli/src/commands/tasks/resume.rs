//! `autom8 tasks resume NAME`

use autom8_api::model::{Clock as _, SystemClock};

use super::unknown;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let name = &arguments.name;
    let task = match client.resume_task(name).await {
        Ok(task) => task,
        Err(error) => return Err(unknown::explained(&client, name, error).await),
    };
    let now = SystemClock::new().now();
    server
        .output()
        .answer(&task, |task| match task.next_run_at {
            Some(at) => format!("Resumed task `{name}`; next {}", show::absolute(at, now)),
            None => format!("Resumed task `{name}`; it runs by hand"),
        })?;
    Ok(Exit::Ok)
}
