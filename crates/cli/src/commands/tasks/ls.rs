//! `autom8 tasks ls`

use autom8_api::TaskView;
use autom8_api::client::PageQuery;
use autom8_api::model::{Clock as _, SystemClock, Timestamp};

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

const LIMIT_DEFAULT: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Tasks of one page, at most 1000.
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) async fn run(server: &ServerArguments, arguments: Arguments) -> Result<Exit, Failure> {
    let page = PageQuery {
        limit: Some(arguments.limit),
        cursor: arguments.cursor,
    };
    let list = server.client()?.tasks(&page).await?;
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&list, |list| {
        let headings = ["NAME", "TYPE", "WHEN", "NEXT", "STATE"];
        output.table(headings, list.tasks.iter().map(|task| row(task, now)))
    })?;
    if output.json {
        return Ok(Exit::Ok);
    }
    if list.value.tasks.is_empty() {
        output
            .note("No tasks yet. Add one, e.g. autom8 tasks add hello --every 1m --builtin report");
    }
    if let Some(cursor) = &list.value.meta.next_cursor {
        let limit = match arguments.limit {
            LIMIT_DEFAULT => String::new(),
            limit => format!(" --limit {limit}"),
        };
        output.note(&format!("More: autom8 tasks ls{limit} --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

fn row(task: &TaskView, now: Timestamp) -> [String; 5] {
    [
        task.spec.name.to_string(),
        task.spec.action.task_type().as_str().to_owned(),
        task.trigger.clone().unwrap_or_else(|| "by hand".to_owned()),
        task.next_run_at
            .map_or_else(|| "-".to_owned(), |at| show::relative(at, now)),
        if task.spec.enabled {
            "enabled"
        } else {
            "paused"
        }
        .to_owned(),
    ]
}
