//! Who may depend on whom, read from `cargo metadata`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Violation;
use crate::cargo;

/// What one crate may use of the workspace. An edge for a doc link or a test helper is a smell: an
/// edge that only tests need goes to `for_tests`, and any other is a decision.
struct Edges {
    package: &'static str,
    uses: Uses,
    for_tests: &'static [&'static str],
}

enum Uses {
    Only(&'static [&'static str]),
    /// Everything but [`NOBODY_USES`].
    Any,
}

const TABLE: &str = "xtask/src/tidy/edges.rs";

const EDGES: &[Edges] = &[
    only("autom8-model", &[]),
    only("autom8-performance", &[]),
    only("autom8-config", &[]),
    only("autom8-store", &["autom8-model"]),
    only(
        "autom8-engine",
        &["autom8-model", "autom8-store", "autom8-performance"],
    ),
    only("autom8-api", &["autom8-model"]),
    only("autom8-loadtest", &["autom8-api", "autom8-performance"]),
    only(
        "autom8-server",
        &[
            "autom8-model",
            "autom8-config",
            "autom8-store",
            "autom8-engine",
            "autom8-api",
            "autom8-performance",
            "autom8-loadtest",
        ],
    ),
    // The binary.
    only(
        "autom8",
        &[
            "autom8-server",
            "autom8-config",
            "autom8-api",
            "autom8-loadtest",
            "autom8-performance",
        ],
    ),
    only(
        "autom8-python",
        &[
            "autom8-model",
            "autom8-performance",
            "autom8-config",
            "autom8-api",
        ],
    ),
    any("autom8-tests"),
    any("autom8-benches"),
    any("autom8-fuzz"),
    any("xtask"),
];

const NOBODY_USES: &[&str] = &["autom8", "autom8-python", "autom8-tests"];

const fn only(package: &'static str, uses: &'static [&'static str]) -> Edges {
    Edges {
        package,
        uses: Uses::Only(uses),
        for_tests: &[],
    }
}

const fn any(package: &'static str) -> Edges {
    Edges {
        package,
        uses: Uses::Any,
        for_tests: &[],
    }
}

impl Edges {
    fn allows(&self, used: &str, for_tests: bool) -> bool {
        let listed = match self.uses {
            Uses::Only(uses) => uses.contains(&used),
            Uses::Any => !NOBODY_USES.contains(&used),
        };
        listed || (for_tests && self.for_tests.contains(&used))
    }
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    pub(super) target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    /// The manifest as text; read apart, since `cargo metadata` says nothing of lints.
    #[serde(skip)]
    manifest: String,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Absent for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
    path: Option<PathBuf>,
}

pub(super) fn read(root: &Path) -> Result<Metadata> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let mut metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    for package in &mut metadata.packages {
        package.manifest = std::fs::read_to_string(&package.manifest_path)
            .with_context(|| package.manifest_path.display().to_string())?;
    }
    Ok(metadata)
}

pub(super) fn check(metadata: &Metadata) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &metadata.packages {
        let path = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(&package.manifest_path)
            .display()
            .to_string();
        violations.extend(unlinted(package, &path));
        let Some(edges) = EDGES.iter().find(|edges| edges.package == package.name) else {
            violations.push(Violation {
                path,
                line: 1,
                rule: "edges",
                fault: format!("the crate `{}` is unknown", package.name),
                fix: format!("give it a row in {TABLE}, where every crate says what it may use"),
            });
            continue;
        };
        for dependency in &package.dependencies {
            // A crate of the workspace is used by path, and by nothing else.
            if dependency.path.is_none() {
                continue;
            }
            let for_tests = dependency.kind.as_deref() == Some("dev");
            if edges.allows(&dependency.name, for_tests) {
                continue;
            }
            let kind = if for_tests { " in its tests" } else { "" };
            violations.push(Violation {
                path: path.clone(),
                line: line_of(&package.manifest, &dependency.name),
                rule: "edges",
                fault: format!("`{}` may not use `{}`{kind}", package.name, dependency.name),
                fix: format!(
                    "drop the dependency; if the design allows the edge, {TABLE} is its table"
                ),
            });
        }
    }
    violations
}

/// A crate that does not inherit the workspace's lints has none of the bans.
fn unlinted(package: &Package, path: &str) -> Option<Violation> {
    let manifest: toml::Table = toml::from_str(&package.manifest).unwrap_or_default();
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool);
    (inherits != Some(true)).then(|| Violation {
        path: path.to_owned(),
        line: 1,
        rule: "lints",
        fault: format!("`{}` does not inherit the workspace's lints", package.name),
        fix: "add `[lints]` with `workspace = true`".to_owned(),
    })
}

fn line_of(manifest: &str, name: &str) -> usize {
    manifest
        .lines()
        .position(|line| line.trim_start().starts_with(name))
        .map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTED: &str = "[lints]\nworkspace = true\n\n[dependencies]\n";

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Package {
        let dependency = |&(name, kind): &(&str, Option<&str>)| Dependency {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            path: name.starts_with("autom8").then(PathBuf::new),
        };
        let lines: String = uses
            .iter()
            .map(|(name, _)| format!("{name}.workspace = true\n"))
            .collect();
        Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from(format!("/r/crates/{name}/Cargo.toml")),
            dependencies: uses.iter().map(dependency).collect(),
            manifest: format!("{LINTED}{lines}"),
        }
    }

    fn faults(packages: Vec<Package>) -> Vec<String> {
        let metadata = Metadata {
            packages,
            workspace_root: PathBuf::from("/r"),
            target_directory: PathBuf::new(),
        };
        check(&metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edges_of_the_table_and_crates_from_outside_are_free() {
        let found = faults(vec![
            package(
                "autom8-store",
                &[("autom8-model", None), ("rusqlite", None)],
            ),
            package(
                "autom8-tests",
                &[("autom8-server", None), ("autom8-store", Some("dev"))],
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_edge_outside_the_table_is_refused_with_its_line() {
        let found = faults(vec![package(
            "autom8-api",
            &[("serde", None), ("autom8-store", None)],
        )]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with(
                "crates/autom8-api/Cargo.toml:6: [edges] `autom8-api` may not use `autom8-store`"
            ),
            "{found:?}"
        );
    }

    #[test]
    fn a_test_or_build_edge_outside_the_table_is_refused_too() {
        for kind in ["dev", "build"] {
            let found = faults(vec![package(
                "autom8-model",
                &[("autom8-config", Some(kind))],
            )]);
            assert_eq!(found.len(), 1, "{kind}");
        }
    }

    #[test]
    fn an_edge_for_tests_is_free_in_tests_only() {
        let row = Edges {
            for_tests: &["autom8-store"],
            ..only("autom8-api", &["autom8-model"])
        };
        assert!(row.allows("autom8-store", true));
        assert!(!row.allows("autom8-store", false));
    }

    #[test]
    fn nobody_uses_the_binary() {
        assert_eq!(
            faults(vec![package("autom8-benches", &[("autom8", None)])]).len(),
            1
        );
    }

    #[test]
    fn an_unknown_crate_names_the_table() {
        let found = faults(vec![package("autom8-extra", &[])]);
        assert!(found.len() == 1 && found[0].contains(TABLE), "{found:?}");
    }

    #[test]
    fn a_crate_without_the_workspace_lints_is_refused() {
        let mut bare = package("autom8-model", &[]);
        bare.manifest = "[lints.clippy]\ndisallowed_methods = \"allow\"\n".to_owned();
        let found = faults(vec![bare]);
        assert!(
            found.len() == 1 && found[0].contains("[lints]"),
            "{found:?}"
        );
    }
}
