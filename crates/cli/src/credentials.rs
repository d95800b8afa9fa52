//! Where a command finds its API key, and how it keeps one.
//!
//! In this order: `--key-file`, `AUTOM8_API_KEY`, `AUTOM8_API_KEY_FILE`, and the credentials file,
//! which has a key for each server. What is found is never printed; messages name its place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use autom8_api::model::api_key::Secret;

use crate::failure::Failure;
use crate::show;

const KEY: &str = "AUTOM8_API_KEY";
const KEY_FILE: &str = "AUTOM8_API_KEY_FILE";
/// A key is 52 bytes, and a line of the credentials file not much more.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const FILE_HEAD: &str = "# API keys of the command line, one server a line: URL KEY\n";

/// A key, and the place that messages name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: Secret,
    pub(crate) place: String,
}

/// Finds the key for a server.
///
/// # Errors
/// What is at the first place that has something and cannot be used: a key that is meant to be
/// shown and is not would only fail later, and less clearly.
pub(crate) fn find(server: &str, key_file: Option<&Path>) -> Result<Option<Found>, Failure> {
    if let Some(path) = key_file {
        return read_key_file(path, &path.display().to_string()).map(Some);
    }
    // Set and empty is what `docker compose` makes of a variable that is not set.
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(text) = set(KEY) {
        return parse(&text.to_string_lossy(), KEY).map(Some);
    }
    if let Some(path) = set(KEY_FILE) {
        let path = PathBuf::from(path);
        return read_key_file(&path, &format!("{KEY_FILE} ({})", path.display())).map(Some);
    }
    match credentials_file() {
        Some(path) => find_in(&path, server),
        None => Ok(None),
    }
}

/// Keeps a key for a server, in the place of an older one. Gives the file.
pub(crate) fn keep(server: &str, key: &Secret) -> Result<PathBuf, Failure> {
    let path = credentials_file().ok_or_else(|| {
        Failure::usage("there is no place for credentials: neither HOME nor XDG_CONFIG_HOME is set")
            .fix(format!("pass the key with {KEY} or --key-file instead"))
    })?;
    let before = match read_private(&path) {
        Ok(text) => text,
        Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            FILE_HEAD.to_owned()
        }
        Err(unreadable) => return Err(unreadable.failure(&path)),
    };
    write_private(&path, &with_line(&before, server, key)).map_err(|error| {
        Failure::usage(format!("cannot write {}: {error}", path.display())).fix(format!(
            "give this user write access, or pass the key with {KEY} or --key-file"
        ))
    })?;
    Ok(path)
}

/// `$XDG_CONFIG_HOME/autom8/credentials`, or below `~/.config`.
fn credentials_file() -> Option<PathBuf> {
    // The specification says that a relative path is to be ignored.
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("autom8").join("credentials"))
}

fn find_in(path: &Path, server: &str) -> Result<Option<Found>, Failure> {
    let text = match read_private(path) {
        Ok(text) => text,
        Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(unreadable) => return Err(unreadable.failure(path)),
    };
    match lines(&text).find(|line| line.server == same_form(server)) {
        Some(line) => {
            let place = format!("{}, line {}", path.display(), line.number);
            parse(line.key, &place).map(Some)
        }
        None => Ok(None),
    }
}

/// The server as the credentials file has it, if a key is kept for it in another spelling. It is
/// not used unasked: what answers at `localhost` need not be what answers at 127.0.0.1.
pub(crate) fn kept_spelling(server: &str) -> Option<String> {
    let text = read_private(&credentials_file()?).ok()?;
    spelling_in(&text, server)
}

fn spelling_in(text: &str, server: &str) -> Option<String> {
    let place = network_place(server)?;
    let mut others = lines(text).filter(|line| line.server != same_form(server));
    let other = others.find(|line| network_place(line.server).as_ref() == Some(&place))?;
    Some(other.server.to_owned())
}

/// Scheme, host and port, with one name for this machine.
fn network_place(server: &str) -> Option<(&str, String, u16)> {
    let (scheme, rest) = server.split_once("://")?;
    let authority = rest.split('/').next()?;
    let usual_port = if scheme == "https" { 443 } else { 80 };
    let with_port = authority.rsplit_once(':');
    let (host, port) = with_port
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .unwrap_or((authority, usual_port));
    let host = match host.to_ascii_lowercase().as_str() {
        "127.0.0.1" | "[::1]" => "localhost".to_owned(),
        other => other.to_owned(),
    };
    Some((scheme, host, port))
}

/// A line of the credentials file that names a server.
struct Line<'a> {
    number: usize,
    server: &'a str,
    key: &'a str,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().enumerate().filter_map(|(place, line)| {
        let line = line.trim();
        // A path of a socket may have spaces; a key has none.
        let (server, key) = line.rsplit_once(char::is_whitespace)?;
        (!line.starts_with('#')).then(|| Line {
            number: place + 1,
            server: same_form(server.trim_end()),
            key,
        })
    })
}

/// `http://host/` is `http://host`.
fn same_form(server: &str) -> &str {
    server.trim_end_matches('/')
}

fn with_line(before: &str, server: &str, key: &Secret) -> String {
    let server = same_form(server);
    let mut text = String::new();
    for line in before.lines() {
        let is_of_server = lines(line).any(|line| line.server == server);
        if !is_of_server {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str(&format!("{server} {}\n", key.as_str()));
    text
}

fn read_key_file(path: &Path, place: &str) -> Result<Found, Failure> {
    let text = read_private(path).map_err(|unreadable| unreadable.failure(path))?;
    parse(&text, place)
}

/// Reads a key; what is none is not repeated in the message, since it may be another secret.
pub(crate) fn parse(text: &str, place: &str) -> Result<Found, Failure> {
    match text.trim().parse() {
        Ok(key) => Ok(Found {
            key,
            place: place.to_owned(),
        }),
        Err(error) => Err(Failure::usage(format!("{place} holds no API key: {error}"))
            .fix("copy the key again, or make one on the server's machine: autom8 keys add NAME")),
    }
}

/// Why a file with secrets is not read.
enum Unreadable {
    Io(io::Error),
    /// Others may read it, by this mode.
    Open(u32),
}

impl Unreadable {
    fn failure(self, path: &Path) -> Failure {
        let shown = path.display();
        match self {
            Unreadable::Io(error) => Failure::usage(format!("cannot read {shown}: {error}")),
            Unreadable::Open(mode) => Failure::usage(format!(
                "{shown} holds API keys, and others than its owner may read it (mode {mode:03o})"
            ))
            .fix(format!("chmod 600 {}", show::quoted(&shown.to_string()))),
        }
    }
}

/// Reads a file that only its owner can read. Pipes and devices are not judged.
fn read_private(path: &Path) -> Result<String, Unreadable> {
    let file = File::open(path).map_err(Unreadable::Io)?;
    let about = file.metadata().map_err(Unreadable::Io)?;
    let mode = about.mode() & 0o777;
    if about.is_file() && mode & 0o077 != 0 {
        return Err(Unreadable::Open(mode));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(Unreadable::Io)?;
    Ok(text)
}

/// Writes beside the file and renames: at no moment is it half there, or readable for others.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::failure::Exit;

    fn key(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn each_server_has_its_line_and_a_new_key_takes_the_place_of_the_old_one() {
        let mut text = FILE_HEAD.to_owned();
        for (server, byte) in [
            ("http://127.0.0.1:5000/", 1),
            ("unix:/run/my dir/a.sock", 2),
            ("http://127.0.0.1:5000", 3),
        ] {
            text = with_line(&text, server, &key(byte));
        }
        assert_eq!(text.lines().count(), 3, "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("autom8").join("credentials");
        write_private(&path, &text).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let found = |server: &str| find_in(&path, server).unwrap().map(|found| found.key);
        assert_eq!(found("http://127.0.0.1:5000"), Some(key(3)));
        assert_eq!(found("unix:/run/my dir/a.sock"), Some(key(2)));
        assert_eq!(found("http://127.0.0.1:5001"), None);
    }

    #[test]
    fn a_key_for_another_spelling_is_known_and_that_of_another_server_is_not() {
        let text = with_line("", "http://127.0.0.1:5000", &key(1));
        let text = with_line(&text, "https://Autom8.example.org:443", &key(2));
        let found = |server: &str| spelling_in(&text, server);
        for server in [
            "http://localhost:5000",
            "http://LOCALHOST:5000/",
            "http://[::1]:5000",
        ] {
            let kept = found(server);
            assert_eq!(kept.as_deref(), Some("http://127.0.0.1:5000"), "{server}");
        }
        let kept = found("https://autom8.example.org");
        assert_eq!(kept.as_deref(), Some("https://Autom8.example.org:443"));
        for server in [
            "http://127.0.0.1:5000/",
            "http://localhost:5001",
            "https://localhost:5000",
            "http://[::1]",
            "unix:/run/a.sock",
        ] {
            assert_eq!(found(server), None, "{server}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, format!("http://x {}\n", key(1).as_str())).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660] {
            set_mode(&path, mode);
            let failure = find_in(&path, "http://x").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            let text = failure.to_string();
            assert!(
                text.contains("Fix: chmod 600 /") && !text.contains(key(1).as_str()),
                "{text}"
            );
        }
        set_mode(&path, 0o400);
        assert!(find_in(&path, "http://x").unwrap().is_some());
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        let failure = parse("hunter2-of-another-program", KEY)
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("AUTOM8_API_KEY holds no API key") && !failure.contains("hunter2"),
            "{failure}"
        );
    }
}
