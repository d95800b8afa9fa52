//! What a file may be named and what it may hold.

use super::source::{Source, closing, is_word, line_at};
use super::{Tree, Violation};

/// Names that say nothing of what is inside, so that everything ends up there.
const SHELVES: &[&str] = &["utils", "common", "types", "misc"];

/// Lines after which a Rust file has to say why it is one file.
const LONG_FILE_LINES: usize = 600;
/// Where it says so: within its first lines.
const LONG_FILE_HEADER_LINES: usize = 15;
const LONG_FILE_WORDS: &str = "Long because";

/// The files that may go around the bans on clocks, entropy and sleeps in clippy.toml.
const MAY_READ_TIME: &str = "crates/model/src/clock.rs";
const MAY_READ_ENTROPY: &str = "crates/model/src/random.rs";
const MAY_SLEEP: &str = "crates/engine/src/timer.rs";
/// Measures others, and so needs its own clock.
const MEASURES: &str = "crates/loadtest/";

const STORE: &str = "crates/store/";
const TOOLCHAIN: &str = "1.95.0";

/// Folders of one machine. Put together here, so that this file does not break its own rule.
const MACHINE_PATHS: &[&str] = &[
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "tmp/bash_jobs"),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = root_files(tree);
    for file in &tree.files {
        violations.extend(shelf(&file.path));
        violations.extend(sql_file(&file.path));
        if let Some(text) = &file.text {
            violations.extend(machine_paths(&file.path, text));
        }
    }
    for (path, text) in tree.texts(".rs") {
        let source = Source::parse(text);
        violations.extend(long_file(path, text));
        violations.extend(attributes(path, &source));
        violations.extend(sql_text(path, &source));
    }
    violations
}

fn root_files(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let toolchain: Option<toml::Table> = tree
        .text("rust-toolchain.toml")
        .and_then(|text| toml::from_str(text).ok());
    let channel = toolchain
        .as_ref()
        .and_then(|table| table.get("toolchain")?.get("channel")?.as_str());
    if channel != Some(TOOLCHAIN) {
        violations.push(Violation {
            path: "rust-toolchain.toml".to_owned(),
            line: 1,
            rule: "toolchain",
            fault: format!("the channel is {channel:?}"),
            fix: format!("set `channel = \"{TOOLCHAIN}\"`; a new one changes this rule with it"),
        });
    }
    if !tree.has("Cargo.lock") {
        violations.push(Violation {
            path: "Cargo.lock".to_owned(),
            line: 1,
            rule: "lock",
            fault: "the lock is missing or ignored".to_owned(),
            fix: "commit it: every build is `--locked`".to_owned(),
        });
    }
    violations
}

fn shelf(path: &str) -> Option<Violation> {
    let name = path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part))
        .find(|part| SHELVES.contains(part))?;
    Some(Violation {
        path: path.to_owned(),
        line: 1,
        rule: "names",
        fault: format!("`{name}` says nothing of what is inside"),
        fix: "name it by its one duty, or move each part to the module that uses it".to_owned(),
    })
}

fn long_file(path: &str, text: &str) -> Option<Violation> {
    let lines = text.lines().count();
    let says_why = text
        .lines()
        .take(LONG_FILE_HEADER_LINES)
        .any(|line| line.contains(LONG_FILE_WORDS));
    (lines > LONG_FILE_LINES && !says_why).then(|| Violation {
        path: path.to_owned(),
        line: LONG_FILE_LINES + 1,
        rule: "long file",
        fault: format!("{lines} lines, more than {LONG_FILE_LINES}, without a reason"),
        fix: format!(
            "split it by duty, or say `{LONG_FILE_WORDS} …` in its first {LONG_FILE_HEADER_LINES} lines"
        ),
    })
}

/// `#[allow]` has a reason, no test is ignored, and the bans on clocks and sleeps hold.
fn attributes(path: &str, source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for attribute in source.attributes() {
        let mut report = |rule, fault: &str, fix: &str| {
            violations.push(Violation {
                path: path.to_owned(),
                line: source.line_of(attribute.offset),
                rule,
                fault: fault.to_owned(),
                fix: fix.to_owned(),
            });
        };
        let inside = attribute.inside;
        for group in groups(inside, "allow")
            .into_iter()
            .chain(groups(inside, "expect"))
        {
            if !has_word(group, "reason") {
                report(
                    "allow",
                    "a lint is silenced without a reason",
                    "add `reason = \"…\"`, or heed the lint",
                );
            }
            if group.contains("disallowed_methods") && !may_go_around_the_bans(path) {
                report(
                    "time",
                    "only the clock reads time and only the timer sleeps",
                    &format!(
                        "take `now` as an argument or ask a `Clock` ({MAY_READ_TIME}); \
                         sleep through {MAY_SLEEP}; ask {MAY_READ_ENTROPY} for randomness"
                    ),
                );
            }
        }
        let ignored = has_word(inside, "ignore")
            && (inside.trim_start().starts_with("ignore") || inside.contains("cfg_attr"));
        if ignored {
            report(
                "ignore",
                "a test is skipped in silence",
                "let it run; what is too long is a campaign in xtask/campaigns.toml",
            );
        }
    }
    violations
}

fn may_go_around_the_bans(path: &str) -> bool {
    let beside_the_code = path
        .strip_prefix("crates/")
        .and_then(|rest| rest.split('/').nth(1))
        .is_some_and(|folder| folder == "tests" || folder == "benches");
    path == MAY_READ_TIME
        || path == MAY_READ_ENTROPY
        || path == MAY_SLEEP
        || path.starts_with(MEASURES)
        || !path.starts_with("crates/")
        || beside_the_code
}

/// What stands in the parentheses after each `word(`.
fn groups<'a>(inside: &'a str, word: &str) -> Vec<&'a str> {
    inside
        .match_indices(word)
        .filter(|(offset, _)| {
            !inside[..*offset].bytes().next_back().is_some_and(is_word)
                && inside[offset + word.len()..].starts_with('(')
        })
        .filter_map(|(offset, _)| {
            let open = offset + word.len();
            Some(&inside[open + 1..closing(inside, open)?])
        })
        .collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .any(|found| found == word)
}

fn sql_file(path: &str) -> Option<Violation> {
    let allowed = [STORE, "tests/", "benches/"]
        .iter()
        .any(|folder| path.starts_with(folder));
    (path.ends_with(".sql") && !allowed).then(|| no_sql_here(path, 1, "an SQL file"))
}

/// A heuristic: a literal that begins as a statement does, in code that is not a test.
fn sql_text(path: &str, source: &Source) -> Vec<Violation> {
    let product = path.starts_with("crates/") && path.contains("/src/") && !path.starts_with(STORE);
    if !product || path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let tests = source.test_modules();
    source
        .strings
        .iter()
        .filter(|literal| !tests.iter().any(|range| range.contains(&literal.offset)))
        .filter(|literal| begins_a_statement(&literal.text))
        .map(|literal| no_sql_here(path, source.line_of(literal.offset), "SQL text"))
        .collect()
}

fn no_sql_here(path: &str, line: usize, what: &str) -> Violation {
    Violation {
        path: path.to_owned(),
        line,
        rule: "sql",
        fault: format!("{what} outside of {STORE}"),
        fix: "make it an operation of the `Store` trait".to_owned(),
    }
}

/// In English one also says "delete the task" and "select a run"; a statement either shouts or goes
/// on as statements do.
fn begins_a_statement(text: &str) -> bool {
    let text = text.replace("\\n", " ").replace('\\', " ");
    let mut words = text.split_whitespace();
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return false;
    };
    let verb = first.to_ascii_uppercase();
    let object = second.to_ascii_uppercase();
    let object = object.split('(').next().unwrap_or_default();
    let goes_on = |word: &str| words.clone().any(|found| found.eq_ignore_ascii_case(word));
    match verb.as_str() {
        "SELECT" => first == "SELECT" || goes_on("from"),
        "INSERT" | "REPLACE" => matches!(object, "INTO" | "OR"),
        "UPDATE" => goes_on("set"),
        "DELETE" => object == "FROM" && (first == "DELETE" || goes_on("where")),
        "CREATE" | "DROP" | "ALTER" => {
            matches!(
                object,
                "TABLE"
                    | "INDEX"
                    | "UNIQUE"
                    | "TRIGGER"
                    | "VIEW"
                    | "TEMP"
                    | "VIRTUAL"
                    | "SCHEMA"
                    | "SEQUENCE"
                    | "FUNCTION"
                    | "EXTENSION"
            ) && (first == verb || goes_on("("))
        }
        "PRAGMA" => first == "PRAGMA",
        "WITH" => first == "WITH" && goes_on("as"),
        _ => false,
    }
}

fn machine_paths(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for folder in MACHINE_PATHS {
        for (offset, _) in text.match_indices(folder) {
            // `a/home/b` and `{root}/home/b` are parts of other paths.
            let before = text[..offset].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_-.}])*~".contains(c)) {
                continue;
            }
            violations.push(Violation {
                path: path.to_owned(),
                line: line_at(text, offset),
                rule: "machine path",
                fault: format!("`{folder}` is a folder of one machine"),
                fix: "name it from the repository's root, or take it as an argument".to_owned(),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that a tree of one file breaks, with their lines.
    fn broken(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let tree = Tree::of(&[
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n"),
            ("Cargo.lock", ""),
            (path, text),
        ]);
        check(&tree)
            .iter()
            .map(|violation| (violation.rule, violation.line))
            .collect()
    }

    #[test]
    fn a_shelf_is_refused_as_file_and_as_folder() {
        assert_eq!(broken("crates/api/src/utils.rs", ""), [("names", 1)]);
        assert_eq!(broken("python/common/a.py", ""), [("names", 1)]);
        assert_eq!(broken("dashboard/types.d.ts", ""), [("names", 1)]);
        assert_eq!(broken("crates/api/src/mime_types.rs", ""), []);
    }

    #[test]
    fn a_long_file_says_why() {
        let long = "// x\n".repeat(LONG_FILE_LINES + 1);
        assert_eq!(broken("crates/api/src/a.rs", &long), [("long file", 601)]);
        assert_eq!(broken("crates/api/src/a.rs", &long[5..]), []);
        let reasoned = format!("//! Long because one match lists every state.\n{long}");
        assert_eq!(broken("crates/api/src/a.rs", &reasoned), []);
        let too_late = format!("{}{reasoned}", "// x\n".repeat(LONG_FILE_HEADER_LINES));
        assert_eq!(
            broken("crates/api/src/a.rs", &too_late),
            [("long file", 601)]
        );
    }

    #[test]
    fn sql_lives_in_the_store_and_in_tests() {
        let code = "fn a() { q(\"\n  SELECT id FROM runs\"); }\n";
        assert_eq!(broken("crates/engine/src/a.rs", code), [("sql", 1)]);
        assert_eq!(broken("crates/store/src/a.rs", code), []);
        assert_eq!(broken("tests/it/a.rs", code), []);
        assert_eq!(broken("crates/engine/tests/a.rs", code), []);
        let in_tests = format!("fn b() {{}}\n#[cfg(test)]\nmod tests {{ {code} }}\n");
        assert_eq!(broken("crates/engine/src/a.rs", &in_tests), []);
        let after_tests = format!("{in_tests}{code}");
        assert_eq!(broken("crates/engine/src/a.rs", &after_tests), [("sql", 6)]);
        assert_eq!(broken("packaging/a.sql", ""), [("sql", 1)]);
        assert_eq!(broken("crates/store/migrations/a.sql", ""), []);
    }

    #[test]
    fn statements_are_told_from_sentences() {
        for statement in [
            "SELECT 1",
            "select a from b",
            "INSERT INTO a VALUES (1)",
            "insert or ignore into a values (1)",
            "UPDATE runs SET a = 1",
            "DELETE FROM runs",
            "CREATE TABLE a(b)",
            "CREATE UNIQUE INDEX a ON b(c)",
            "PRAGMA user_version",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "\\n  UPDATE a\\n SET b = 1",
        ] {
            assert!(begins_a_statement(statement), "{statement}");
        }
        for sentence in [
            "select a run",
            "Update the task",
            "delete from here on",
            "Create table-driven tests",
            "CREATE a task first",
            "SELECT",
            "with a cursor as given",
        ] {
            assert!(!begins_a_statement(sentence), "{sentence}");
        }
    }

    #[test]
    fn only_clock_and_timer_go_around_the_bans() {
        let code = "#[allow(\n  clippy::disallowed_methods,\n  reason = \"x\"\n)]\nfn a() {}\n";
        assert_eq!(broken("crates/engine/src/queue.rs", code), [("time", 1)]);
        for path in [
            MAY_READ_TIME,
            MAY_READ_ENTROPY,
            MAY_SLEEP,
            "crates/loadtest/src/a.rs",
            "crates/engine/tests/a.rs",
            "crates/engine/benches/a.rs",
            "tests/it/a.rs",
            "benches/a.rs",
        ] {
            assert_eq!(broken(path, code), [], "{path}");
        }
        let inner = "#![expect(clippy::disallowed_methods, reason = \"x\")]\n";
        assert_eq!(broken("crates/engine/src/tests/a.rs", inner), [("time", 1)]);
    }

    #[test]
    fn a_silenced_lint_has_a_reason() {
        for code in [
            "#[allow(dead_code)]\nfn a() {}\n",
            "#![allow(dead_code)]\n",
            "#[cfg_attr(test, allow(dead_code))]\nfn a() {}\n",
            "#[expect(dead_code)]\nfn a() {}\n",
        ] {
            assert_eq!(
                broken("crates/api/src/a.rs", code),
                [("allow", 1)],
                "{code}"
            );
        }
        let reasoned = "#[allow(dead_code, reason = \"a fixture\")]\nfn a() {}\n// #[allow(x)]\n";
        assert_eq!(broken("crates/api/src/a.rs", reasoned), []);
    }

    #[test]
    fn no_test_is_ignored() {
        for code in [
            "#[test]\n#[ignore]\nfn a() {}\n",
            "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n",
            "#[test]\n#[cfg_attr(unix, ignore)]\nfn a() {}\n",
        ] {
            assert_eq!(broken("tests/it/a.rs", code), [("ignore", 2)], "{code}");
        }
        let spoken = "// #[ignore]\nconst A: &str = \"#[ignore]\";\n#[must_use]\nfn ignore() {}\n";
        assert_eq!(broken("tests/it/a.rs", spoken), []);
    }

    #[test]
    fn folders_of_one_machine_are_refused_in_any_file() {
        let text = format!("a\nsee {}x for more\n", MACHINE_PATHS[0]);
        assert_eq!(broken("docs/a.md", &text), [("machine path", 2)]);
        assert_eq!(
            broken("a.json", &format!("\"{}u\"", MACHINE_PATHS[2])),
            [("machine path", 1)]
        );
        assert_eq!(
            broken("docs/a.md", &format!("in sys/fs{}x", MACHINE_PATHS[1])),
            []
        );
    }

    #[test]
    fn the_toolchain_is_pinned_and_the_lock_is_there() {
        let found = check(&Tree::of(&[(
            "rust-toolchain.toml",
            "[toolchain]\nchannel = \"stable\"\n",
        )]));
        let rules: Vec<&str> = found.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, ["toolchain", "lock"]);
        assert_eq!(check(&Tree::default()).len(), 2);
    }
}
