//! Commands with file systems and networks of their own: a full disk, a read-only directory, a
//! free port 5000. Linux takes all of it back when the last process in them ends.

use std::path::Path;
use std::process::{Command, Stdio};

/// What is private to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Private {
    /// Mounts, e.g. of a small tmpfs.
    Mounts,
    /// Network interfaces, and so every port.
    Network,
}

/// A shell script with `private` of its own, as root or as a user whom the kernel lets have user
/// namespaces.
///
/// # Errors
/// Why this machine allows neither: a test says so and fails rather than skip.
pub fn script(private: Private, script: &str, folder: &Path) -> Result<Command, String> {
    let flag = match private {
        Private::Mounts => "--mount",
        Private::Network => "--net",
    };
    let mut reasons = Vec::new();
    for prefix in [&[flag][..], &[flag, "--map-root-user"][..]] {
        let probe = Command::new("unshare")
            .args(prefix)
            .arg("true")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`unshare` (util-linux) does not start: {error}"))?;
        if probe.status.success() {
            let mut command = Command::new("unshare");
            command
                .args(prefix)
                .args(["sh", "-euc", script])
                .current_dir(folder)
                .stdin(Stdio::null());
            return Ok(command);
        }
        reasons.push(String::from_utf8_lossy(&probe.stderr).trim().to_owned());
    }
    Err(format!(
        "this test needs root or unprivileged user namespaces (sysctl \
         kernel.unprivileged_userns_clone=1): {}",
        reasons.join("; ")
    ))
}
