//! Which server to ask, and how to print its answer.

use autom8_api::client::{Client, DEFAULT_SERVER};
use clap::Args;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// The server to ask: http://HOST:PORT, https://… or unix:PATH; AUTOM8_SERVER_URL names it too.
    #[arg(
        long,
        value_name = "URL",
        env = "AUTOM8_SERVER_URL",
        default_value = DEFAULT_SERVER,
        hide_env = true,
        help_heading = "Server",
        global = true
    )]
    server: String,

    /// Print exactly what the server answers, as JSON.
    #[arg(long, help_heading = "Server", global = true)]
    json: bool,
}

impl ServerArguments {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.server)?)
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.json)
    }
}
