//! `process`: one child process by argument vector; exit code 0 completes the run.
//!
//! The child leads a process group of its own, and nothing outlives its run: at the end, at a
//! stop and when the attempt is dropped the whole group goes, and so does what slipped out of it
//! with `setsid` or a double fork. It inherits a short list of environment variables and none of
//! the server's secrets. If the server dies the kernel kills it, and the next server ends what it
//! had started.

mod family;
mod spawner;
mod strays;
mod survivors;
mod table;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::task::ProcessAction;
use autom8_model::{Action, TaskType};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;

use self::spawner::Spawner;
use crate::executor::{Ended, Executor, RunContext};
use crate::run_log::RunLog;
use crate::timer;

/// What a child inherits. Everything else of the server's environment may be a secret; a task
/// names what more it needs in `env`.
const INHERITED: [&str; 9] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
];
const INHERITED_PREFIX: &str = "LC_";
/// Output that is still in the pipes after the end. Nobody is left to write more, so this only
/// bounds what a process that could not be found might hold open.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
/// How often the dead among adopted orphans are reaped during a run: one that forks away a process
/// a second would otherwise fill the process table within hours.
const REAP_PERIOD: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 16 * 1024;
/// Bytes of standard error that an error message may quote from.
const QUOTE_BYTES: usize = 300;
/// Of the output the result repeats so much: with every byte written as six (`\u0000`) it stays
/// below [`autom8_model::limits::RESULT_BYTES_MAX`].
const RESULT_OUTPUT_BYTES: u64 = 8 * 1024;
const INPUT_PREFIX: &str = "autom8-input-";

#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Off means that every process run fails with a message that names the switch.
    pub enabled: bool,
    /// A directory for the files that hold the inputs of running runs; it must exist, and no other
    /// living server may use it, as what was left there by a crash is removed at start: files and
    /// processes.
    pub input_directory: PathBuf,
}

/// Runs `process` tasks.
///
/// Once enabled, this process adopts what its children orphan (it becomes their "subreaper"):
/// only so can runs that fork themselves away be found, ended and reaped.
pub struct ProcessExecutor {
    config: ProcessConfig,
    spawner: Spawner,
}

impl ProcessExecutor {
    /// Ends what runs of an earlier server have left behind, which blocks for as long as that
    /// takes: milliseconds, or 5 s if the kernel cannot end one of them. It does so while process
    /// tasks are off, too, since they may have been on before.
    pub fn new(config: ProcessConfig) -> Self {
        if config.enabled
            && let Err(error) =
                rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        {
            tracing::warn!(%error, "orphans of process tasks cannot be adopted");
        }
        end_survivors(&config.input_directory);
        remove_leftovers(&config.input_directory);
        ProcessExecutor {
            config,
            spawner: Spawner::default(),
        }
    }

    fn command(action: &ProcessAction, context: &RunContext, mark: Mark, input: &Path) -> Command {
        let (program, arguments) = action
            .argv
            .split_first()
            .map_or(("", &[][..]), |(p, a)| (p, a));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(inherited(std::env::vars_os()))
            .envs(&action.env)
            .envs(mark)
            .env("AUTOM8_TASK", context.task.spec.name.as_str())
            .env("AUTOM8_INPUT_FILE", input)
            .stdin(if action.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(directory) = &action.cwd {
            command.current_dir(directory);
        }
        command
    }

    async fn run(&self, action: &ProcessAction, context: &RunContext) -> Ended {
        let directory = &self.config.input_directory;
        let written = write_input(directory, context.input_bytes());
        let (input, mark) = match written.and_then(|input| Ok((input, mark(directory, context)?))) {
            Ok(written) => written,
            Err(error) => {
                let directory = directory.display();
                return Ended::failed(format!(
                    "the input cannot be written in {directory}: {error}"
                ));
            }
        };
        let entries = mark.iter().map(|(name, value)| format!("{name}={value}"));
        let entries = entries.collect();
        let command = Self::command(action, context, mark, input.path());
        let mut family = match self.spawner.spawn(command, entries).await {
            Ok(family) => family,
            Err(error) => return cannot_start(action, &error),
        };
        let pipes = family.take_pipes();
        let last_words = Mutex::new(Vec::new());
        let traffic = async {
            tokio::join!(
                feed(pipes.stdin, action.stdin.as_deref()),
                copy(pipes.stdout, &context.log, None),
                copy(pipes.stderr, &context.log, Some(&last_words)),
            );
        };
        tokio::pin!(traffic);
        let mut traffic_over = false;
        let stopped = loop {
            tokio::select! {
                biased;
                () = family.exited() => break false,
                () = context.cancel.cancelled() => break true,
                () = &mut traffic, if !traffic_over => traffic_over = true,
                () = timer::sleep(REAP_PERIOD) => strays::reap(),
            }
        };
        if stopped {
            let stop = family.stop();
            tokio::pin!(stop);
            loop {
                tokio::select! {
                    biased;
                    () = &mut stop => break,
                    () = &mut traffic, if !traffic_over => traffic_over = true,
                }
            }
        }
        let gone = family.end().await;
        if !traffic_over {
            tokio::select! {
                biased;
                () = &mut traffic => {}
                () = timer::sleep(DRAIN_WAIT) => {
                    context.log.note("something still holds the output open; it is not read on");
                }
            }
        }
        if gone.strays > 0 {
            context.log.note(&format!(
                "ended {} processes that it left behind",
                gone.strays
            ));
        }
        match gone.status {
            _ if stopped => Ended::Cancelled,
            Ok(status) => read_status(status, &last_words.lock(), &last_output(&context.log)),
            Err(error) => Ended::failed(format!("its exit status cannot be read: {error}")),
        }
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn task_type(&self) -> TaskType {
        TaskType::Process
    }

    async fn execute(&self, context: RunContext) -> Ended {
        if !self.config.enabled {
            return Ended::failed_for_good(
                "process tasks are off on this server: start it with --allow-process, or set \
                 executors.process.enabled",
            );
        }
        match &context.task.spec.action {
            Action::Process(action) => self.run(action, &context).await,
            _ => Ended::failed_for_good("this is not a process task"),
        }
    }
}

/// The variables by which whatever a run starts is known as its own.
type Mark = [(&'static str, String); 3];

fn mark(directory: &Path, context: &RunContext) -> io::Result<Mark> {
    Ok([
        (survivors::OWNER, survivors::owner(directory)?),
        ("AUTOM8_RUN_ID", context.run.to_string()),
        ("AUTOM8_ATTEMPT", context.attempt.to_string()),
    ])
}

fn inherited(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> HashMap<OsString, OsString> {
    environment
        .filter(|(name, _)| {
            name.to_str()
                .is_some_and(|name| INHERITED.contains(&name) || name.starts_with(INHERITED_PREFIX))
        })
        .collect()
}

/// A file that only this user can read and that is removed when its run is over. A run without
/// input has `null`, so that a program can always parse it.
fn write_input(directory: &Path, input: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(INPUT_PREFIX)
        .suffix(".json")
        .tempfile_in(directory)?;
    file.write_all(if input.is_empty() { b"null" } else { input })?;
    Ok(file)
}

fn end_survivors(directory: &Path) {
    let swept = match survivors::owner(directory) {
        Ok(owner) => survivors::end(&owner),
        // There is no such directory, and so nothing that was started for it.
        Err(_) => return,
    };
    if swept.ended > 0 {
        tracing::info!(
            processes = swept.ended,
            "ended what runs of a server that was killed had left behind"
        );
    }
    if swept.left > 0 {
        tracing::warn!(
            processes = swept.left,
            "processes of a server that was killed live on beside their runs: end those with \
             {} in their environment by hand",
            survivors::OWNER
        );
    }
}

fn remove_leftovers(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(INPUT_PREFIX)
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "a leftover input stays");
        }
    }
}

fn cannot_start(action: &ProcessAction, error: &io::Error) -> Ended {
    let program = action.argv.first().map_or("", String::as_str);
    let cwd = action
        .cwd
        .as_deref()
        .map(|cwd| format!(" in {cwd}"))
        .unwrap_or_default();
    let message = format!("cannot start `{program}`{cwd}: {error}");
    match error.kind() {
        io::ErrorKind::NotFound => Ended::failed_for_good(format!(
            "{message}; give the full path of an existing program, and a `cwd` that exists"
        )),
        io::ErrorKind::PermissionDenied => Ended::failed_for_good(format!(
            "{message}; make it executable (chmod +x) for the server's user"
        )),
        // Out of processes, memory or descriptors: later there may be some.
        _ => Ended::failed(message),
    }
}

/// The end of what was printed, for the result: whoever reads the task logs sees it without asking
/// for the run's own log, which has all of it.
fn last_output(log: &RunLog) -> String {
    let from = log.written().saturating_sub(RESULT_OUTPUT_BYTES);
    String::from_utf8_lossy(&log.read_from(from).1).into_owned()
}

fn read_status(status: ExitStatus, last_words: &[u8], output: &str) -> Ended {
    let (what, result) = match (status.code(), status.signal()) {
        (Some(0), _) => {
            let result = json!({"exit_code": 0, "output": output});
            return Ended::Completed {
                result: Some(result.to_string().into_bytes()),
            };
        }
        (Some(code), _) => (
            format!("exit code {code}"),
            json!({"exit_code": code, "output": output}),
        ),
        (None, Some(signal)) => {
            let name = match signal {
                6 => " (SIGABRT)",
                9 => " (SIGKILL; out of memory, perhaps)",
                11 => " (SIGSEGV)",
                15 => " (SIGTERM)",
                _ => "",
            };
            (
                format!("killed by signal {signal}{name}"),
                json!({"signal": signal, "output": output}),
            )
        }
        (None, None) => (format!("ended as {status}"), json!({"output": output})),
    };
    let text = String::from_utf8_lossy(last_words);
    let last_line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let error = match last_line {
        Some(line) => format!("{what}: {line}"),
        None => what,
    };
    match Ended::failed(error) {
        Ended::Failed { error, retry, .. } => Ended::Failed {
            error,
            retry,
            result: Some(result.to_string().into_bytes()),
        },
        other => other,
    }
}

/// Hands over the input and closes it. A child that does not read it is no error.
async fn feed(stdin: Option<impl AsyncWrite + Unpin>, text: Option<&str>) {
    if let (Some(mut stdin), Some(text)) = (stdin, text) {
        let _ = stdin.write_all(text.as_bytes()).await;
        let _ = stdin.shutdown().await;
    }
}

/// Copies output to the log until its end, and keeps the last of it in `last_words`.
async fn copy(
    output: Option<impl AsyncRead + Unpin>,
    log: &RunLog,
    last_words: Option<&Mutex<Vec<u8>>>,
) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(bytes @ 1..) = output.read(&mut buffer).await {
        let bytes = &buffer[..bytes];
        log.write(bytes);
        if let Some(last_words) = last_words {
            let mut last_words = last_words.lock();
            last_words.extend_from_slice(bytes);
            let excess = last_words.len().saturating_sub(QUOTE_BYTES);
            last_words.drain(..excess);
        }
    }
}

#[cfg(test)]
mod tests;
