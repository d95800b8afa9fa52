//! The programs that the stages of `cargo xtask test` need, and how they get onto a machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::test::{Ending, verdict};
use crate::{cargo, tidy};

/// Programs that the tests start, each with the Debian package it comes from.
const TOOLS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("flock", "util-linux"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
];

/// The cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Finds the pinned cargo-deny, or builds it once into `target/tools`. It is built without
/// optimisation: 80 s on two cores, and a check then takes 3 s.
pub(crate) fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let tools = tidy::target_directory(root)?.join("tools");
    let installed = tools.join("bin").join("cargo-deny");
    for candidate in [installed.clone(), PathBuf::from("cargo-deny")] {
        let version = Command::new(&candidate).arg("--version").output();
        if version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {CARGO_DENY}")
        }) {
            return Ok(candidate);
        }
    }
    println!("building cargo-deny {CARGO_DENY} into {}", tools.display());
    let build = tools.join("build");
    let ending = verdict(
        cargo(root)
            .args(["install", "--quiet", "--force", "--locked", "cargo-deny"])
            .args(["--version", CARGO_DENY, "--profile", "dev"])
            .arg("--root")
            .arg(&tools)
            .arg("--target-dir")
            .arg(&build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0"),
    )?;
    if ending != Ending::Passed {
        bail!("cargo-deny {CARGO_DENY} cannot be installed");
    }
    // Several hundred megabytes that nobody needs again.
    if let Err(error) = std::fs::remove_dir_all(&build) {
        eprintln!("{}: {error}", build.display());
    }
    Ok(installed)
}

/// A Python environment with exactly the packages of `requirements`, made once and again when they
/// change.
pub(crate) fn python_environment(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("read {}", requirements.display()))?;
    // Written last, so that an environment that was cut short is made again.
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(folder.to_owned());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    println!(
        "installing {} into {}",
        requirements.display(),
        folder.display()
    );
    let made = verdict(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    if made != Ending::Passed {
        bail!("python3 -m venv {} does not work", folder.display());
    }
    let installed = verdict(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary", ":all:", "-r"])
            .arg(requirements),
    )?;
    if installed != Ending::Passed {
        bail!(
            "the packages of {} cannot be installed",
            requirements.display()
        );
    }
    std::fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))?;
    Ok(folder.to_owned())
}

/// Installs the programs that are not there, as root on Debian; elsewhere says how.
pub(crate) fn install_missing() -> Result<Ending> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&search).collect();
    let mut missing = missing_packages(TOOLS, |program| {
        folders.iter().any(|folder| folder.join(program).is_file())
    });
    // Debian keeps what makes an environment apart from the interpreter.
    let makes_environments = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !makes_environments {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(Ending::Passed);
    }
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "the tests need {}; on Debian: sudo {install}",
            missing.join(", ")
        );
    }
    println!("installing {}", missing.join(", "));
    verdict(
        Command::new("sh")
            .args(["-ec", &format!("apt-get update -qq; {install} -qq")])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// The packages of the programs that are not there, each once.
fn missing_packages(
    tools: &[(&str, &'static str)],
    is_there: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = tools
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether this process may install packages: its effective user is root.
fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            == Some("0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package_once() {
        let tools = [
            ("ip", "iproute2"),
            ("flock", "util-linux"),
            ("unshare", "util-linux"),
        ];
        assert_eq!(
            missing_packages(&tools, |_| false),
            ["iproute2", "util-linux"]
        );
        assert_eq!(
            missing_packages(&tools, |program| program != "ip"),
            ["iproute2"]
        );
        assert!(missing_packages(&tools, |_| true).is_empty());
    }
}
