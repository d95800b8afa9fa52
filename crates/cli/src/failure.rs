//! Why a command did not do what it was asked to, for a person and for a script.

use std::io::Write as _;
use std::process::ExitCode;

use autom8_api::client::ClientError;
use autom8_api::problem::ProblemCode;
use autom8_config::ConfigError;

use crate::{credentials, show};

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// Failed, breached or not passed.
    Failed = 1,
    /// Of usage or configuration.
    Usage = 2,
    Unreachable = 4,
    NotFound = 6,
    NotAllowed = 7,
    /// `run --wait`: the run failed.
    RunFailed = 10,
    RunCancelled = 11,
    /// The run, or the wait for it, took longer than allowed.
    RunTimedOut = 12,
}

/// The table that `autom8 --help` ends with.
pub(crate) const EXIT_CODES_HELP: &str = "Exit codes:
   0  done
   1  failed, or a check did not pass
   2  the command line, a file or the configuration is wrong
   4  no server answers
   6  there is no such task, run, contact or key
   7  not allowed
  10  with --wait: the run failed
  11  with --wait: the run was cancelled
  12  with --wait: the run timed out, or did not end in the time given";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// What went wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What and why, in one sentence without a full stop; empty for a reader that went away.
    what: String,
    /// What to do next: a command, or what to correct.
    fix: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Failure {
            exit,
            what: what.into(),
            fix: None,
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, what)
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn print(&self) {
        // Nobody reads standard error any more: then there is nobody to tell.
        _ = write!(std::io::stderr().lock(), "{self}");
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.what.is_empty() {
            return Ok(());
        }
        writeln!(f, "error: {}", self.what)?;
        match &self.fix {
            Some(fix) => writeln!(f, "  Fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// Only standard output is written through `?`: a reader that has seen enough (`| head`) is no
/// failure.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, ""),
            _ => Failure::new(Exit::Failed, format!("cannot write the output: {error}")),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let what = match error.faults.as_slice() {
            [only] => format!("the configuration is wrong: {only}"),
            faults => {
                let lines: Vec<String> =
                    faults.iter().map(|fault| format!("\n  {fault}")).collect();
                format!("the configuration is wrong:{}", lines.concat())
            }
        };
        Failure::usage(what)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Address { .. } => Failure::usage(what),
            ClientError::Unreachable { .. } => Failure::new(Exit::Unreachable, what).fix(
                "start one with `autom8 serve`, or name another with --server URL or AUTOM8_SERVER_URL",
            ),
            ClientError::Interrupted { .. } => Failure::new(Exit::Unreachable, what)
                .fix("look whether it was done before you repeat it: autom8 runs ls, autom8 audit ls"),
            ClientError::Unreadable { .. } => Failure::new(Exit::Failed, what)
                .fix("is that an Autom8 server, of this version? --server names it"),
            ClientError::Exposed { .. } => Failure::new(Exit::NotAllowed, what).fix(
                "name the server by https://…, or say --insecure-http where the network is yours",
            ),
            ClientError::Unauthenticated { key: None, server, .. } => {
                Failure::new(Exit::NotAllowed, what).fix(kept_elsewhere(&server).unwrap_or_else(|| {
                    "pass a key with --key-file FILE or AUTOM8_API_KEY, or keep it with `autom8 keys \
                     save`; `autom8 keys add NAME` makes one".to_owned()
                }))
            }
            ClientError::Unauthenticated { key: Some(_), .. } => {
                Failure::new(Exit::NotAllowed, what).fix(
                    "pass another key with --key-file FILE or AUTOM8_API_KEY, or keep it with \
                     `autom8 keys save`; `autom8 keys add NAME` makes one",
                )
            }
            ClientError::Refused(problem) => {
                let what = match problem.errors.as_slice() {
                    [] | [_] => problem.message.clone(),
                    errors => {
                        let lines: Vec<String> =
                            errors.iter().map(|error| format!("\n  {error}")).collect();
                        format!("the request is not valid:{}", lines.concat())
                    }
                };
                let what = match (&problem.request_id, problem.status() >= 500) {
                    (Some(id), true) => format!("{what} (request {id})"),
                    _ => what,
                };
                Failure::new(exit_of(problem.code, problem.status()), what)
            }
        }
    }
}

/// What to do where no key was shown, and one is kept for another spelling of the server.
pub(crate) fn kept_elsewhere(server: &str) -> Option<String> {
    let other = show::quoted(&credentials::kept_spelling(server)?);
    let server = show::quoted(server);
    Some(format!(
        "a key is kept for {other}: use it with --server {other}, or keep it for this spelling, \
         too: autom8 keys save --server {server}"
    ))
}

fn exit_of(code: ProblemCode, status: u16) -> Exit {
    match (code, status) {
        (ProblemCode::NotFound, _) | (_, 404) => Exit::NotFound,
        (_, 401 | 403) => Exit::NotAllowed,
        (_, 400 | 413 | 415) => Exit::Usage,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use autom8_api::Problem;
    use autom8_api::model::Invalid;

    use super::*;

    fn refused(problem: Problem) -> (Exit, String) {
        let failure = Failure::from(ClientError::Refused(Box::new(problem)));
        (failure.exit, failure.to_string())
    }

    #[test]
    fn a_refusal_has_the_exit_code_of_its_kind() {
        for (code, exit) in [
            (ProblemCode::NotFound, Exit::NotFound),
            (ProblemCode::Invalid, Exit::Usage),
            (ProblemCode::MalformedJson, Exit::Usage),
            (ProblemCode::TooLarge, Exit::Usage),
            (ProblemCode::NotEnabled, Exit::NotAllowed),
            (ProblemCode::Forbidden, Exit::NotAllowed),
            (ProblemCode::Unauthenticated, Exit::NotAllowed),
            (ProblemCode::Conflict, Exit::Failed),
            (ProblemCode::Overloaded, Exit::Failed),
            (ProblemCode::DiskFull, Exit::Failed),
        ] {
            assert_eq!(refused(Problem::new(code, "no")).0, exit, "{code:?}");
        }
    }

    #[test]
    fn every_complaint_is_shown_on_its_line() {
        let problem = Problem::invalid(vec![
            Invalid::new("/timeout", "must be more than 0"),
            Invalid::new("/queue", "is empty"),
        ]);
        let expected = "error: the request is not valid:\n  /timeout: must be more than 0\n  \
                        /queue: is empty\n";
        assert_eq!(refused(problem).1, expected);
    }

    #[test]
    fn an_internal_error_names_the_request() {
        let problem = Problem::internal().with_request_id("req-9");
        assert!(refused(problem).1.ends_with("(request req-9)\n"));
    }

    #[test]
    fn a_server_that_is_not_there_is_code_four_with_the_way_to_start_one() {
        let error = ClientError::Unreachable {
            server: "http://x".into(),
            reason: "refused".into(),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(
            failure
                .to_string()
                .contains("\n  Fix: start one with `autom8 serve`"),
            "{failure}"
        );
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Ok, ""));
    }
}
