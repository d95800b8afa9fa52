//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Each rule is a function from the tree (or from `cargo metadata`) to violations, with a violating
//! fixture in its tests: a rule that cannot fail is advice. [`edges`] says who may depend on whom,
//! [`files`] what a file may be named and hold, [`docs`] that a path named in a document exists,
//! [`guide`] that every statement of the founding guide has a test or a debt.

mod docs;
mod edges;
mod files;
mod guide;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::Failure;

/// One place where the tree breaks a rule, and what to do about it.
#[derive(Debug)]
struct Violation {
    path: String,
    /// 1-based.
    line: usize,
    rule: &'static str,
    fault: String,
    fix: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            path,
            line,
            rule,
            fault,
            fix,
        } = self;
        write!(f, "{path}:{line}: [{rule}] {fault}\n    fix: {fix}")
    }
}

/// The files that belong to the repository: tracked ones, and new ones that are not ignored.
#[derive(Default)]
struct Tree {
    files: Vec<File>,
    /// Every file and every folder that holds one.
    paths: BTreeSet<String>,
}

struct File {
    /// From the root, with `/`.
    path: String,
    /// `None` where the file is not UTF-8.
    text: Option<String>,
}

impl Tree {
    fn new(files: Vec<File>) -> Self {
        let mut paths = BTreeSet::new();
        for file in &files {
            let mut path = file.path.as_str();
            paths.insert(path.to_owned());
            while let Some((folder, _)) = path.rsplit_once('/') {
                paths.insert(folder.to_owned());
                path = folder;
            }
        }
        Tree { files, paths }
    }

    fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)?
            .text
            .as_deref()
    }

    /// Paths and texts of the files that are text and end in `suffix`.
    fn texts<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(suffix))
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        Tree::new(files.iter().map(file).collect())
    }
}

pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    match check(root)? {
        0 => Ok(()),
        _ => Err(Failure::Failed),
    }
}

/// Prints every violation and returns their number.
pub(crate) fn check(root: &Path) -> Result<usize> {
    let tree = read_tree(root)?;
    let metadata = edges::read(root)?;
    let mut violations = edges::check(&metadata);
    violations.extend(files::check(&tree));
    violations.extend(docs::check(&tree));
    violations.extend(guide::check(&tree));
    violations.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for violation in &violations {
        println!("{violation}");
    }
    println!(
        "tidy: {} files, {} violations",
        tree.files.len(),
        violations.len()
    );
    Ok(violations.len())
}

/// Where cargo builds.
pub(crate) fn target_directory(root: &Path) -> Result<PathBuf> {
    Ok(edges::read(root)?.target_directory)
}

fn read_tree(root: &Path) -> Result<Tree> {
    let mut files = Vec::new();
    for path in list(root)? {
        let full = root.join(&path);
        // A file that was deleted and not yet committed is still listed; a link or a submodule is
        // no file of ours.
        if !full.symlink_metadata().is_ok_and(|found| found.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        files.push(File {
            path,
            text: String::from_utf8(bytes).ok(),
        });
    }
    Ok(Tree::new(files))
}

/// Asks git; where there is no git or no repository (a source archive), walks the folders.
fn list(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        // The checkout may belong to another user than the one who tests it.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args([
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .current_dir(root)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect()),
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr);
            println!(
                "git cannot list the files ({}): walking the folders",
                message.trim()
            );
            walk(root)
        }
        Err(error) => {
            println!("git cannot be started ({error}): walking the folders");
            walk(root)
        }
    }
}

fn walk(root: &Path) -> Result<Vec<String>> {
    const NOT_OURS: &[&str] = &[".git", "target", "autom8-data", "__pycache__", ".venv"];
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_file_line_rule_and_fix() {
        let violation = Violation {
            path: "a/b.rs".to_owned(),
            line: 7,
            rule: "names",
            fault: "it is bad".to_owned(),
            fix: "make it good".to_owned(),
        };
        assert_eq!(
            violation.to_string(),
            "a/b.rs:7: [names] it is bad\n    fix: make it good"
        );
    }

    #[test]
    fn folders_of_files_exist() {
        let tree = Tree::of(&[("a/b/c.rs", "")]);
        assert!(tree.has("a") && tree.has("a/b") && tree.has("a/b/c.rs"));
        assert!(!tree.has("a/b/c") && !tree.has("b"));
    }
}
