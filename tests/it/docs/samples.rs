//! Every shell sample runs as it is printed.
//!
//! A document is a story: its blocks run in order, in one shell, in an empty directory and in a
//! network of its own, where port 5000 is free whatever else this machine serves. Each command must
//! end with exit code 0, and `curl` with an answer below 400. A comment on the line before a block
//! says more: `<!-- in a terminal of its own -->` runs it in the background and goes on once its
//! server is ready, `<!-- is refused -->` wants it to fail, and `<!-- not run: REASON -->` leaves it
//! out.

use std::path::Path;
use std::time::Duration;

use autom8_tests::binary::{self, repository_root};
use autom8_tests::namespace::{self, Private};
use autom8_tests::server::{Ended, run_to_end};

use super::document;

const LIMIT: Duration = Duration::from_secs(60);
const FENCE: &str = "```bash";
/// How a shell block might be spelled that would then not be run.
const OTHER_FENCES: [&str; 5] = ["```sh", "```shell", "```console", "```zsh", "```terminal"];
const OWN_TERMINAL: &str = "<!-- in a terminal of its own -->";
const REFUSED: &str = "<!-- is refused -->";
const NOT_RUN: &str = "<!-- not run: ";
/// Without it, `curl` calls a 404 a success.
const CURL_SETTINGS: &str = "fail\n";

#[test]
fn the_readme() {
    tell("README.md");
}

#[test]
fn the_first_automation() {
    tell("docs/guides/first-automation.md");
}

#[test]
fn contacts() {
    tell("docs/guides/contacts.md");
}

#[test]
fn contacts_in_files() {
    tell("docs/guides/importing-contacts.md");
}

#[test]
fn from_a_crontab() {
    tell("docs/guides/from-crontab.md");
}

#[test]
fn schedules() {
    tell("docs/guides/schedules.md");
}

#[test]
fn backup_and_restore() {
    tell("docs/operations/backup-and-restore.md");
}

#[test]
fn running() {
    tell("docs/operations/running.md");
}

#[test]
fn http() {
    tell("docs/reference/http.md");
}

#[test]
fn metrics() {
    tell("docs/reference/metrics.md");
}

const TOLD: [&str; 10] = [
    "README.md",
    "docs/guides/contacts.md",
    "docs/guides/first-automation.md",
    "docs/guides/from-crontab.md",
    "docs/guides/importing-contacts.md",
    "docs/guides/schedules.md",
    "docs/operations/backup-and-restore.md",
    "docs/operations/running.md",
    "docs/reference/http.md",
    "docs/reference/metrics.md",
];

#[test]
fn no_sample_is_left_out_in_silence() {
    let mut documents = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    collect_documents("docs", &mut documents);
    for path in &documents {
        let text = document(path);
        for line in text.lines() {
            let fence = line.trim_start();
            let is_hidden = fence != line && fence.starts_with(FENCE);
            assert!(
                !is_hidden && !OTHER_FENCES.contains(&fence),
                "{path}: write shell samples as {FENCE} at the beginning of a line: {line}"
            );
        }
        let runs = blocks(path, &text)
            .iter()
            .any(|block| !matches!(block.how, How::NotRun));
        assert_eq!(
            runs,
            TOLD.contains(&path.as_str()),
            "{path}: give it a test above, or take it from the list"
        );
    }
}

fn collect_documents(folder: &str, into: &mut Vec<String>) {
    let entries = std::fs::read_dir(repository_root().join(folder)).unwrap();
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect_documents(&path, into);
        } else if path.ends_with(".md") {
            into.push(path);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    InTurn,
    OwnTerminal,
    Refused,
    NotRun,
}

#[derive(Debug)]
struct Block {
    /// Of the fence, counted from 1.
    line: usize,
    how: How,
    commands: String,
}

#[track_caller]
fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line == FENCE {
            let commands: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push(Block {
                line: index + 1,
                how: how(path, before),
                commands: commands.join("\n"),
            });
        }
        before = line;
    }
    found
}

#[track_caller]
fn how(path: &str, comment: &str) -> How {
    if comment == OWN_TERMINAL {
        How::OwnTerminal
    } else if comment == REFUSED {
        How::Refused
    } else if let Some(reason) = comment.strip_prefix(NOT_RUN) {
        let reason = reason.strip_suffix(" -->").unwrap_or_default();
        assert!(!reason.is_empty(), "{path}: why is it not run? {comment}");
        How::NotRun
    } else {
        assert!(
            !comment.starts_with("<!--"),
            "{path}: this comment before a sample has no meaning: {comment}"
        );
        How::InTurn
    }
}

/// A story that hangs is killed, and takes its server with it.
const DIES_WITH_THE_STORY: &str = "setpriv --pdeathsig KILL";

/// Waits for the server that was started last, and says why it does not come.
const READY: &str = r#"
ready() {
  until curl -sf http://localhost:5000/readyz >/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 90; }
    sleep 0.05
  done
}
server=
trap '[ -z "$server" ] || { kill -9 "$server"; wait "$server"; } 2>/dev/null || true' EXIT
"#;

/// The document as one script.
fn script(path: &str, blocks: &[Block]) -> String {
    let mut script = READY.to_owned();
    for block in blocks {
        let Block {
            line,
            how,
            commands,
        } = block;
        script.push_str(&format!("echo '── {path}:{line}'\n"));
        match how {
            How::NotRun => {}
            How::InTurn => script.push_str(&format!("{commands}\n")),
            How::Refused => script.push_str(&format!(
                "if\n{commands}\nthen echo '{path}:{line} was not refused' >&2; exit 91; fi\n"
            )),
            How::OwnTerminal => {
                assert_eq!(commands.lines().count(), 1, "{path}:{line}: one command");
                // The server before it has to be gone: the document has ended it.
                script.push_str(&format!(
                    "[ -z \"$server\" ] || wait \"$server\" || true\n\
                     log=../server-{line}.log\n{DIES_WITH_THE_STORY} {commands} >\"$log\" 2>&1 &\nserver=$!\nready\n"
                ));
            }
        }
    }
    script
}

#[track_caller]
fn tell(path: &str) {
    let text = document(path);
    let (ended, logs) = run_story(path, &text);
    assert_eq!(
        ended.code, 0,
        "{path} stopped with {}\n── what it printed ──\n{}\n── errors ──\n{}\n── the servers ──\n{logs}",
        ended.code, ended.stdout, ended.stderr
    );
}

/// How the samples of a text ended, and what their servers said.
#[track_caller]
fn run_story(path: &str, text: &str) -> (Ended, String) {
    let blocks = blocks(path, text);
    assert!(!blocks.is_empty(), "{path} has no samples");
    let folder = tempfile::tempdir().unwrap();
    let (home, work) = (folder.path().join("home"), folder.path().join("empty"));
    std::fs::create_dir(&home).unwrap();
    std::fs::create_dir(&work).unwrap();
    std::fs::write(home.join(".curlrc"), CURL_SETTINGS).unwrap();
    std::fs::write(folder.path().join("story.sh"), script(path, &blocks)).unwrap();
    // By its own name, whatever the program under test is called.
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(binary::autom8(), bin.join("autom8")).unwrap();
    let start = "ip link set lo up
         exec env -i HOME=\"$PWD/../home\" LANG=C.UTF-8 PATH=\"$PWD/../bin:$PATH\" bash -eu ../story.sh";
    let command = match namespace::script(Private::Network, start, &work) {
        Ok(command) => command,
        Err(why) => panic!("{why}"),
    };
    (run_to_end(command, LIMIT), logs(folder.path()))
}

fn logs(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "log")
        {
            text.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    text
}

/// A story of a server and one sample.
fn story(comment: &str, sample: &str) -> String {
    format!("{OWN_TERMINAL}\n{FENCE}\nautom8 serve\n```\n\n{comment}\n{FENCE}\n{sample}\n```\n")
}

#[test]
fn a_sample_that_fails_ends_its_story() {
    for (sample, code) in [
        ("autom8 tasks ls\nautom8 status", 0),
        ("autom8 tasks show none\necho not reached", 6),
        ("curl -s http://localhost:5000/none\necho not reached", 22),
    ] {
        let (ended, logs) = run_story("story.md", &story("", sample));
        assert_eq!(ended.code, code, "{sample}: {ended:?}\n{logs}");
        assert!(!ended.stdout.contains("not reached"), "{ended:?}");
    }
}

#[test]
fn a_sample_that_should_be_refused_and_is_not_ends_its_story() {
    for (sample, code) in [("autom8 tasks ls", 91), ("autom8 tasks show none", 0)] {
        let (ended, logs) = run_story("story.md", &story(REFUSED, sample));
        assert_eq!(ended.code, code, "{sample}: {ended:?}\n{logs}");
    }
}
