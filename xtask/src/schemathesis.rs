//! Schemathesis against the built server: it reads `/openapi.json`, makes requests of it that are
//! right and requests that are wrong, and compares the answers with what the document says.
//!
//! `tests/schemathesis/` has its version, its configuration and, in that, what is left out and why.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::test::{Ending, verdict};
use crate::{cargo, tidy, tools};

pub(crate) fn stage(root: &Path) -> Result<Ending> {
    let build = verdict(cargo(root).args(["build", "--locked", "-p", "autom8"]))?;
    if build != Ending::Passed {
        return Ok(build);
    }
    let target = tidy::target_directory(root)?;
    let own = root.join("tests/schemathesis");
    let python = tools::python_environment(
        &target.join("tools/schemathesis"),
        &own.join("requirements.txt"),
    )?;
    let folder = target.join("schemathesis");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;

    let program = target.join("debug/autom8");
    // Requests with the ids that everybody tries first hit these.
    for spare in ["spare-1", "spare-2", "spare-3"] {
        make_key(&program, &folder, spare)?;
    }
    let key = make_key(&program, &folder, "schemathesis")?;
    let mut server = Server::start(&program, &folder)?;
    let ended = verdict(
        Command::new(python.join("bin/st"))
            .arg("--config-file")
            .arg(own.join("schemathesis.toml"))
            .arg("run")
            .arg(format!("http://127.0.0.1:{}/openapi.json", server.port))
            .args(["--wait-for-schema", "30"])
            .current_dir(&folder)
            .env("AUTOM8_API_KEY", &key)
            .env_remove("PYTHONPATH"),
    )?;
    if let Some(status) = server.child.try_wait()? {
        println!("the server ended with {status} during the run");
        return Ok(Ending::Failed);
    }
    if !is_good(&program, &key, server.port)? {
        println!("the run's own key was deleted: what came after it says nothing");
        return Ok(Ending::Failed);
    }
    drop(server);
    if ended != Ending::Passed {
        println!("the server's output is in {}", folder.join("log").display());
    }
    Ok(ended)
}

/// Made before a server has the data directory open.
fn make_key(program: &Path, folder: &Path, name: &str) -> Result<String> {
    let made = Command::new(program)
        .args(["keys", "add", name, "--scope", "admin", "--quiet"])
        .arg("--data")
        .arg(folder.join("data"))
        .current_dir(folder)
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    if !made.status.success() {
        bail!(
            "no key was made: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Whether the server still takes the key.
fn is_good(program: &Path, key: &str, port: u16) -> Result<bool> {
    let listed = Command::new(program)
        .args(["keys", "ls", "--json", "--server"])
        .arg(format!("http://127.0.0.1:{port}"))
        .env("AUTOM8_API_KEY", key)
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    Ok(listed.status.success())
}

/// Ended with the stage, however that ends.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Result<Server> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let log = File::create(folder.join("log"))?;
        let child = Command::new(program)
            .args(["serve", "--port", &port.to_string(), "--data"])
            .arg(folder.join("data"))
            // What is tested is each answer by itself, at any speed.
            .env("RATE_LIMIT_ENABLED", "false")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Server { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which has been looked at.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
