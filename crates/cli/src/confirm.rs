//! Asking before something is taken away.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Exit, Failure};

/// Asks on the terminal. `action` is what would happen ("removing task `a`"), `command` how to say
/// it without being asked.
///
/// # Errors
/// Nobody can be asked, or the answer is no.
pub(crate) fn ask(question: &str, action: &str, command: &str) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let what = format!("{action} needs a yes, and nobody can be asked");
        return Err(Failure::usage(what).fix(command));
    }
    let mut answer = String::new();
    let mut stderr = std::io::stderr().lock();
    _ = write!(stderr, "{question} [y/N] ");
    _ = stderr.flush();
    _ = stdin.lock().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was removed")),
    }
}
