//! `autom8 keys add NAME`

use std::str::FromStr;
use std::time::Duration;

use autom8_api::KeyRequest;
use autom8_api::client::{Answer, ClientError, DEFAULT_SERVER};
use autom8_api::key::KeyCreated;
use autom8_api::model::api_key::{KeyLimit, Secret};
use autom8_api::model::{Clock as _, HumanDuration, Scope, SystemClock, Timestamp};
use autom8_api::problem::{Problem, ProblemCode};

use super::place::{self, DirectoryArguments, Place};
use crate::credentials;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The key is printed on standard output and what there is to say about it on \
standard error.
A scope includes the ones before it: read, run, admin; debug stands apart.

Examples:
  autom8 keys add ops --scope admin --save
  autom8 keys add dashboard --expires 90d
  K=$(autom8 keys add crm --scope run --limit '600 per minute' --quiet)"
)]
pub(super) struct Arguments {
    /// What people call it: the program that will have it, or its owner.
    name: String,
    /// What it may do: read, run, admin or debug; the first key needs admin.
    #[arg(
        long,
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "read"
    )]
    scope: Vec<Scope>,
    /// Requests it may make, in place of the server's own limit, e.g. "600 per minute".
    #[arg(long, value_name = "LIMIT")]
    limit: Option<KeyLimit>,
    /// When it stops to be valid: a time, or a duration from now, e.g. 90d [default: never].
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// Print the key and nothing else.
    #[arg(long, short)]
    quiet: bool,
    /// Keep it for this command line, as `autom8 keys save` does.
    #[arg(long)]
    save: bool,
}

/// An end, as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Timestamp),
    In(Duration),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse::<HumanDuration>() {
            return Ok(Expiry::In(span.0));
        }
        text.parse().map(Expiry::At).map_err(|_| {
            "write a duration from now such as 90d, or a time such as 2026-12-24T18:00:00Z"
                .to_owned()
        })
    }
}

impl Expiry {
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Expiry::At(at) => at,
            Expiry::In(span) => now.plus(span),
        }
    }
}

pub(super) async fn run(
    server: &ServerArguments,
    directory: &DirectoryArguments,
    arguments: Arguments,
) -> Result<Exit, Failure> {
    let now = SystemClock::new().now();
    let request = KeyRequest {
        name: arguments.name.clone(),
        scopes: arguments.scope.clone(),
        rate_limit: arguments.limit,
        expires_at: arguments.expires.map(|expires| expires.from(now)),
    };
    let is_end_ahead = request.expires_at.is_some_and(|at| at > now);
    // Another key would be refused there, and leave an empty directory behind.
    let makes_first = arguments.scope.contains(&Scope::Admin);
    let flags = place::flags(server, directory);
    let place = Place::open(server, directory, makes_first).await?;
    let made = match &place {
        Place::Server(client) => client.add_key(&request).await,
        Place::Directory { ring, .. } => match ring.add(request).await {
            Ok(made) => Ok(answered(made)?),
            Err(problem) => Err(ClientError::Refused(Box::new(problem))),
        },
    };
    let made = made.map_err(|error| explained(error, &arguments, is_end_ahead, &flags));
    let told = made
        .as_ref()
        .ok()
        .map(|made| lines(&made.value, &place, &arguments));
    let for_server = place.server().to_owned();
    // Closed before anything can fail: what was written is to be on the disk.
    place.close().await;
    let made = made?;
    let output = server.output();
    // The key comes first: whatever fails after this, it is not lost.
    output.answer(&made, |made| made.key.clone())?;
    let quiet = arguments.quiet || output.json;
    if let (false, Some(told)) = (quiet, told) {
        output.note(&told);
    }
    if arguments.save {
        save(&made.value.key, &for_server, output, quiet)?;
    }
    Ok(Exit::Ok)
}

fn has_fault(problem: &Problem, path: &str) -> bool {
    problem.errors.iter().any(|fault| fault.path == path)
}

fn explained(
    error: ClientError,
    arguments: &Arguments,
    is_end_ahead: bool,
    flags: &str,
) -> Failure {
    let name = show::quoted(&arguments.name);
    let fix = match &error {
        ClientError::Refused(problem) if problem.code == ProblemCode::Conflict => Some(format!(
            "choose another name, or take the old one away: autom8 keys rm {name}{flags}"
        )),
        // An end that is past is told as such; this one is that of a first key.
        ClientError::Refused(problem)
            if has_fault(problem, "/scopes")
                || is_end_ahead && has_fault(problem, "/expires_at") =>
        {
            Some(format!("autom8 keys add {name} --scope admin{flags}"))
        }
        ClientError::Interrupted { .. } => Some(format!(
            "it may have been made, and nobody has it then: autom8 keys rm {name}{flags}, and \
             repeat"
        )),
        _ => None,
    };
    let failure = place::explained(error);
    match fix {
        Some(fix) => failure.fix(fix),
        None => failure,
    }
}

/// What was done here, in the form in which a server would have answered it.
fn answered(made: KeyCreated) -> Result<Answer<KeyCreated>, Failure> {
    let text = serde_json::to_string(&made).map_err(std::io::Error::from)?;
    Ok(Answer { value: made, text })
}

fn save(key: &str, server: &str, output: Output, quiet: bool) -> Result<(), Failure> {
    let key: Secret = key.parse().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the server answered something else than a key: {error}"),
        )
    })?;
    let file = credentials::keep(server, &key)?;
    if !quiet {
        output.note(&format!("  Kept for {server} in {}", file.display()));
    }
    Ok(())
}

fn lines(made: &KeyCreated, place: &Place, arguments: &Arguments) -> String {
    let key = &made.view;
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut lines = vec![format!(
        "Made key {} `{}` with {}. {}.",
        key.id,
        key.name,
        scopes.join(", "),
        made.message
    )];
    if let Place::Directory {
        directory, is_new, ..
    } = place
    {
        let new = if *is_new {
            ", which was made just now"
        } else {
            ""
        };
        lines.push(format!("  Data     {}{new}", directory.display()));
    }
    if let Some(expires_at) = key.expires_at {
        lines.push(format!("  Expires  {expires_at}"));
    }
    lines.push("  HTTP     Authorization: Bearer a8_…".to_owned());
    if !arguments.save {
        let server = match place.server() {
            DEFAULT_SERVER => String::new(),
            other => format!(" --server {}", show::quoted(other)),
        };
        lines.push(format!(
            "  Here     AUTOM8_API_KEY=a8_… or --key-file FILE; `autom8 keys save{server}` keeps it"
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_point_or_a_distance_from_now() {
        let now = Timestamp::from_seconds(10_000);
        let from = |text: &str| text.parse::<Expiry>().map(|expiry| expiry.from(now));
        assert_eq!(
            from("90d"),
            Ok(Timestamp::from_seconds(10_000 + 90 * 86_400))
        );
        assert_eq!(
            from("1970-01-02T00:00:00Z"),
            Ok(Timestamp::from_seconds(86_400))
        );
        assert!(from("never").is_err_and(|error| error.contains("90d")));
    }
}
