//! `autom8 keys save`

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use autom8_api::client::{Client, ClientError, DEFAULT_SERVER, RunQuery};

use crate::credentials;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

/// A key is 52 bytes.
const INPUT_BYTES_MAX: u64 = 4 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Commands for this server show the key from then on. The file is \
$XDG_CONFIG_HOME/autom8/credentials
or ~/.config/autom8/credentials; nobody else can read it.

Example:
  autom8 keys save --server https://autom8.example.org < key"
)]
pub(super) struct Arguments {
    /// Keep it also if the server cannot be asked whether it knows the key.
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let address = server.named().unwrap_or(DEFAULT_SERVER);
    let client = Client::new(address)?;
    let output = server.output();
    if std::io::stdin().is_terminal() {
        output.note(&format!("Paste the key for {address} and press Enter."));
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_line(&mut text);
    read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    let found = credentials::parse(&text, "standard input")?;
    let client = client.with_key(&found.key, &found.place, server.is_open_http_allowed())?;
    // Any answer but a 401 means that the key is known; what it may do is another matter.
    let query = RunQuery {
        page: autom8_api::client::PageQuery {
            limit: Some(1),
            cursor: None,
        },
        ..RunQuery::default()
    };
    match client.runs(&query).await {
        Ok(_) | Err(ClientError::Refused(_)) => {}
        Err(error @ ClientError::Unauthenticated { .. }) => return Err(error.into()),
        Err(error) if arguments.offline => {
            output.note(&format!("{error}; the key is kept unchecked."));
        }
        Err(error) => {
            return Err(Failure::from(error)
                .fix("start the server, or keep the key unchecked with --offline"));
        }
    }
    let file = credentials::keep(address, &found.key)?;
    output.note(&format!("Kept for {address} in {}", file.display()));
    Ok(Exit::Ok)
}
