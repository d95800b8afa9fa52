use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn refusal(line: &[&str]) -> clap::Error {
    match Arguments::try_parse_from(["autom8"].iter().chain(line)) {
        Ok(arguments) => panic!("{line:?} is accepted: {arguments:?}"),
        Err(error) => error,
    }
}

#[test]
fn the_commands_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn slips_are_answered_with_what_was_meant() {
    for (line, meant) in [
        (&["sevre"][..], "serve"),
        (&["tasks", "lst"], "ls"),
        (&["serve", "--allow-proces"], "--allow-process"),
        (&["runs", "logs", "7", "--folow"], "--follow"),
        (&["tasks", "run", "a", "--wiat"], "--wait"),
    ] {
        let error = refusal(line);
        assert_eq!(error.exit_code(), 2, "{line:?}");
        assert!(error.to_string().contains(meant), "{line:?}: {error}");
    }
}

#[test]
fn a_run_is_named_by_its_number() {
    for id in ["x", "0", "-1", "1.5", ""] {
        let error = refusal(&["runs", "show", "--", id]);
        assert!(
            error.to_string().contains("named by its number"),
            "{id}: {error}"
        );
    }
}

#[test]
fn the_server_can_be_named_before_and_after_the_command() {
    for line in [
        &["tasks", "ls", "--server", "http://x:1", "--json"][..],
        &["tasks", "--server", "http://x:1", "--json", "ls"],
        &["tasks", "add", "--file", "x.json", "--server", "http://x:1"],
        &["status", "--server", "http://x:1"],
    ] {
        let parsed = Arguments::try_parse_from(["autom8"].iter().chain(line));
        assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
    }
}

/// Every command down to the last, with its path.
fn every_command(
    command: &clap::Command,
    path: &str,
    visit: &mut impl FnMut(&str, &clap::Command),
) {
    visit(path, command);
    for sub in command.get_subcommands() {
        every_command(sub, &format!("{path} {}", sub.get_name()), visit);
    }
}

#[test]
fn every_command_and_flag_says_what_it_does() {
    let mut root = Arguments::command();
    root.build();
    every_command(&root, "autom8", &mut |path, command| {
        assert!(command.get_about().is_some(), "{path} says nothing");
        for argument in command.get_arguments() {
            let named = argument.get_help().is_some() || argument.is_positional();
            assert!(named, "{path} --{} says nothing", argument.get_id());
        }
    });
}

#[test]
fn help_is_asked_for_and_no_error() {
    for line in [
        &["--help"][..],
        &["tasks", "add", "--help"],
        &["serve", "-h"],
    ] {
        let error = refusal(line);
        assert_eq!(
            (error.kind(), error.exit_code()),
            (ErrorKind::DisplayHelp, 0),
            "{line:?}"
        );
    }
}
