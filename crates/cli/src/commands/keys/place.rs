//! Where keys are looked after: at a server, or in a data directory that no server uses.
//!
//! A server that is named is asked. Otherwise it is the data directory that `autom8 serve` would
//! use here, and if a server runs on it, that one is asked: it alone may write there.

use std::path::{Path, PathBuf};

use autom8_api::client::{Client, ClientError};
use autom8_api::telemetry::SystemReport;
use autom8_config::{Config, ListenAddress, Setting};
use autom8_server::ops::keys::{self, KeyRing, OpenError};

use crate::failure::{self, Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct DirectoryArguments {
    /// The data directory of a server that does not run [default: as `autom8 serve` takes it].
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Without a server",
        global = true
    )]
    data: Option<PathBuf>,
    /// Settings file of the server, which may name the data directory.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Without a server",
        global = true
    )]
    config: Option<PathBuf>,
}

/// Where the keys are.
pub(super) enum Place {
    Server(Client),
    Directory {
        ring: KeyRing,
        directory: PathBuf,
        /// Where a server on this directory will be.
        server: String,
        /// Nothing was there before.
        is_new: bool,
    },
}

impl Place {
    /// With `may_create` a directory that holds nothing yet is taken into use.
    ///
    /// # Errors
    /// Neither the server nor the directory can be used.
    pub(super) async fn open(
        server: &ServerArguments,
        directory: &DirectoryArguments,
        may_create: bool,
    ) -> Result<Place, Failure> {
        let is_directory_named = directory.data.is_some() || directory.config.is_some();
        if let (Some(named), true) = (server.flag(), is_directory_named) {
            let what = "--server names a server, and --data and --config a directory: the keys are \
                        in one place";
            return Err(Failure::usage(what).fix(format!(
                "name one of them: --server {}, or{}",
                show::quoted(named),
                directory.flags()
            )));
        }
        if let (Some(named), false) = (server.named(), is_directory_named) {
            return Ok(Place::Server(server.client_of(named)?));
        }
        let config = directory.config()?;
        let path = &config.storage.directory;
        let is_new = !config.database_path().is_file();
        if is_new && !is_directory_named {
            // No data here: a server with its data elsewhere is more likely meant than a new one.
            let client = server.client()?;
            match client.read::<serde_json::Value>(&["health"]).await {
                Err(ClientError::Unreachable { .. }) => {}
                Ok(_) => return Ok(Place::Server(client)),
                Err(error) => return Err(error.into()),
            }
        }
        if is_new && !may_create {
            return Err(nothing_there(path, &flags(server, directory)));
        }
        match keys::open(&config).await {
            Ok(ring) => Ok(Place::Directory {
                ring,
                server: address_of(&config),
                directory: config.storage.directory,
                is_new,
            }),
            Err(OpenError::Locked { path, owner }) => {
                let named = server.named();
                let address = named.map_or_else(|| address_of(&config), str::to_owned);
                let client = server.client_of(&address)?;
                is_served_by(&client, &path, &owner).await?;
                Ok(Place::Server(client))
            }
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
        }
    }

    /// The server to keep a key for.
    pub(super) fn server(&self) -> &str {
        match self {
            Place::Server(client) => client.server(),
            Place::Directory { server, .. } => server,
        }
    }

    pub(super) async fn close(self) {
        if let Place::Directory { ring, .. } = self {
            ring.close().await;
        }
    }
}

/// The failure of a request about keys. Whoever has lost the last key gets in through the data
/// directory, but not past the server that holds it.
pub(super) fn explained(error: ClientError) -> Failure {
    let is_locked_out = match &error {
        ClientError::Unauthenticated { key, server, .. } => {
            key.is_some() || failure::kept_elsewhere(server).is_none()
        }
        _ => false,
    };
    let failure = Failure::from(error);
    match is_locked_out {
        true => failure.fix(
            "pass a key that has `admin` with --key-file FILE or AUTOM8_API_KEY; if there is none \
             any more, stop the server: without it `autom8 keys add NAME --scope admin --data DIR` \
             needs none",
        ),
        false => failure,
    }
}

/// What names the place again in a command that is told to be run, with a space in front.
pub(super) fn flags(server: &ServerArguments, directory: &DirectoryArguments) -> String {
    match server.flag() {
        Some(named) => format!(" --server {}", show::quoted(named)),
        None => directory.flags(),
    }
}

fn nothing_there(path: &Path, flags: &str) -> Failure {
    let what = format!(
        "no server answers, and {} holds no data: so there are no keys",
        path.display()
    );
    Failure::new(Exit::NotFound, what).fix(format!(
        "name the server with --server URL, or its data directory with --data DIR; the first key \
         is made by `autom8 keys add NAME --scope admin{flags}`"
    ))
}

impl DirectoryArguments {
    fn flags(&self) -> String {
        let mut flags = String::new();
        for (flag, path) in [("data", &self.data), ("config", &self.config)] {
            if let Some(path) = path {
                let path = path.display().to_string();
                flags.push_str(&format!(" --{flag} {}", show::quoted(&path)));
            }
        }
        flags
    }

    fn config(&self) -> Result<Config, Failure> {
        let mut flags = Vec::new();
        if let (Some(data), Some(setting)) = (&self.data, Setting::by_key("storage.directory")) {
            flags.push((setting, data.display().to_string()));
        }
        let mut config = autom8_config::read(self.config.as_deref(), &flags)?;
        let directory = &config.storage.directory;
        config.storage.directory = std::path::absolute(directory).map_err(|error| {
            let what = format!("cannot tell where {} is: {error}", directory.display());
            Failure::usage(what).fix("name the data directory from the root: --data /…")
        })?;
        Ok(config)
    }
}

/// Where a server with this configuration can be reached from this machine.
fn address_of(config: &Config) -> String {
    match config.server.address() {
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            let loopback = match address.is_ipv4() {
                true => "127.0.0.1",
                false => "[::1]",
            };
            format!("http://{loopback}:{}", address.port())
        }
        ListenAddress::Tcp(address) => format!("http://{address}"),
    }
}

/// Makes sure that the server at the usual address is the one that has the directory: a key must
/// not be made at another.
async fn is_served_by(client: &Client, directory: &Path, owner: &str) -> Result<(), Failure> {
    let holder = owner
        .rsplit(' ')
        .next()
        .and_then(|pid| pid.parse::<u32>().ok());
    let answer = client.read::<SystemReport>(&["metrics", "system"]).await;
    let why = match answer {
        Ok(system) if Some(system.value.figures.process.pid) == holder => return Ok(()),
        Ok(_) => format!("at {} is another server", client.server()),
        Err(error @ ClientError::Unauthenticated { .. }) => return Err(explained(error)),
        Err(error) => error.to_string(),
    };
    let what = format!(
        "the data directory {} is in use by {owner}, and it cannot be asked: {why}",
        directory.display()
    );
    Err(Failure::new(Exit::Failed, what)
        .fix("name its address with --server URL in the place of --data, or stop it first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_where_it_listens() {
        for (listen, address) in [
            ("127.0.0.1", "http://127.0.0.1:5000"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("192.168.1.4", "http://192.168.1.4:5000"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            let flags = [(Setting::by_key("server.listen").unwrap(), listen.to_owned())];
            let config = Config::load(&autom8_config::Sources {
                file: None,
                environment: Default::default(),
                flags: flags.to_vec(),
                read_secret: &|_| Ok(String::new()),
            })
            .unwrap();
            assert_eq!(address_of(&config), address);
        }
    }
}
