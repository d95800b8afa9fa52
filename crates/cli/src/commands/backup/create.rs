//! `autom8 backup create`
//!
//! A backup is a run like any other: it waits its turn, is logged, and what it made is its
//! result. So it is asked for through a task, and needs nothing that a scheduled backup does not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use autom8_api::TaskView;
use autom8_api::builtin::BackupResult;
use autom8_api::client::{Client, ClientError, PageQuery};
use autom8_api::model::task::BuiltinAction;
use autom8_api::model::{Action, RunState};
use autom8_api::problem::ProblemCode;
use autom8_api::run::RunRequest;

use crate::draft::Draft;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The server copies itself into its data directory, under backups/, through \
a task that does
`backup`; if there is none, one is added that runs by hand. With INTO, the finished copy is
copied on from there; this has to be the server's machine then.

Examples:
  autom8 backup create
  autom8 backup create /mnt/backup/today && autom8 backup verify /mnt/backup/today
  autom8 tasks add nightly-backup --cron '0 3 * * *' --builtin backup --keep 14"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// A directory to copy the backup into; it must not exist yet, or be empty.
    #[arg(value_name = "INTO")]
    into: Option<PathBuf>,
}

/// The task that is added if there is none; the second name is for those who gave the first away.
const TASK_NAMES: [&str; 2] = ["backup", "autom8-backup"];

pub(super) async fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(into) = &arguments.into {
        check_empty(into)?;
    }
    let client = arguments.server.client()?;
    let output = arguments.server.output();
    let task = backup_task(&client).await?;
    let run = client.run_task(&task, &RunRequest::default()).await?;
    let ended = wait::until_ended(&client, run.value.id, None, output).await?;
    let run = &ended.value;
    if run.state != RunState::Completed {
        let why = run.error.as_deref().unwrap_or("without an error");
        let what = format!("backup run {} {}: {why}", run.id, run.state.as_str());
        let exit = wait::exit_of(run, None);
        return Err(Failure::new(exit, what).fix(format!("autom8 runs logs {}", run.id)));
    }
    let result = run.result.as_ref().map(|raw| raw.get()).unwrap_or("null");
    let result: BackupResult = serde_json::from_str(result).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("run {} has an unexpected result: {error}", run.id),
        )
        .fix(format!("look at it: autom8 runs show {} --json", run.id))
    })?;
    let mut place = result.path.clone();
    if let Some(into) = &arguments.into {
        copy(Path::new(&result.path), into)?;
        place = into.display().to_string();
    }
    output.answer(&ended, |_| {
        format!(
            "Backed up {} and {}, {}\n  Into: {place}\n  Next: autom8 backup verify {}",
            show::count(result.tasks, "task"),
            show::count(result.runs, "run"),
            show::bytes(result.bytes),
            show::quoted(&place)
        )
    })?;
    Ok(Exit::Ok)
}

/// The name of a task that backs up and is not paused; it is added if there is none.
async fn backup_task(client: &Client) -> Result<String, Failure> {
    let mut page = PageQuery {
        limit: Some(1_000),
        cursor: None,
    };
    loop {
        let list = client.tasks(&page).await?.value;
        if let Some(task) = list.tasks.iter().find(|task| backs_up(task)) {
            return Ok(task.spec.name.to_string());
        }
        page.cursor = list.meta.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    let mut taken = None;
    for name in TASK_NAMES {
        let mut draft = Draft::default();
        draft.put(&["name"], &name)?;
        draft.put(&["do", "builtin"], &"backup")?;
        match client.add_task(&draft).await {
            Ok(task) => return Ok(task.value.spec.name.to_string()),
            Err(ClientError::Refused(problem)) if problem.code == ProblemCode::Conflict => {
                taken = Some(ClientError::Refused(problem));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match taken {
        Some(error) => Err(Failure::from(error).fix(
            "resume the paused backup task, or add one: autom8 tasks add NAME --builtin backup",
        )),
        None => Err(Failure::new(Exit::Failed, "there is no task that backs up")),
    }
}

fn backs_up(task: &TaskView) -> bool {
    let is_backup = matches!(
        task.spec.action,
        Action::Builtin(BuiltinAction::Backup { .. })
    );
    is_backup && task.spec.enabled
}

fn check_empty(into: &Path) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(into) {
        Ok(entries) => entries.count(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => {
            return Err(Failure::usage(format!(
                "cannot use {}: {error}",
                into.display()
            )));
        }
    };
    match entries {
        0 => Ok(()),
        _ => Err(Failure::usage(format!("{} is not empty", into.display()))
            .fix("name a directory that does not exist yet")),
    }
}

/// Copies a directory with all that is in it, and syncs it: a copy that a power loss takes away
/// was none.
fn copy(from: &Path, into: &Path) -> Result<(), Failure> {
    copy_tree(from, into).map_err(|error| {
        let what = format!(
            "cannot copy {} into {}: {error}",
            from.display(),
            into.display()
        );
        Failure::new(Exit::Failed, what).fix(format!(
            "the backup is complete in {} on the server's machine: copy it from there",
            from.display()
        ))
    })
}

/// Only its owner can read the copy, as with what it is copied from.
fn copy_tree(from: &Path, into: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(into)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            let mut source = File::open(entry.path())?;
            let mut copied = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&target)?;
            std::io::copy(&mut source, &mut copied)?;
            copied.sync_all()?;
        }
    }
    File::open(into)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_holds_every_file_and_never_goes_into_a_full_directory() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        std::fs::create_dir_all(from.join("logs")).unwrap();
        std::fs::write(from.join("a"), "1").unwrap();
        std::fs::write(from.join("logs/b"), "2").unwrap();
        let into = folder.path().join("deep/into");
        check_empty(&into).unwrap();
        copy(&from, &into).unwrap();
        assert_eq!(std::fs::read(into.join("logs/b")).unwrap(), b"2");
        for (name, mode) in [
            ("", 0o700),
            ("a", 0o600),
            ("logs", 0o700),
            ("logs/b", 0o600),
        ] {
            let found = into.join(name).metadata().unwrap().mode() & 0o777;
            assert_eq!(found, mode, "{name}");
        }
        assert_eq!(check_empty(&into).unwrap_err().exit, Exit::Usage);
        let failure = copy(&folder.path().join("none"), &folder.path().join("x")).unwrap_err();
        assert!(
            failure.to_string().contains("copy it from there"),
            "{failure}"
        );
    }
}
