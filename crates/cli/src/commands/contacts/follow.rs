//! Follows a run that tells how far it is, with a bar for whoever watches a terminal.

use std::time::Duration;

use autom8_api::RunView;
use autom8_api::client::{Answer, Client};
use autom8_api::model::{RunId, RunState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::wait::{self, Outage};

/// Between two looks: shorter at first, since small files are done at once.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// A bar on standard error; nothing where nobody watches.
pub(super) fn bar(output: Output, total: Option<u64>, what: &'static str) -> ProgressBar {
    let target = match output.json {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(total, target);
    style(&bar, "bytes", total.is_some());
    bar.set_message(what);
    bar
}

fn style(bar: &ProgressBar, unit: &str, has_total: bool) {
    let template = match (unit, has_total) {
        ("bytes", true) => "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        ("bytes", false) => "{msg} {spinner} {bytes}",
        (_, true) => "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
        (_, false) => "{msg} {spinner} {human_pos}",
    };
    // The templates are checked by a test.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// Waits until a run has ended.
pub(super) async fn until_ended(
    client: &Client,
    id: RunId,
    output: Output,
    what: &'static str,
) -> Result<Answer<RunView>, Failure> {
    let bar = bar(output, None, what);
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut outage = Outage::default();
    let mut pause = PAUSE_MIN;
    loop {
        let pause_now = match client.run(id).await {
            Ok(run) if run.value.state.is_terminal() => {
                bar.finish_and_clear();
                return Ok(run);
            }
            Ok(run) => {
                outage.over();
                // Once, and only for what did not begin at once.
                let was_short = pause < PAUSE_MAX;
                pause = (pause * 2).min(PAUSE_MAX);
                if was_short && pause == PAUSE_MAX && run.value.state == RunState::Queued {
                    tell_if_paused(client, &run.value, output, &bar).await;
                }
                if let Some(progress) = &run.value.progress {
                    if let Some(total) = progress.total {
                        bar.set_length(total);
                    }
                    style(&bar, &progress.unit, progress.total.is_some());
                    bar.set_position(progress.done);
                }
                pause
            }
            Err(error) => {
                outage
                    .pause(error, output)
                    .map_err(|error| match wait::is_outage(&error) {
                        true => wait::given_up(id, &error),
                        false => Failure::from(error),
                    })?
            }
        };
        if tokio::time::timeout(pause_now, interrupts.recv())
            .await
            .is_ok()
        {
            bar.finish_and_clear();
            let failure = Failure::new(Exit::Failed, format!("stopped following run {id}"));
            return Err(failure.fix(format!(
                "the run is not stopped by this; `autom8 runs show {id}` tells what came of it, \
                 and `autom8 runs cancel {id}` stops it"
            )));
        }
    }
}

/// A run of a paused task waits until somebody resumes it. This is told in every form of output:
/// there may be no end to wait for.
async fn tell_if_paused(client: &Client, run: &RunView, output: Output, bar: &ProgressBar) {
    let name = run.task.as_str();
    // Whatever is wrong with this answer shows in the next one about the run.
    let Ok(task) = client.task(name).await else {
        return;
    };
    if !task.value.spec.enabled {
        bar.suspend(|| {
            output.note(&format!(
                "Run {} waits: the task `{name}` is paused.\n  Fix: autom8 tasks resume {name}",
                run.id
            ));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_a_template_that_can_be_drawn() {
        for unit in ["bytes", "contacts"] {
            for has_total in [true, false] {
                let bar = ProgressBar::hidden();
                bar.set_style(ProgressStyle::default_bar());
                style(&bar, unit, has_total);
                bar.set_position(3);
            }
        }
        for template in [
            "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
            "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
        ] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
