//! `autom8 completion SHELL`

use clap::CommandFactory as _;

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 completion bash > ~/.local/share/bash-completion/completions/autom8
  autom8 completion zsh  > ~/.zfunc/_autom8
  autom8 completion fish > ~/.config/fish/completions/autom8.fish")]
pub(crate) struct Arguments {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics when its reader goes away.
    let mut script = Vec::new();
    let mut command = crate::arguments::Arguments::command();
    clap_complete::generate(shell, &mut command, "autom8", &mut script);
    Output::new(false).print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
