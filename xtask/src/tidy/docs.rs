//! A path named in a document exists: a document that names what is gone is worse than none.
//!
//! Looked at: words in `backticks` that read as paths of this repository, the same in fenced blocks
//! where they begin with one of its folders, and the targets of links. A path may be given from the
//! root, from `crates/` or from the document's own folder.

use super::{Tree, Violation};

/// Folders whose paths are ours, whether or not they exist yet.
const FOLDERS: &[&str] = &[
    ".cargo",
    ".ci",
    "benches",
    "crates",
    "dashboard",
    "docs",
    "fuzz",
    "packaging",
    "python",
    "scripts",
    "tests",
    "xtask",
];
const ENDINGS: &[&str] = &[".md", ".rs", ".toml", ".py", ".sh"];

/// A changelog tells of what was, and the founding guide is kept word for word; what it names is
/// owed in tests/guide/coverage.toml.
const EXEMPT: &[&str] = &["CHANGELOG.md", super::guide::GUIDE];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.texts(".md").filter(|(path, _)| !EXEMPT.contains(path)) {
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let mut report = |named: &str, what: &str| {
                violations.push(Violation {
                    path: path.to_owned(),
                    line: index + 1,
                    rule: "docs",
                    fault: format!("{what} `{named}` does not exist"),
                    fix: "correct it, or drop the sentence if the thing is gone".to_owned(),
                });
            };
            let words: Vec<&str> = if fenced {
                line.split_whitespace()
                    .filter(|word| in_our_folders(word))
                    .collect()
            } else {
                backticked(line)
                    .into_iter()
                    .flat_map(str::split_whitespace)
                    .collect()
            };
            for word in words {
                if let Some(named) = as_path(word)
                    && !exists(tree, path, named)
                {
                    report(named, "the path");
                }
            }
            if !fenced {
                for target in links(line) {
                    if !link_leads_somewhere(tree, path, target) {
                        report(target, "the link's target");
                    }
                }
            }
        }
    }
    violations
}

/// The words between backticks on one line.
fn backticked(line: &str) -> Vec<&str> {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd backtick at the end opens nothing.
    let closed = if parts.len().is_multiple_of(2) {
        parts.len() - 1
    } else {
        parts.len()
    };
    parts.into_iter().take(closed).skip(1).step_by(2).collect()
}

/// The path that a word names, without `:7`, `::name` and `#anchor`; `None` for all that is a URL, a
/// route, a pattern, somebody else's file or no path at all.
fn as_path(word: &str) -> Option<&str> {
    let word = word
        .trim_start_matches(['(', '"', '\''])
        .trim_end_matches([',', ';', ')', '"', '\'', ':', '.']);
    let word = word.strip_prefix("./").unwrap_or(word);
    if word.contains("://")
        || word.starts_with(['/', '~', '-', '@'])
        || word.contains(['*', '{', '}', '<', '>', '…', '$', '\\', '=', '|'])
    {
        return None;
    }
    let word = word.split_once("::").map_or(word, |(path, _)| path);
    let word = word.split_once('#').map_or(word, |(path, _)| path);
    let word = match word.split_once(':') {
        // `owner/repository:path` is a file of another project.
        Some((path, line)) => line
            .starts_with(|c: char| c.is_ascii_digit())
            .then_some(path)?,
        None => word,
    };
    let word = word.strip_suffix('/').unwrap_or(word);
    let ours = in_our_folders(word)
        || (word.contains('/') && ENDINGS.iter().any(|ending| word.ends_with(ending)));
    // `clock.rs` alone is read as a file of that name somewhere in the tree.
    let bare = !word.contains('/') && (word.ends_with(".rs") || word.ends_with(".md"));
    (ours || (bare && word.len() > 3)).then_some(word)
}

fn in_our_folders(word: &str) -> bool {
    word.split_once('/')
        .is_some_and(|(first, _)| FOLDERS.contains(&first))
}

fn exists(tree: &Tree, document: &str, named: &str) -> bool {
    if named.contains('/') {
        tree.has(named)
            || tree.has(&format!("crates/{named}"))
            || tree.has(&from_document(document, named))
    } else {
        tree.files
            .iter()
            .any(|file| file.path.rsplit('/').next() == Some(named))
    }
}

fn links(line: &str) -> Vec<&str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

fn link_leads_somewhere(tree: &Tree, document: &str, target: &str) -> bool {
    let path = target.split(['#', '?', ' ']).next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    let path = path.trim_end_matches('/');
    tree.has(&from_document(document, path))
}

/// `named` as seen from the folder of `document`, with `.` and `..` resolved.
fn from_document(document: &str, named: &str) -> String {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(named.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &str)] = &[
        ("crates/model/src/clock.rs", ""),
        ("docs/guides/first.md", ""),
        ("README.md", ""),
        (".ci/run", ""),
    ];

    /// What a document `docs/a.md` with this text names in vain.
    fn faults(text: &str) -> Vec<String> {
        let mut files = FILES.to_vec();
        files.push(("docs/a.md", text));
        check(&Tree::of(&files))
            .into_iter()
            .map(|violation| violation.fault)
            .collect()
    }

    #[test]
    fn paths_that_exist_are_free_from_the_root_from_crates_and_from_the_document() {
        let found = faults(
            "`crates/model/src/clock.rs`, `model/src/clock.rs:12`, `crates/model/`, `guides/first.md`,\n\
             `clock.rs`, `bash .ci/run`, `crates/model/src/clock.rs::Clock`, [a](guides/first.md#x),\n\
             [b](../README.md), [c](https://example.org/x.md), [d](#here)\n",
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn paths_that_are_gone_are_refused() {
        for gone in [
            "`crates/model/src/clocks.rs`",
            "see `model/src/gone.rs`.",
            "`bash scripts/gone`",
            "`gone.rs`",
            "```text\ncat crates/gone/x\n```",
            "[a](guides/second.md)",
        ] {
            assert_eq!(faults(gone).len(), 1, "{gone}");
        }
    }

    #[test]
    fn what_is_no_path_of_ours_is_free() {
        let found = faults(
            "`/api/v1/contacts.md`, `application/json`, `crates/*/src`, `crates/<name>/a.rs`,\n\
             `owner/repository:src/a.rs`, `https://example.org/a.rs`, `~/x/a.toml`, `autom8.toml`,\n\
             `read/write`, an odd ` crates/gone.rs\n",
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_changelog_may_name_what_is_gone() {
        assert!(check(&Tree::of(&[("CHANGELOG.md", "`crates/gone.rs`")])).is_empty());
    }

    #[test]
    fn the_line_is_given() {
        let tree = Tree::of(&[("docs/a.md", "a\n\n`crates/gone.rs`\n")]);
        assert_eq!(
            check(&tree).first().map(|violation| violation.line),
            Some(3)
        );
    }
}
