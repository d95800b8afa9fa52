//! `autom8 serve`: the server, until it is told to stop.

use std::io::IsTerminal as _;

use autom8_config::{Config, LogFormat};
use autom8_server::lifecycle::{Announcement, ServeError, serve};
use autom8_server::listen::bind::BoundTo;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::setting_arguments::SettingArguments;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Flags win over the environment, the environment over the file, the file \
over defaults;
`autom8 config explain` lists all settings. SIGINT or SIGTERM stops gracefully, a second one at \
once.
Until the first API key is made (autom8 keys add), every user of this machine can use the server on
loopback, and with --allow-process run programs as its user; a Unix socket keeps others out.

Examples:
  autom8 serve
  autom8 serve --port 5001 --data /var/lib/autom8
  autom8 serve --allow-process            let tasks start processes on this machine
  autom8 serve --listen unix:autom8.sock"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut config = arguments.settings.load()?;
    log_to_stderr(&config)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    // Whatever says where a file is must be true for a reader in another directory, too.
    let directory = &config.storage.directory;
    config.storage.directory = std::path::absolute(directory).map_err(|error| {
        let what = format!("cannot tell where {} is: {error}", directory.display());
        Failure::usage(what).fix("name the data directory from the root: --data /…")
    })?;
    // As many workers as the CPUs this process may use (tokio counts affinity and control
    // groups): requests are short and never block, so more workers would only take turns. The
    // store's writer and readers, the engine's blocking work and the sampler have threads of
    // their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("autom8-worker")
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot start threads: {error}"))
                .fix("allow this user more threads and open files (ulimit -u, ulimit -n)")
        })?;
    let exit = runtime.block_on(serve_until_stopped(config));
    // What is still on a blocking thread ends with the process; all that was accepted is stored.
    runtime.shutdown_background();
    exit
}

async fn serve_until_stopped(config: Config) -> Result<Exit, Failure> {
    let mut signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot listen for signals: {error}"))
    })?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let announce = |announcement: &Announcement| {
        // A closed standard output must not end a server.
        _ = Output::new(false).print(&lines(announcement));
    };
    let serving = serve(config, announce, async move {
        // A dropped sender would mean that nobody listens for signals any more: stop then, too.
        _ = stopped.await;
    });
    let twice = async {
        let name = signals.next().await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        _ = stop.send(());
        signals.next().await
    };
    tokio::select! {
        served = serving => match served {
            Ok(()) => Ok(Exit::Ok),
            Err(error) => Err(refusal(&error)),
        },
        name = twice => {
            let what = format!("stopped at once by a second signal ({name})");
            Err(Failure::new(Exit::Failed, what)
                .fix("nothing that was accepted is lost; the next start takes up interrupted runs"))
        }
    }
}

fn refusal(error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::BeyondLoopback { .. }
        | ServeError::FirstKey { .. }
        | ServeError::RateLimit(_) => Exit::Usage,
        ServeError::Store(_) | ServeError::Listen(_) | ServeError::Thread(_) => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn log_to_stderr(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log.level).map_err(|error| {
        Failure::usage(format!(
            "log.level `{}` cannot be used: {error}",
            config.log.level
        ))
        .fix("write a level, e.g. info, or directives such as autom8_engine=debug,info")
    })?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color);
    match config.log.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// What a person wants to know first: where it is, where the data is and how safe, what to do
/// next.
fn lines(announcement: &Announcement) -> String {
    let server = announcement.bound_to.to_string();
    let ready_ms = announcement.ready_after.as_secs_f64() * 1_000.0;
    let mut lines = vec![format!(
        "autom8 {} ready in {}",
        announcement.version,
        show::millis(ready_ms)
    )];
    lines.push(match &announcement.bound_to {
        BoundTo::Tcp(_) => format!("  Status   {server}/"),
        BoundTo::Unix(path) => {
            format!(
                "  Status   curl --unix-socket {} http://localhost/",
                path.display()
            )
        }
    });
    lines.push(format!(
        "  API      {server}/api/v1   metrics: /metrics   health: /readyz"
    ));
    let data = announcement
        .data_file
        .as_ref()
        .map(|path| path.display().to_string());
    lines.push(format!(
        "  Data     {}   {}, {}",
        data.as_deref().unwrap_or("elsewhere"),
        announcement.store_kind,
        durability(announcement.durability)
    ));
    let mut state = vec![
        show::count(announcement.tasks, "task"),
        format!("{} waiting", show::count(announcement.runs_queued, "run")),
    ];
    if announcement.runs_taken_back > 0 {
        let taken_back = show::count(announcement.runs_taken_back, "run");
        state.push(format!("{taken_back} taken up after a crash"));
    }
    if announcement.process_tasks {
        state.push("tasks may start processes".to_owned());
    }
    lines.push(format!("  Tasks    {}", state.join(", ")));
    lines.push(format!("  Keys     {}", keys(announcement)));
    let mut label = "  Next     ";
    if server != autom8_api::client::DEFAULT_SERVER {
        lines.push(format!(
            "{label}export AUTOM8_SERVER_URL={}",
            show::quoted(&server)
        ));
        label = "           ";
    }
    lines.push(format!("{label}{}", next_step(announcement, &server)));
    lines.join("\n")
}

fn keys(announcement: &Announcement) -> String {
    match (announcement.api_keys, &announcement.bound_to) {
        (0, BoundTo::Tcp(_)) => "none: open to every user of this machine".to_owned(),
        (0, BoundTo::Unix(_)) => "none: open to whoever may use the socket".to_owned(),
        (number, _) => format!("{}: calls need one", show::count(number as u64, "key")),
    }
}

fn durability(mode: &str) -> String {
    match mode {
        "full" => "durable: an accepted write survives a power loss".to_owned(),
        "normal" => "durable against a crash of the program, not against a power loss".to_owned(),
        other => format!("durability {other}"),
    }
}

fn next_step(announcement: &Announcement, server: &str) -> String {
    match (announcement.tasks, &announcement.bound_to) {
        (0, _) if announcement.process_tasks => {
            "autom8 tasks add hello --every 1m -- echo hello".to_owned()
        }
        (0, BoundTo::Tcp(_)) => {
            format!("autom8 tasks add hello --every 1m --http {server}/api/v1/health")
        }
        (0, BoundTo::Unix(_)) => "autom8 tasks add hello --every 1m --builtin report".to_owned(),
        _ => "autom8 tasks ls    autom8 runs ls    autom8 status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            version: "0.1.0",
            ready_after: Duration::from_micros(12_340),
            bound_to: BoundTo::Tcp(([127, 0, 0, 1], 5000).into()),
            data_file: Some(PathBuf::from("autom8-data/autom8.db")),
            store_kind: "sqlite",
            durability: "full",
            tasks: 0,
            runs_queued: 0,
            runs_taken_back: 0,
            process_tasks: false,
            api_keys: 0,
        }
    }

    #[test]
    fn a_first_start_says_where_everything_is_and_what_to_do_next() {
        assert_eq!(
            lines(&announcement()),
            "autom8 0.1.0 ready in 12.3 ms
  Status   http://127.0.0.1:5000/
  API      http://127.0.0.1:5000/api/v1   metrics: /metrics   health: /readyz
  Data     autom8-data/autom8.db   sqlite, durable: an accepted write survives a power loss
  Tasks    0 tasks, 0 runs waiting
  Keys     none: open to every user of this machine
  Next     autom8 tasks add hello --every 1m --http http://127.0.0.1:5000/api/v1/health"
        );
    }

    #[test]
    fn commands_can_be_copied_when_the_server_is_elsewhere() {
        let mut elsewhere = announcement();
        elsewhere.bound_to = BoundTo::Tcp(([127, 0, 0, 1], 5001).into());
        elsewhere.process_tasks = true;
        assert!(lines(&elsewhere).contains(
            "  Next     export AUTOM8_SERVER_URL=http://127.0.0.1:5001\n           autom8 tasks add"
        ));
        elsewhere.bound_to = BoundTo::Unix(PathBuf::from("my dir/it's.sock"));
        assert!(
            lines(&elsewhere).contains(r"AUTOM8_SERVER_URL='unix:my dir/it'\''s.sock'"),
            "{}",
            lines(&elsewhere)
        );
    }

    #[test]
    fn a_server_with_keys_says_that_calls_need_one() {
        let mut closed = announcement();
        closed.api_keys = 2;
        assert!(
            lines(&closed).contains("\n  Keys     2 keys: calls need one\n"),
            "{}",
            lines(&closed)
        );
    }

    #[test]
    fn a_start_after_a_crash_says_what_it_took_up() {
        let mut again = announcement();
        again.tasks = 2;
        again.runs_queued = 1;
        again.runs_taken_back = 1;
        assert!(
            lines(&again).contains("2 tasks, 1 run waiting, 1 run taken up after a crash"),
            "{}",
            lines(&again)
        );
    }
}
