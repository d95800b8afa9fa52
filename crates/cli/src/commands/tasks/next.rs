//! `autom8 tasks next NAME`

use autom8_api::model::schedule::Dst;
use autom8_api::model::{Clock as _, Schedule, SystemClock, Timestamp};

use super::unknown;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
    /// How many times, at most 100.
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: usize,
    /// Times after this one, e.g. 2026-12-24T18:00:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let name = &arguments.name;
    let fires = match client.next_fires(name, arguments.n, arguments.from).await {
        Ok(fires) => fires,
        Err(error) => return Err(unknown::explained(&client, name, error).await),
    };
    let output = server.output();
    if output.json {
        output.print(&fires.text)?;
        return Ok(Exit::Ok);
    }
    // People read a cron schedule in its own zone.
    let task = client.task(name).await?.value;
    let now = SystemClock::new().now();
    let rows = fires.value.next.iter().map(|fire| {
        [
            local(task.spec.schedule.as_ref(), fire.at),
            show::relative(fire.at, now),
            fire.dst
                .map_or_else(String::new, |dst| dst_words(dst).to_owned()),
        ]
    });
    output.print(&output.table(["TIME", "FROM NOW", "CLOCK CHANGE"], rows))?;
    if fires.value.next.is_empty() {
        output.note(match task.spec.schedule {
            None => "It has no schedule: it runs by hand.",
            Some(_) => "Its schedule has no time left.",
        });
    }
    if !task.spec.enabled {
        output.note(&format!(
            "It is paused, so none of this happens. Next: autom8 tasks resume {name}"
        ));
    }
    Ok(Exit::Ok)
}

/// A time in the zone of the schedule, with day of week and zone: "Sun 2026-03-29 03:00:00 CEST".
fn local(schedule: Option<&Schedule>, at: Timestamp) -> String {
    match schedule {
        Some(Schedule::Cron { zone, .. }) => {
            let zoned = at.to_jiff().to_zoned(zone.rules().clone());
            zoned.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
        }
        _ => at.to_string(),
    }
}

fn dst_words(dst: Dst) -> &'static str {
    match dst {
        Dst::Gap => "this local time is skipped: runs when the gap ends",
        Dst::Overlap => "this local time comes twice",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_time_is_told_in_its_own_zone() {
        let cron = Schedule::cron("30 2 * * *", "Europe/Berlin").unwrap();
        let at: Timestamp = "2026-07-01T00:30:00Z".parse().unwrap();
        assert_eq!(local(Some(&cron), at), "Wed 2026-07-01 02:30:00 CEST");
        assert_eq!(local(None, at), "2026-07-01T00:30:00Z");
    }
}
