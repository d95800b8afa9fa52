//! Where the program is that the tests start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Names a ready-made program, e.g. an installed one; without it the workspace's is built.
pub const VARIABLE: &str = "AUTOM8_BIN";

/// The program `autom8`, as fresh as the sources.
///
/// It is built as part of the workspace, not by itself: then its dependencies have the features
/// that the test run has built already, and only the program is linked.
pub fn autom8() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(
                path.is_file(),
                "{VARIABLE} names {}, which is no file",
                path.display()
            );
            path
        }
        None => build(),
    })
}

/// The checkout these tests belong to.
pub fn repository_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

fn build() -> PathBuf {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "autom8",
        ])
        .current_dir(repository_root())
        .stdin(Stdio::null());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells this test must not reach the build scripts of the next cargo: those that
    // watch it would run again for nothing.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo starts");
    assert!(
        status.success(),
        "`autom8` does not build; {VARIABLE} may name a ready-made one"
    );
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let path = target_directory().join(profile).join("autom8");
    assert!(path.is_file(), "cargo built no {}", path.display());
    path
}

/// The folder that cargo built this very program into.
fn target_directory() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    // target/PROFILE/deps/it-…, or target/PROFILE/crash-campaign.
    this.ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| repository_root().join("target"), Path::to_path_buf)
}
