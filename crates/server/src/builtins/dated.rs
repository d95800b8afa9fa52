//! Files and folders that are named by the time they were made at, in UTC, and by their run.
//!
//! The names sort by time, no file system objects to them, and only whole things bear them: what
//! is being written has a dot and `partial` in front.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use autom8_model::{RunId, Timestamp};

use super::BuiltinError;

const PARTIAL: &str = ".partial-";
/// Of `2026-11-24T21-29-34Z`.
const TIME_CHARS: usize = 20;

/// `2026-11-24T21-29-34Z-run42`.
pub(super) fn name(at: Timestamp, run: RunId) -> String {
    let seconds = Timestamp::from_seconds(at.as_seconds()).to_string();
    format!("{}-run{run}", seconds.replace(':', "-"))
}

/// Where a thing of that name is written until it is whole.
pub(super) fn partial(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PARTIAL}{name}"))
}

/// Makes the folder, and removes what an earlier run did not finish.
pub(super) fn prepare(folder: &Path) -> Result<(), BuiltinError> {
    fs::create_dir_all(folder).map_err(failed("cannot create", folder))?;
    for left in names(folder)?
        .into_iter()
        .filter(|name| name.starts_with(PARTIAL))
    {
        remove(&folder.join(left))?;
    }
    Ok(())
}

/// Gives a whole thing its name, durably: a crash shows the old or the new state of the folder.
pub(super) fn publish(from: &Path, to: &Path) -> Result<(), BuiltinError> {
    fs::rename(from, to).map_err(failed("cannot rename to", to))?;
    let folder = to.parent().unwrap_or(to);
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("cannot sync", folder))
}

/// The times in the folder, newest first, each with everything that bears it.
pub(crate) fn newest_first(folder: &Path) -> Result<Vec<Vec<String>>, BuiltinError> {
    let mut names = names(folder)?;
    names.retain(|name| is_dated(name));
    names.sort_unstable_by(|left, right| right.cmp(left));
    let mut groups: Vec<Vec<String>> = Vec::new();
    for name in names {
        match groups.last_mut() {
            Some(group) if stem(&group[0]) == stem(&name) => group.push(name),
            _ => groups.push(vec![name]),
        }
    }
    Ok(groups)
}

/// Removes a file or a folder with everything in it.
pub(crate) fn remove(path: &Path) -> Result<(), BuiltinError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("cannot remove", path)),
    }
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuiltinError {
    let path = path.to_owned();
    move |source| BuiltinError::File {
        doing,
        path,
        source,
    }
}

fn names(folder: &Path) -> Result<Vec<String>, BuiltinError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("cannot read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("cannot read", folder))?;
        // What is not UTF-8 is not ours.
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// Ours by its form: what a person puts into the folder is left alone.
fn is_dated(name: &str) -> bool {
    let Some((time, rest)) = name.split_at_checked(TIME_CHARS) else {
        return false;
    };
    let form = time
        .bytes()
        .zip(*b"dddd-dd-ddTdd-dd-ddZ")
        .all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        });
    form && rest
        .strip_prefix("-run")
        .is_some_and(|run| run.starts_with(|c: char| c.is_ascii_digit()))
}

fn stem(name: &str) -> &str {
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_are_told_from_foreign_ones() {
        let early = name(Timestamp::from_micros(1_764_019_774_900_000), RunId(9));
        let late = name(Timestamp::from_seconds(1_764_019_775), RunId(10));
        assert_eq!(early, "2025-11-24T21-29-34Z-run9");
        assert!(early < late && is_dated(&early) && is_dated(&format!("{late}.html")));
        for foreign in [
            "",
            "notes.txt",
            "2025-11-24",
            "2025-11-24T21-29-34Z",
            "2025-11-24T21:29:34Z-run1",
            ".partial-2025-11-24T21-29-34Z-run9",
        ] {
            assert!(!is_dated(foreign), "{foreign}");
        }
    }

    #[test]
    fn groups_are_newest_first_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "2025-11-24T21-29-34Z-run1.json",
            "2025-11-24T21-29-34Z-run1.html",
            "2025-11-25T00-00-00Z-run2.json",
            "mine.txt",
            ".partial-2025-11-25T00-00-01Z-run3.json",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        prepare(folder.path()).unwrap();
        let groups = newest_first(folder.path()).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], ["2025-11-25T00-00-00Z-run2.json"]);
        assert_eq!(groups[1].len(), 2);
        assert!(!partial(folder.path(), "2025-11-25T00-00-01Z-run3.json").exists());
        assert!(folder.path().join("mine.txt").exists());
        assert!(
            newest_first(&folder.path().join("absent"))
                .unwrap()
                .is_empty()
        );
    }
}
