//! Text that a person gives: as an argument, in a file, or on standard input.

use std::io::Read as _;
use std::path::Path;

use serde_json::value::RawValue;

use crate::failure::Failure;

/// More than any task or input may have; what the server accepts is its to say.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
pub(crate) fn read_file(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin()
            .lock()
            .take(INPUT_BYTES_MAX)
            .read_to_string(&mut text),
        path => std::fs::File::open(Path::new(path))
            .and_then(|file| file.take(INPUT_BYTES_MAX).read_to_string(&mut text)),
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!(
            "cannot read {}: {error}",
            named(path)
        ))),
    }
}

/// Reads `TEXT`, `@FILE` or `-` as JSON, which is kept as it is written.
pub(crate) fn read_json(argument: &str, flag: &str) -> Result<Box<RawValue>, Failure> {
    let (text, place) = match argument.strip_prefix('@') {
        Some(path) => (read_file(path)?, named(path)),
        None if argument == "-" => (read_file("-")?, named("-")),
        None => (argument.to_owned(), flag.to_owned()),
    };
    serde_json::from_str(text.trim()).map_err(|error| {
        Failure::usage(format!("{place} is not JSON: {error}")).fix(format!(
            "write JSON in single quotes, e.g. {flag} '{{\"n\": 1}}', or {flag} @FILE"
        ))
    })
}

fn named(path: &str) -> String {
    match path {
        "-" => "standard input".to_owned(),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_it_is_written() {
        assert_eq!(
            read_json(" {\"a\": 1.50} ", "--input").unwrap().get(),
            "{\"a\": 1.50}"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1.0]\n").unwrap();
        let argument = format!("@{}", file.path().display());
        assert_eq!(read_json(&argument, "--input").unwrap().get(), "[1.0]");
    }

    #[test]
    fn what_is_no_json_names_its_flag_and_shows_how() {
        let failure = read_json("{n: 1}", "--input").unwrap_err().to_string();
        assert!(
            failure.contains("--input is not JSON") && failure.contains("Fix: "),
            "{failure}"
        );
        let failure = read_json("@/nowhere/x.json", "--input")
            .unwrap_err()
            .to_string();
        assert!(failure.contains("cannot read /nowhere/x.json"), "{failure}");
    }
}
