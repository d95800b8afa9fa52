//! The product as a user has it: the program in a process of its own, on a data directory.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;
use crate::{binary, wait};

/// How a server is started; the default is `autom8 serve` and nothing more.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    pub allow_process: bool,
    /// Further arguments, as on the command line.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl ServerOptions {
    pub fn allowing_processes() -> Self {
        ServerOptions {
            allow_process: true,
            ..ServerOptions::default()
        }
    }
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Option<Child>,
    output: Arc<Mutex<String>>,
    port: u16,
    data: PathBuf,
    options: ServerOptions,
    /// Removed with the last server that uses it.
    folder: Arc<TempDir>,
}

impl Server {
    /// Starts on an empty data directory and waits until it answers.
    #[track_caller]
    pub fn start(options: &ServerOptions) -> Server {
        let folder = Arc::new(TempDir::with_prefix("autom8-test-").expect("a temporary folder"));
        Server::start_in(folder, free_port(), options)
    }

    #[track_caller]
    fn start_in(folder: Arc<TempDir>, port: u16, options: &ServerOptions) -> Server {
        let mut server = Server::spawn_in(folder, port, options);
        server.wait_until_it_answers();
        server
    }

    fn spawn_in(folder: Arc<TempDir>, port: u16, options: &ServerOptions) -> Server {
        let data = folder.path().join("data");
        let mut command = serve_command(folder.path(), &data, port, options);
        let mut child = command.spawn().expect("autom8 starts");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take(), &output);
        collect(child.stderr.take(), &output);
        Server {
            child: Some(child),
            output,
            port,
            data,
            options: options.clone(),
            folder,
        }
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let client = self.client();
        let answered = wait::within(wait::PATIENT, || {
            if let Some(status) = self.exit_status() {
                return Some(Err(status));
            }
            let health = client.send("GET", "/api/v1/health", &[], None).ok()?;
            (health.status == 200).then_some(Ok(()))
        });
        match answered {
            Some(Ok(())) => {}
            Some(Err(status)) => panic!("the server ended with {status}:\n{}", self.output()),
            None => panic!(
                "no healthy answer within {:?}:\n{}",
                wait::PATIENT,
                self.output()
            ),
        }
    }

    pub fn client(&self) -> Client {
        Client::to_port(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where it was started, its data directory's parent: a place for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Everything it printed so far, both streams.
    pub fn output(&self) -> String {
        self.output.lock().expect("the output").clone()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()?
            .try_wait()
            .expect("the state of the child")
    }

    /// `kill -9`, and nothing of it is left when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            let status = child.wait().expect("the end of the child");
            assert_eq!(
                status.signal(),
                Some(Signal::KILL.as_raw()),
                "the server had ended by itself:\n{}",
                self.output()
            );
        }
    }

    /// Lets go of a server that has ended by itself, so that it can be started again.
    #[track_caller]
    pub fn forget(&mut self) {
        assert!(self.exit_status().is_some(), "it still runs");
        self.child = None;
    }

    /// Starts again on the same data, on a new port.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        *self = Server::start_in(self.folder.clone(), free_port(), &self.options);
    }

    /// Starts again where its clients look for it.
    #[track_caller]
    pub fn start_again_on_its_port(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        *self = Server::start_in(self.folder.clone(), self.port, &self.options);
    }

    /// Starts again and does not wait: to be killed while it recovers.
    pub fn spawn_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        *self = Server::spawn_in(self.folder.clone(), free_port(), &self.options);
    }

    /// Asks for a graceful stop and waits for the end.
    #[track_caller]
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = wait::until("the end after SIGTERM", limit, || self.exit_status());
        self.child = None;
        status
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process_id() as i32).expect("a pid");
        kill_process(pid, signal).expect("the signal");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("── output of the server ──\n{}", self.output());
        }
    }
}

/// `autom8 serve` with nothing of the caller's environment that could reconfigure it.
pub fn serve_command(folder: &Path, data: &Path, port: u16, options: &ServerOptions) -> Command {
    let mut command = autom8_command(folder);
    command
        .arg("serve")
        .arg("--data")
        .arg(data)
        .arg("--port")
        .arg(port.to_string());
    if options.allow_process {
        command.arg("--allow-process");
    }
    command.args(&options.arguments);
    command.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program with a clean environment, in `folder`, where no configuration file lies about.
pub fn autom8_command(folder: &Path) -> Command {
    let mut command = Command::new(binary::autom8());
    command.current_dir(folder).stdin(Stdio::null());
    command
        .env_clear()
        .env("HOME", folder)
        .env("LANG", "C.UTF-8");
    for kept in ["PATH", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// What a command that is expected to end by itself left.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end; one that hangs is killed and fails the test.
#[track_caller]
pub fn run_to_end(mut command: Command, limit: Duration) -> Ended {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = Arc::new(Mutex::new(String::new()));
    let stderr = Arc::new(Mutex::new(String::new()));
    let readers = [
        collect(child.stdout.take(), &stdout),
        collect(child.stderr.take(), &stderr),
    ];
    let status = wait::within(limit, || child.try_wait().expect("the state of the child"));
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        panic!(
            "{command:?} did not end within {limit:?}; it printed\n{}{}",
            stdout.lock().expect("stdout"),
            stderr.lock().expect("stderr")
        );
    };
    for reader in readers.into_iter().flatten() {
        reader.join().expect("the output's reader");
    }
    let take = |text: &Mutex<String>| std::mem::take(&mut *text.lock().expect("the output"));
    Ended {
        code: status.code().unwrap_or(-1),
        stdout: take(&stdout),
        stderr: take(&stderr),
    }
}

fn collect(
    stream: Option<impl Read + Send + 'static>,
    into: &Arc<Mutex<String>>,
) -> Option<std::thread::JoinHandle<()>> {
    let stream = stream?;
    let into = into.clone();
    Some(std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            into.lock()
                .expect("the output")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }))
}

/// A port below the range from which the kernel takes the ports of outgoing connections: one from
/// that range may be taken by a client between two starts.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test processes start their search far from each other.
    let start = (std::process::id().wrapping_mul(7_919) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(offset)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}
