//! `autom8 runs logs ID`

use std::io::Write as _;
use std::time::Duration;

use autom8_api::RunView;
use autom8_api::client::{Client, LogEvent};
use autom8_api::model::{Clock as _, RunId, RunState, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait::{self, Outage};

/// Twice the time that the client gives a connection.
const CONNECTING_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The output goes to standard output as the task wrote it; what this program \
says goes to
standard error. Of long output the first and the last 512 KiB are kept."
)]
pub(super) struct Arguments {
    /// The run's number.
    #[arg(value_parser = super::parse_id)]
    id: RunId,
    /// Go on printing until the run has ended; a server that is away is waited for, up to 60 s.
    #[arg(long, short)]
    follow: bool,
    /// Only the output of this attempt; the first is 1.
    #[arg(long, value_name = "N")]
    attempt: Option<u16>,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    let mut printer = Printer {
        output,
        only: arguments.attempt,
        last_attempt: None,
    };
    if arguments.follow {
        // Only a server that was there is waited for: a wrong address should be told at once.
        let run = client.run(arguments.id).await;
        let run = run.map_err(super::explained)?.value;
        if run.state == RunState::Queued && !output.json {
            output.note(&format!("Run {} waits.", run.id));
        }
        follow(&client, arguments.id, &mut printer).await?;
        if printer.last_attempt.is_none() && arguments.attempt.is_some() {
            refuse_absent_attempt(arguments, &client.run(arguments.id).await?.value)?;
        }
        return Ok(Exit::Ok);
    }
    let log = client.run_log(arguments.id).await;
    let log = log.map_err(super::explained)?;
    if output.json {
        output.print(&log.text)?;
        return Ok(Exit::Ok);
    }
    for attempt in &log.value.attempts {
        printer.print(attempt.attempt, &attempt.text)?;
    }
    if printer.last_attempt.is_none() {
        let run = client.run(arguments.id).await?.value;
        refuse_absent_attempt(arguments, &run)?;
        output.note(&match run.state {
            RunState::Queued => format!("Run {} waits; follow it with -f.", run.id),
            RunState::Running => {
                format!("Run {} has printed nothing yet; follow it with -f.", run.id)
            }
            state => format!("Run {} ({}) left no output.", run.id, state.as_str()),
        });
    }
    Ok(Exit::Ok)
}

async fn follow(client: &Client, id: RunId, printer: &mut Printer) -> Result<(), Failure> {
    let mut follower = client.follow_log(id);
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut outage = Outage::default();
    let clock = SystemClock::new();
    loop {
        let asked = clock.monotonic();
        let next = tokio::select! {
            next = follower.next() => next,
            _ = interrupts.recv() => return Err(stopped_by_hand(id)),
        };
        let event = match next {
            Ok(event) => event,
            // The follower knows where it was.
            Err(error) => {
                // Nobody tries to connect for so long: it was connected, and nothing was printed.
                if clock.monotonic().since(asked) > CONNECTING_MAX {
                    outage.over();
                }
                let pause = outage.pause(error, printer.output).map_err(|error| {
                    match wait::is_outage(&error) {
                        true => wait::given_up(id, &error),
                        false => super::explained(error),
                    }
                })?;
                if tokio::time::timeout(pause, interrupts.recv()).await.is_ok() {
                    return Err(stopped_by_hand(id));
                }
                continue;
            }
        };
        outage.over();
        match event {
            LogEvent::Chunk(chunk) if printer.output.json => {
                // One JSON object a line, as the server sends them.
                let line = serde_json::to_string(&chunk).map_err(std::io::Error::from)?;
                printer.output.print(&line)?;
            }
            LogEvent::Chunk(chunk) => printer.print(chunk.attempt, &chunk.text)?,
            LogEvent::End(end) if printer.output.json => {
                let line = serde_json::to_string(&end).map_err(std::io::Error::from)?;
                printer.output.print(&line)?;
                return Ok(());
            }
            LogEvent::End(end) => {
                printer
                    .output
                    .note(&format!("Run {id} {}.", end.state.as_str()));
                return Ok(());
            }
        }
    }
}

/// An attempt that was never made has no output to show, and should not look like a silent one.
fn refuse_absent_attempt(arguments: &Arguments, run: &RunView) -> Result<(), Failure> {
    let Some(asked) = arguments.attempt.filter(|asked| *asked > run.attempt) else {
        return Ok(());
    };
    let had = show::count(u64::from(run.attempt), "attempt");
    let what = format!("run {} has no attempt {asked}: it had {had}", run.id);
    Err(Failure::new(Exit::NotFound, what)
        .fix(format!("see them all with `autom8 runs logs {}`", run.id)))
}

fn stopped_by_hand(id: RunId) -> Failure {
    Failure::new(Exit::Failed, format!("stopped following run {id}")).fix(format!(
        "the run is not stopped by this; `autom8 runs cancel {id}` stops it"
    ))
}

struct Printer {
    output: Output,
    only: Option<u16>,
    last_attempt: Option<u16>,
}

impl Printer {
    fn print(&mut self, attempt: u16, text: &str) -> std::io::Result<()> {
        if self.only.is_some_and(|only| only != attempt) {
            return Ok(());
        }
        if self.last_attempt.is_some_and(|last| last != attempt) {
            self.output.note(&format!("── attempt {attempt} ──"));
        }
        self.last_attempt = Some(attempt);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}
