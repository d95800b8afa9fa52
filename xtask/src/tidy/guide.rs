//! Every statement of the founding guide has a test, or says which step owes it.

use serde::Deserialize;

use super::source::line_at;
use super::{Tree, Violation};

pub(super) const GUIDE: &str = "tests/guide/performance-guide.md";
const COVERAGE: &str = "tests/guide/coverage.toml";

/// Length and FNV-1a digest of the guide as it was founded: it is kept byte for byte.
const GUIDE_BYTES: usize = 4_298;
const GUIDE_DIGEST: u64 = 0x77e4_456b_1268_bdb1;

const FIRST_STEP: u32 = 1;
const LAST_STEP: u32 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coverage {
    #[serde(default)]
    statement: Vec<toml::Spanned<Statement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    id: String,
    section: String,
    /// A quote, word for word.
    text: String,
    /// `path` or `path::what occurs in it`, one or several.
    test: Option<Tests>,
    /// `step 1` … `step 5`, or `later step`.
    owed_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tests {
    One(String),
    Several(Vec<String>),
}

impl Tests {
    fn names(&self) -> &[String] {
        match self {
            Tests::One(name) => std::slice::from_ref(name),
            Tests::Several(names) => names,
        }
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let (Some(guide), Some(text)) = (tree.text(GUIDE), tree.text(COVERAGE)) else {
        return vec![violation(
            1,
            "the guide or its coverage is missing",
            "restore both files",
        )];
    };
    let coverage: Coverage = match toml::from_str(text) {
        Ok(coverage) => coverage,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            return vec![violation(
                line,
                error.message(),
                "write the row as its neighbours are",
            )];
        }
    };
    let mut violations = Vec::new();
    if guide.len() != GUIDE_BYTES || digest(guide) != GUIDE_DIGEST {
        violations.push(Violation {
            path: GUIDE.to_owned(),
            ..violation(
                1,
                "the founding guide was changed",
                "restore it; it is kept byte for byte",
            )
        });
    }
    violations.extend(rows(tree, guide, text, &coverage));
    violations.extend(lines_without_a_row(guide, &coverage));
    violations
}

fn rows(tree: &Tree, guide: &str, text: &str, coverage: &Coverage) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for row in &coverage.statement {
        let line = line_at(text, row.span().start);
        let row = row.get_ref();
        let id = &row.id;
        if !ids.insert(id) {
            violations.push(violation(
                line,
                &format!("`{id}` twice"),
                "give it a name of its own",
            ));
        }
        if row.text.trim().is_empty() || !guide.contains(row.text.trim()) {
            violations.push(violation(
                line,
                &format!("the text of `{id}` does not occur in the guide"),
                "quote it word for word",
            ));
        }
        let heading = |line: &str| line.starts_with('#') && line.ends_with(row.section.as_str());
        if row.section.is_empty() || !guide.lines().any(heading) {
            violations.push(violation(
                line,
                &format!("the guide has no section `{}`", row.section),
                "name one of its headings, without the picture",
            ));
        }
        match (&row.test, &row.owed_by) {
            (Some(tests), None) if !tests.names().is_empty() => {
                for test in tests.names() {
                    if let Some(fault) = missing(tree, test) {
                        violations.push(violation(line, &fault, "name a test that exists"));
                    }
                }
            }
            (None, Some(step)) if is_step(step) => {}
            (None, Some(step)) => violations.push(violation(
                line,
                &format!("`{id}` is owed by `{step}`"),
                "write `step 1` … `step 5` or `later step`",
            )),
            _ => violations.push(violation(
                line,
                &format!("`{id}` has neither or both of `test` and `owed_by`"),
                "name its test, or the step that owes it",
            )),
        }
    }
    violations
}

fn is_step(step: &str) -> bool {
    step == "later step"
        || step
            .strip_prefix("step ")
            .and_then(|number| number.parse::<u32>().ok())
            .is_some_and(|number| (FIRST_STEP..=LAST_STEP).contains(&number))
}

/// What is wrong with `path` or `path::name`.
fn missing(tree: &Tree, test: &str) -> Option<String> {
    let (path, name) = test
        .split_once("::")
        .map_or((test, None), |(path, name)| (path, Some(name)));
    let Some(text) = tree.text(path) else {
        return Some(format!("the test `{path}` does not exist"));
    };
    let name = name?;
    let found = text.contains(name) || name.split("::").all(|part| text.contains(part));
    (name.is_empty() || !found).then(|| format!("`{name}` does not occur in {path}"))
}

/// A statement that nobody has written down is owed by nobody.
fn lines_without_a_row(guide: &str, coverage: &Coverage) -> Vec<Violation> {
    let quotes: Vec<&str> = coverage
        .statement
        .iter()
        .map(|row| row.get_ref().text.trim())
        .collect();
    let mut fenced = false;
    let mut violations = Vec::new();
    let lines: Vec<&str> = guide.lines().map(str::trim).collect();
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let header_of_table = lines
            .get(index + 1)
            .is_some_and(|next| next.starts_with("|--"));
        let states_something = if fenced {
            !line.is_empty() && !line.starts_with('#')
        } else {
            !(line.is_empty()
                || header_of_table
                || line.starts_with(['#', '*'])
                || line.starts_with("--")
                || line.starts_with("|--")
                || line.starts_with("> [!")
                || line.contains("](#"))
        };
        let covered = quotes.iter().any(|quote| {
            line.contains(quote) || quote.lines().any(|quoted| quoted.trim() == *line)
        });
        if states_something && !covered {
            violations.push(Violation {
                path: GUIDE.to_owned(),
                ..violation(
                    index + 1,
                    "no row of the coverage quotes this line",
                    "add a `[[statement]]` to tests/guide/coverage.toml",
                )
            });
        }
    }
    violations
}

fn violation(line: usize, fault: &str, fix: &str) -> Violation {
    Violation {
        path: COVERAGE.to_owned(),
        line,
        rule: "guide",
        fault: fault.to_owned(),
        fix: fix.to_owned(),
    }
}

/// FNV-1a, 64 bits: enough to notice a change.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# T\n\n## 🎯 Targets\n\n| A | B |\n|---|---|\n| p95 | 150ms |\n\n- **Disk**: free\n\n\
                        ```bash\n# say\ncurl x\n```\n";
    const ROWS: &str = "\
        [[statement]]\nid = \"p95\"\nsection = \"Targets\"\ntext = \"| p95 | 150ms |\"\nowed_by = \"step 1\"\n\
        [[statement]]\nid = \"disk\"\nsection = \"Targets\"\ntext = \"**Disk**\"\ntest = \"tests/a.rs::disk_is_free\"\n\
        [[statement]]\nid = \"curl\"\nsection = \"Targets\"\ntext = \"curl x\"\nowed_by = \"later step\"\n";

    fn faults(guide: &str, rows_text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (GUIDE, guide),
            (COVERAGE, rows_text),
            ("tests/a.rs", "fn disk_is_free() {}"),
        ]);
        check(&tree)
            .into_iter()
            .map(|violation| violation.fault)
            // These guides are fixtures.
            .filter(|fault| fault != "the founding guide was changed")
            .collect()
    }

    #[test]
    fn a_covered_guide_is_free() {
        assert_eq!(faults(TEXT, ROWS), [""; 0]);
    }

    #[test]
    fn a_row_without_a_test_or_a_debt_is_refused() {
        let empty = ROWS.replace("owed_by = \"step 1\"\n", "");
        assert_eq!(
            faults(TEXT, &empty),
            ["`p95` has neither or both of `test` and `owed_by`"]
        );
        let both = ROWS.replace(
            "owed_by = \"step 1\"",
            "owed_by = \"step 1\"\ntest = \"tests/a.rs\"",
        );
        assert_eq!(faults(TEXT, &both).len(), 1);
        let none = ROWS.replace("\"tests/a.rs::disk_is_free\"", "[]");
        assert_eq!(faults(TEXT, &none).len(), 1);
    }

    #[test]
    fn a_debt_names_a_step() {
        for step in ["step 6", "step 0", "someone", ""] {
            let rows = ROWS.replace("step 1", step);
            assert_eq!(faults(TEXT, &rows).len(), 1, "{step}");
        }
    }

    #[test]
    fn a_test_exists_and_holds_what_it_is_said_to_hold() {
        assert_eq!(
            faults(TEXT, &ROWS.replace("a.rs", "b.rs")),
            ["the test `tests/b.rs` does not exist"]
        );
        assert_eq!(
            faults(TEXT, &ROWS.replace("disk_is_free", "disk_is_full")),
            ["`disk_is_full` does not occur in tests/a.rs"]
        );
    }

    #[test]
    fn a_statement_of_the_guide_without_a_row_is_refused() {
        for (line, number) in [
            ("- new\n", 15),
            ("> note\n", 15),
            ("```\ncurl y\n```\n", 16),
        ] {
            let guide = format!("{TEXT}{line}");
            let tree = Tree::of(&[
                (GUIDE, &guide),
                (COVERAGE, ROWS),
                ("tests/a.rs", "disk_is_free"),
            ]);
            let lines: Vec<usize> = check(&tree)
                .iter()
                .filter(|violation| violation.fault.starts_with("no row"))
                .map(|violation| violation.line)
                .collect();
            assert_eq!(lines, [number], "{line}");
        }
    }

    #[test]
    fn quotes_sections_and_ids_are_checked() {
        assert_eq!(faults(TEXT, &ROWS.replace("**Disk**", "**Disc**")).len(), 2);
        assert_eq!(faults(TEXT, &ROWS.replacen("Targets", "Goals", 1)).len(), 1);
        assert_eq!(
            faults(TEXT, &ROWS.replace("\"curl\"", "\"disk\"")),
            ["`disk` twice"]
        );
        assert_eq!(faults(TEXT, &ROWS.replace("owed_by", "owed")).len(), 1);
    }

    #[test]
    fn a_changed_or_missing_guide_is_noticed() {
        let tree = Tree::of(&[
            (GUIDE, TEXT),
            (COVERAGE, ROWS),
            ("tests/a.rs", "disk_is_free"),
        ]);
        assert_eq!(check(&tree).len(), 1);
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
