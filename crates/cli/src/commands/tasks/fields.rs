//! The flags that say what a task does, when, and under which conditions; `add` and `edit` share
//! them. What they say is the server's to judge: there is one place for the rules.

use clap::Args;

use crate::draft::Draft;
use crate::failure::Failure;
use crate::input;

#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Send an HTTP request to this URL; a 2xx answer completes the run.
    #[arg(long, value_name = "URL", help_heading = "What to do", conflicts_with_all = ["builtin", "argv"])]
    http: Option<String>,
    /// Method of the request [default: GET, with --body POST].
    #[arg(long, value_name = "METHOD", help_heading = "What to do")]
    method: Option<String>,
    /// A header of the request; may be repeated.
    #[arg(long, value_name = "NAME: VALUE", help_heading = "What to do")]
    header: Vec<String>,
    /// Body of the request: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", help_heading = "What to do")]
    body: Option<String>,
    /// Do what the server itself can do: backup, cleanup, report or noop.
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "What to do",
        conflicts_with = "argv"
    )]
    builtin: Option<String>,
    /// Backups that `--builtin backup` keeps.
    #[arg(
        long,
        value_name = "N",
        help_heading = "What to do",
        requires = "builtin"
    )]
    keep: Option<u32>,
    /// Start this program, without a shell in between (needs a server with --allow-process).
    #[arg(
        last = true,
        value_name = "PROGRAM ARGUMENTS",
        help_heading = "What to do"
    )]
    argv: Vec<String>,
    /// Directory in which the program starts.
    #[arg(long, value_name = "DIR", help_heading = "What to do")]
    cwd: Option<String>,
    /// A variable of the program's environment; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What to do")]
    env: Vec<String>,
    /// Text that the program reads on its standard input.
    #[arg(long, value_name = "TEXT", help_heading = "What to do")]
    stdin: Option<String>,

    /// Run again and again, e.g. every 2s, 15m or 1d.
    #[arg(long, value_name = "DURATION", help_heading = "When", conflicts_with_all = ["cron", "at"])]
    every: Option<String>,
    /// Run by a cron expression of five fields, in --timezone.
    #[arg(
        long,
        value_name = "EXPRESSION",
        help_heading = "When",
        conflicts_with = "at"
    )]
    cron: Option<String>,
    /// IANA time zone of --cron [default: UTC].
    #[arg(long, value_name = "ZONE", help_heading = "When", conflicts_with_all = ["every", "at"])]
    timezone: Option<String>,
    /// Run once at this time, e.g. 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME", help_heading = "When")]
    at: Option<String>,

    /// Attempts in all, the first included.
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    attempts: Option<u32>,
    /// Wait before the second attempt; doubled before each further one.
    #[arg(long, value_name = "DURATION", help_heading = "Conditions")]
    backoff: Option<String>,
    /// The longest wait between attempts.
    #[arg(long, value_name = "DURATION", help_heading = "Conditions")]
    max_backoff: Option<String>,
    /// Time that one attempt may take.
    #[arg(long, value_name = "DURATION", help_heading = "Conditions")]
    timeout: Option<String>,
    /// Queue that its runs wait in.
    #[arg(long, value_name = "NAME", help_heading = "Conditions")]
    queue: Option<String>,
    /// Higher goes first within a queue, from -100 to 100.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Conditions",
        allow_negative_numbers = true
    )]
    priority: Option<i32>,
    /// When it is due while an earlier run goes on: skip, allow or replace.
    #[arg(long, value_name = "RULE", help_heading = "Conditions")]
    overlap: Option<String>,
    /// What becomes of times missed while the server was down: latest, all or none.
    #[arg(long, value_name = "RULE", help_heading = "Conditions")]
    catch_up: Option<String>,
    /// What becomes of a run that was lost in a crash: retry or fail.
    #[arg(long, value_name = "RULE", help_heading = "Conditions")]
    on_crash: Option<String>,
    /// Any field of the task, by its name in JSON; may be repeated.
    #[arg(long, value_name = "FIELD=VALUE", help_heading = "Conditions")]
    set: Vec<String>,
}

impl Fields {
    /// Puts what was given into a draft. Only the fields that were given are in it.
    pub(super) fn put_into(&self, draft: &mut Draft) -> Result<(), Failure> {
        self.put_action(draft)?;
        self.put_schedule(draft)?;
        draft.put_if(&["retry", "max_attempts"], self.attempts.as_ref())?;
        draft.put_if(&["retry", "backoff"], self.backoff.as_ref())?;
        draft.put_if(&["retry", "max_backoff"], self.max_backoff.as_ref())?;
        draft.put_if(&["timeout"], self.timeout.as_ref())?;
        draft.put_if(&["queue"], self.queue.as_ref())?;
        draft.put_if(&["priority"], self.priority.as_ref())?;
        draft.put_if(&["overlap"], self.overlap.as_ref())?;
        draft.put_if(&["catch_up"], self.catch_up.as_ref())?;
        draft.put_if(&["on_crash"], self.on_crash.as_ref())?;
        self.set
            .iter()
            .try_for_each(|assignment| draft.set(assignment))
    }

    fn put_action(&self, draft: &mut Draft) -> Result<(), Failure> {
        let http = |name| ["do", "http", name];
        draft.put_if(&http("url"), self.http.as_ref())?;
        // A body is for sending; without a word about the method, a GET is not what is meant.
        let post = "POST".to_owned();
        let sends = self.http.is_some() && self.body.is_some();
        let method = self.method.as_ref().or(sends.then_some(&post));
        draft.put_if(&http("method"), method)?;
        for header in &self.header {
            let (name, value) = split(header, ':', "--header", "'Accept: text/plain'")?;
            draft.put(&["do", "http", "headers", name], &value)?;
        }
        if let Some(body) = &self.body {
            draft.put_raw(&http("body"), input::read_json(body, "--body")?)?;
        }
        // Checked here: clap asks for no --builtin beside an --http that excludes it.
        if self.keep.is_some() && self.builtin.is_none() {
            return Err(Failure::usage("--keep belongs to --builtin backup")
                .fix("take --keep away, or say --builtin backup"));
        }
        match (&self.builtin, self.keep) {
            (Some(name), Some(keep)) => {
                draft.put(&["do", "builtin", "name"], name)?;
                draft.put(&["do", "builtin", "keep"], &keep)?;
            }
            (name, _) => draft.put_if(&["do", "builtin"], name.as_ref())?,
        }
        let process = |name| ["do", "process", name];
        if !self.argv.is_empty() {
            draft.put(&process("argv"), &self.argv)?;
        }
        draft.put_if(&process("cwd"), self.cwd.as_ref())?;
        draft.put_if(&process("stdin"), self.stdin.as_ref())?;
        for variable in &self.env {
            let (name, value) = split(variable, '=', "--env", "LANG=C.UTF-8")?;
            draft.put(&["do", "process", "env", name], &value)?;
        }
        Ok(())
    }

    fn put_schedule(&self, draft: &mut Draft) -> Result<(), Failure> {
        draft.put_if(&["schedule", "every"], self.every.as_ref())?;
        draft.put_if(&["schedule", "cron"], self.cron.as_ref())?;
        draft.put_if(&["schedule", "timezone"], self.timezone.as_ref())?;
        draft.put_if(&["schedule", "at"], self.at.as_ref())
    }
}

fn split<'a>(
    text: &'a str,
    at: char,
    flag: &str,
    example: &str,
) -> Result<(&'a str, &'a str), Failure> {
    match text.split_once(at) {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim(), value.trim_start())),
        _ => Err(
            Failure::usage(format!("{flag} `{text}` has no name before a `{at}`"))
                .fix(format!("write e.g. {flag} {example}")),
        ),
    }
}
