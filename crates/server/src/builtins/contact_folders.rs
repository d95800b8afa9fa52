//! Where imports and exports of contacts keep their files, how those are called, and when they go.
//!
//! Below `imports` lie uploads (`<random>.csv`), which a run names, and failures
//! (`<run>.failed.ndjson`); below `exports` lie finished exports (`<run>.csv`). What is being
//! written has a dot in front, so that what a crash leaves is never taken for a whole file.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use autom8_api::contact_file::{FileFormat, ImportInput};
use autom8_model::{Clock, RunId, RunState, TaskType, Timestamp, limits};
use autom8_store::{RunFilter, Store};

use super::{BuiltinError, dated, on_disk};

/// Below the data directory.
pub const IMPORTS_FOLDER: &str = "imports";
pub const EXPORTS_FOLDER: &str = "exports";

const PARTIAL: &str = ".partial-";
const FAILURES: &str = ".failed.ndjson";
/// A name of an upload: 16 hexadecimal digits and the format.
const NAME_BYTES_MAX: usize = 40;
/// An upload that nobody has written to for so long, or that no run has named yet, is what a crash
/// has left: between the last byte and the run lie milliseconds.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);
/// Exports that are kept: they hold all contacts, and a new one is made in seconds.
const EXPORTS_KEPT: usize = 20;

/// The folders of one data directory.
#[derive(Clone, Debug)]
pub struct ContactFolders {
    imports: PathBuf,
    exports: PathBuf,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub uploads: usize,
    pub failures: usize,
    pub exports: usize,
}

impl Removed {
    pub fn total(self) -> usize {
        self.uploads + self.failures + self.exports
    }
}

impl ContactFolders {
    pub fn below(data: &Path) -> Self {
        ContactFolders {
            imports: data.join(IMPORTS_FOLDER),
            exports: data.join(EXPORTS_FOLDER),
        }
    }

    pub fn imports(&self) -> &Path {
        &self.imports
    }

    pub fn exports(&self) -> &Path {
        &self.exports
    }

    /// Where an upload is written, and where it lies when it is whole.
    pub fn upload(&self, name: &str) -> (PathBuf, PathBuf) {
        (
            self.imports.join(format!("{PARTIAL}{name}")),
            self.imports.join(name),
        )
    }

    /// The upload that the input of a run names.
    ///
    /// # Errors
    /// When it is anything but the bare name of an upload.
    pub fn named_upload(&self, name: &str) -> Result<PathBuf, String> {
        let stem = FileFormat::ALL
            .into_iter()
            .find_map(|format| name.strip_suffix(format.as_str())?.strip_suffix('.'));
        let is_bare = name.len() <= NAME_BYTES_MAX
            && stem.is_some_and(|stem| {
                !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if is_bare {
            Ok(self.imports.join(name))
        } else {
            Err(
                "`file` must be the name of an upload, such as POST /api/v1/contacts/import makes"
                    .to_owned(),
            )
        }
    }

    pub fn failures(&self, run: RunId) -> PathBuf {
        self.imports.join(format!("{run}{FAILURES}"))
    }

    /// Where a rehearsal keeps what it has to remember.
    pub fn rehearsal(&self, run: RunId) -> PathBuf {
        self.imports.join(format!("{PARTIAL}{run}.rehearsal"))
    }

    /// Where an export is written, and where it lies when it is whole.
    pub fn export(&self, run: RunId, format: FileFormat) -> (PathBuf, PathBuf) {
        let name = format!("{run}.{format}");
        (
            self.exports.join(format!("{PARTIAL}{name}")),
            self.exports.join(name),
        )
    }

    /// Removes what no run needs any more: uploads whose run has ended, failures and exports
    /// whose run has left the history, and what a crash has left.
    pub(crate) async fn sweep(
        &self,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Removed, BuiltinError> {
        let now = clock.now();
        let folders = self.clone();
        let (imports, exports) =
            on_disk(move || Ok((entries(&folders.imports)?, entries(&folders.exports)?))).await?;
        if imports.is_empty() && exports.is_empty() {
            return Ok(Removed::default());
        }
        let is_left = |entry: &Entry| now.since(entry.changed_at) > LEFT_AFTER;
        // After the files: one whose run is queued meanwhile is young. It takes a walk over all that
        // waits, a million runs maybe, and mostly there is nothing to ask about.
        let in_doubt = |entry: &Entry| is_left(entry) && !entry.name.ends_with(FAILURES);
        let in_use = match imports.iter().any(in_doubt) {
            true => uploads_in_use(store).await?,
            false => HashSet::new(),
        };
        let mut gone = Vec::new();
        let mut removed = Removed::default();
        for entry in imports {
            if let Some(run) = entry.name.strip_suffix(FAILURES) {
                if !is_kept(store, run).await? {
                    removed.failures += 1;
                    gone.push(self.imports.join(entry.name));
                }
            } else if is_left(&entry) && !in_use.contains(&entry.name) {
                removed.uploads += 1;
                gone.push(self.imports.join(entry.name));
            }
        }
        let mut kept = Vec::new();
        for entry in exports {
            if entry.name.starts_with(PARTIAL) {
                if is_left(&entry) {
                    gone.push(self.exports.join(entry.name));
                }
            } else if let Some((run, _)) = entry.name.split_once('.') {
                match run.parse::<i64>() {
                    Ok(id) if is_kept(store, run).await? => kept.push((id, entry.name)),
                    Ok(_) => {
                        removed.exports += 1;
                        gone.push(self.exports.join(entry.name));
                    }
                    // A person has put it there.
                    Err(_) => {}
                }
            }
        }
        kept.sort_unstable_by(|left, right| right.cmp(left));
        for (_, name) in kept.into_iter().skip(EXPORTS_KEPT) {
            removed.exports += 1;
            gone.push(self.exports.join(name));
        }
        on_disk(move || gone.iter().try_for_each(|path| dated::remove(path))).await?;
        Ok(removed)
    }
}

/// Whether a run is in the history; what is no run's number was not made here, and is left alone.
async fn is_kept(store: &Arc<dyn Store>, run: &str) -> Result<bool, BuiltinError> {
    match run.parse() {
        Ok(run) => Ok(store.run(RunId(run)).await?.is_some()),
        Err(_) => Ok(true),
    }
}

/// The uploads that runs still need.
async fn uploads_in_use(store: &Arc<dyn Store>) -> Result<HashSet<String>, BuiltinError> {
    let mut names = HashSet::new();
    let mut filter = RunFilter {
        task_type: Some(TaskType::Builtin),
        states: vec![RunState::Queued, RunState::Running],
        limit: limits::PAGE_MAX,
        ..RunFilter::default()
    };
    loop {
        let page = store.runs(filter.clone()).await?;
        for run in page.runs {
            let input = run.input.unwrap_or_default();
            if let Ok(input) = serde_json::from_slice::<ImportInput>(&input) {
                names.insert(input.file);
            }
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return Ok(names),
        }
    }
}

struct Entry {
    name: String,
    changed_at: Timestamp,
}

fn entries(folder: &Path) -> Result<Vec<Entry>, BuiltinError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(dated::failed("cannot read", folder))?,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(dated::failed("cannot read", folder))?;
        // One that went away meanwhile is what we want, and what is not UTF-8 is not ours.
        let (Ok(found), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else {
            continue;
        };
        let changed = found
            .modified()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        entries.push(Entry {
            name,
            changed_at: Timestamp::UNIX_EPOCH.plus(changed.unwrap_or_default()),
        });
    }
    Ok(entries)
}

/// Makes the folder, for nobody else to read.
pub(crate) fn prepare(folder: &Path) -> Result<(), BuiltinError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(dated::failed("cannot create", folder))
}

/// Makes an empty file, for nobody else to read.
pub(crate) fn create(path: &Path) -> Result<File, BuiltinError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(dated::failed("cannot create", path))
}

/// Opens a file of ours, and follows no link to one that is not.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let no_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .custom_flags(no_links)
        .open(path)
}

/// The failures of one import, which grow with it: a line of JSON each. Nothing is made where
/// there are none.
pub(crate) struct FailuresFile {
    path: PathBuf,
    file: Option<File>,
}

impl FailuresFile {
    /// Takes the file up where the store says that it was: what is behind `bytes` came from a
    /// slice that was not stored.
    pub(crate) fn at(path: PathBuf, bytes: u64) -> Result<Self, BuiltinError> {
        let opened = OpenOptions::new().append(true).open(&path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(dated::failed("cannot open", &path))?),
        };
        if let Some(file) = &file {
            file.metadata()
                .and_then(|found| file.set_len(bytes.min(found.len())))
                .map_err(dated::failed("cannot cut", &path))?;
        }
        Ok(FailuresFile { path, file })
    }

    /// Adds lines, durably.
    pub(crate) fn append(&mut self, lines: &str) -> Result<(), BuiltinError> {
        use std::io::Write as _;

        if lines.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let made = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path);
            self.file = Some(made.map_err(dated::failed("cannot create", &self.path))?);
            let folder = self.path.parent().unwrap_or(&self.path);
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(dated::failed("cannot sync", folder))?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(lines.as_bytes())
                .and_then(|()| file.sync_data())
                .map_err(dated::failed("cannot write", &self.path))?;
        }
        Ok(())
    }

    /// The first lines, as far as they fit.
    pub(crate) fn head(&self, lines_max: usize, bytes_max: u64) -> Result<String, BuiltinError> {
        use std::io::Read as _;

        if self.file.is_none() {
            return Ok(String::new());
        }
        let mut text = String::new();
        let mut bytes = Vec::new();
        open(&self.path)
            .and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
            .map_err(dated::failed("cannot read", &self.path))?;
        let whole = String::from_utf8_lossy(&bytes);
        for line in whole.split_inclusive('\n').take(lines_max) {
            if line.ends_with('\n') {
                text.push_str(line);
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_of_an_upload_is_accepted() {
        let folders = ContactFolders::below(Path::new("/data"));
        let good = folders.named_upload("00ff.csv").unwrap();
        assert_eq!(good, Path::new("/data/imports/00ff.csv"));
        for bad in [
            "",
            ".csv",
            "..",
            "../autom8.db",
            "/etc/passwd",
            "a/b.csv",
            "a.csv/",
            ".partial-a.csv",
            "a.db",
            "a\0.csv",
            "7.failed.ndjson",
            "a b.csv",
            "ä.csv",
            "0123456789012345678901234567890123456789.csv",
        ] {
            assert!(folders.named_upload(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_are_taken_up_where_the_store_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.failed.ndjson");
        let mut failures = FailuresFile::at(path.clone(), 0).unwrap();
        failures.append("").unwrap();
        assert!(!path.exists(), "nothing failed");
        assert_eq!(failures.head(9, 99).unwrap(), "");
        failures.append("{\"a\":1}\n{\"b\":2}\n").unwrap();
        failures.append("{\"c\":").unwrap();
        assert_eq!(failures.head(1, 99).unwrap(), "{\"a\":1}\n");
        assert_eq!(failures.head(9, 99).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
        assert_eq!(failures.head(9, 10).unwrap(), "{\"a\":1}\n");
        let mut again = FailuresFile::at(path.clone(), 8).unwrap();
        again.append("{\"d\":4}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"d\":4}\n");
    }
}
