//! Which server to ask, with which key, and how to print its answer.

use std::path::PathBuf;
use std::sync::Arc;

use autom8_api::client::{Client, DEFAULT_SERVER};
use clap::Args;

use crate::credentials;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience::ToldPatience;

const SERVER_URL: &str = "AUTOM8_SERVER_URL";

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArguments {
    /// The server to ask: http://HOST:PORT, https://… or unix:PATH; AUTOM8_SERVER_URL names it too
    /// [default: http://127.0.0.1:5000]
    #[arg(long, value_name = "URL", help_heading = "Server", global = true)]
    server: Option<String>,

    /// Kept apart: what is set for every command does not contradict a flag of this one.
    #[arg(skip = std::env::var(SERVER_URL).ok())]
    server_of_environment: Option<String>,

    /// File with the API key to show. Without it: AUTOM8_API_KEY, the file that
    /// AUTOM8_API_KEY_FILE names, or what `autom8 keys save` has kept.
    #[arg(long, value_name = "FILE", help_heading = "Server", global = true)]
    key_file: Option<PathBuf>,

    /// Send the API key over plain http to a server beyond this network.
    #[arg(long, help_heading = "Server", global = true)]
    insecure_http: bool,

    /// Print exactly what the server answers, as JSON.
    #[arg(long, help_heading = "Server", global = true)]
    json: bool,
}

impl ServerArguments {
    /// A client of the server that is named, or else of the usual one.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_of(self.named().unwrap_or(DEFAULT_SERVER))
    }

    /// A client of this server.
    pub(crate) fn client_of(&self, server: &str) -> Result<Client, Failure> {
        let client = Client::new(server)?.with_patience(Arc::new(ToldPatience));
        match credentials::find(server, self.key_file.as_deref())? {
            Some(found) => Ok(client.with_key(&found.key, &found.place, self.insecure_http)?),
            None => Ok(client),
        }
    }

    /// The server, if one was named.
    pub(crate) fn named(&self) -> Option<&str> {
        let named = self.server.as_deref();
        let named = named.or(self.server_of_environment.as_deref());
        named.filter(|server| !server.is_empty())
    }

    /// The server, if a flag named it.
    pub(crate) fn flag(&self) -> Option<&str> {
        self.server.as_deref().filter(|server| !server.is_empty())
    }

    /// Whether a key may be sent in the clear beyond this network.
    pub(crate) fn is_open_http_allowed(&self) -> bool {
        self.insecure_http
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.json)
    }
}
