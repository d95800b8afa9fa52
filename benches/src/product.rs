//! The product's own program, in release, as a process.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::load;
use crate::machine::{now, pause, repository_root};

/// Names a ready-made program; without it the workspace's is built, in release.
const VARIABLE: &str = "AUTOM8_BIN";
const START_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at a port that nobody listens on yet: the resolution of a start's time.
const START_POLL: Duration = Duration::from_micros(200);

/// A process that is killed when dropped.
pub struct Running {
    child: Child,
    pub port: u16,
    pub started_at: Instant,
}

impl Running {
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a request is answered with 200, and says how long after the start that was.
    pub fn wait_until_it_answers(&mut self, path: &str) -> Result<Duration> {
        loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && load::fetch(self.port, path).is_ok()
            {
                return Ok(self.started_at.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it answered");
            }
            ensure!(
                self.started_at.elapsed() < START_LIMIT,
                "no answer within {START_LIMIT:?}"
            );
            pause(START_POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `autom8 serve` on a data directory within `folder`, as anybody would start it.
pub fn serve(program: &Path, folder: &Path, port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--data").arg(folder.join("data"));
    command.args(["--port", &port.to_string()]);
    start(command, folder, port, &[])
}

/// The same without the rate limit, which one client that asks as fast as it can would be all there
/// is to see of.
pub fn serve_unlimited(program: &Path, folder: &Path, port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--data").arg(folder.join("data"));
    command.args(["--port", &port.to_string()]);
    start(command, folder, port, &[("RATE_LIMIT_ENABLED", "false")])
}

/// This very program as a reference server: `argument` says which.
pub fn serve_reference(argument: &str, folder: &Path, port: u16) -> Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(argument).arg(port.to_string()).arg(folder);
    start(command, folder, port, &[])
}

fn start(
    mut command: Command,
    folder: &Path,
    port: u16,
    environment: &[(&str, &str)],
) -> Result<Running> {
    command.env_clear().env("HOME", folder).current_dir(folder);
    command.envs(environment.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started_at = now();
    let child = command
        .spawn()
        .with_context(|| format!("{command:?} does not start"))?;
    Ok(Running {
        child,
        port,
        started_at,
    })
}

/// Builds the program in release, with the features of the whole workspace, and says where it is.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--workspace",
            "--bin",
            "autom8",
        ])
        .current_dir(repository_root())
        .status()?;
    ensure!(
        status.success(),
        "`autom8` does not build; {VARIABLE} may name a ready-made one"
    );
    let this = std::env::current_exe()?;
    let target = this
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .context("the target folder")?;
    Ok(target.join("release").join("autom8"))
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
