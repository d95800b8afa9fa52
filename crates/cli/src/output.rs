//! What is printed: tables for people, the server's own words for programs.

use std::io::{self, IsTerminal as _, Write as _};

use autom8_api::client::Answer;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// Standard output in one of its two ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    style: Style,
}

#[derive(Clone, Copy, Debug)]
struct Style {
    /// Fit into the terminal's width.
    fit: bool,
    color: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let fit = io::stdout().is_terminal();
        // https://no-color.org: present and not empty.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Output {
            json,
            style: Style {
                fit,
                color: fit && !no_color && !dumb,
            },
        }
    }

    /// As it is printed into a file: no width, no colour.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Output {
            json: false,
            style: Style {
                fit: false,
                color: false,
            },
        }
    }

    /// Prints an answer: as it came, or as `table` makes it.
    pub(crate) fn answer<T>(
        self,
        answer: &Answer<T>,
        people: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        match self.json {
            true => self.print(&answer.text),
            false => self.print(&people(&answer.value)),
        }
    }

    /// Prints a text, ended by one line feed.
    pub(crate) fn print(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// Talk, for people only: not data, and not in the way of it.
    pub(crate) fn note(self, text: &str) {
        _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Rows under headings, for people.
    pub(crate) fn table<const COLUMNS: usize>(
        self,
        headings: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) -> String {
        let mut table = self.bare_table();
        let heading = |text: &str| match self.style.color {
            true => Cell::new(text).add_attribute(Attribute::Bold),
            false => Cell::new(text),
        };
        table.set_header(headings.map(heading));
        for row in rows {
            table.add_row(row.map(|text| self.cell(&text)));
        }
        trimmed(&table)
    }

    /// Names and values, for people; a pair without a value is left out.
    pub(crate) fn pairs<'a>(
        self,
        pairs: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> String {
        let mut table = self.bare_table();
        for (name, value) in pairs {
            if let Some(value) = value {
                table.add_row([Cell::new(name), self.cell(&value)]);
            }
        }
        trimmed(&table)
    }

    fn bare_table(self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.style.fit {
            true => table.set_content_arrangement(ContentArrangement::Dynamic),
            false => table.force_no_tty(),
        };
        if self.style.color {
            table.enforce_styling();
        }
        table
    }

    fn cell(self, text: &str) -> Cell {
        let cell = Cell::new(printable(text));
        match color_of(text) {
            Some(color) if self.style.color => cell.fg(color),
            _ => cell,
        }
    }
}

/// States are told by their word first; the colour only helps to find them.
fn color_of(word: &str) -> Option<Color> {
    match word {
        "completed" | "healthy" | "met" => Some(Color::Green),
        "failed" | "interrupted" | "unhealthy" | "breached" => Some(Color::Red),
        "running" => Some(Color::Cyan),
        "cancelled" | "paused" | "warning" | "at risk" => Some(Color::Yellow),
        _ => None,
    }
}

/// Text from elsewhere without what a terminal would obey: an error message must not be able to
/// move the cursor or set the window's title.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The table's lines without the padding at both ends.
fn trimmed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        let line = line.strip_prefix(' ').unwrap_or(&line);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_of_words_and_nothing_else() {
        let table = Output::plain().table(
            ["NAME", "STATE"],
            [
                ["a".into(), "completed".into()],
                ["longer-name".into(), String::new()],
            ],
        );
        assert_eq!(
            table,
            "NAME         STATE\na            completed\nlonger-name\n"
        );
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        assert_eq!(
            Output::plain().table(["NAME", "STATE"], []),
            "NAME  STATE\n"
        );
    }

    #[test]
    fn pairs_without_a_value_are_left_out() {
        let pairs = [
            ("task", Some("a".to_owned())),
            ("error", None),
            ("id", Some("7".to_owned())),
        ];
        assert_eq!(Output::plain().pairs(pairs), "task  a\nid    7\n");
    }

    #[test]
    fn colour_is_added_to_the_word_and_never_in_its_place() {
        let output = Output {
            json: false,
            style: Style {
                fit: false,
                color: true,
            },
        };
        let table = output.table(["STATE"], [["failed".to_owned()]]);
        assert!(
            table.contains("failed") && table.contains("\u{1b}["),
            "{table:?}"
        );
    }

    #[test]
    fn a_terminal_is_not_steered_by_what_it_shows() {
        assert_eq!(
            printable("a\u{1b}]0;title\u{7}b\n"),
            "a\u{fffd}]0;title\u{fffd}b\n"
        );
    }
}
