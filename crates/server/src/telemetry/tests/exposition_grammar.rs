//! A strict reader of the two text formats, for tests: what it accepts, any scraper does.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: its name, its labels as written and its value.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Reads a text; `is_open_metrics` asks for that format's rules.
pub(crate) fn read(text: &str, is_open_metrics: bool) -> Result<Samples, String> {
    let mut samples = Samples::new();
    let mut families: BTreeSet<String> = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut has_ended = false;
    for line in text.lines() {
        if has_ended {
            return Err(format!("`{line}` after # EOF"));
        }
        if line == "# EOF" {
            has_ended = true;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(line)?;
            if !families.insert(name.to_owned()) {
                return Err(format!("family {name} twice"));
            }
            family = Some((name.to_owned(), kind.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').ok_or(line)?;
            if !is_open_metrics || !name.ends_with(&format!("_{unit}")) {
                return Err(format!("`{line}`: the name must end in its unit"));
            }
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(line)?;
            if help.is_empty() || !is_name(name) {
                return Err(format!("`{line}`: no help"));
            }
        } else {
            let (name, key, value) = sample(line)?;
            let (of, kind) = family.as_ref().ok_or("a sample before its family")?;
            let base = match (kind.as_str(), is_open_metrics) {
                ("counter", true) => name.strip_suffix("_total"),
                ("counter", false) => name.ends_with("_total").then_some(name),
                ("gauge", _) => (!name.ends_with("_total")).then_some(name),
                ("histogram", _) => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end)),
                _ => None,
            };
            if base != Some(of) {
                return Err(format!("`{name}` within the {kind} {of}"));
            }
            if kind == "counter" && value < 0.0 {
                return Err(format!("`{line}`: a counter below zero"));
            }
            if samples.insert(key.clone(), value).is_some() {
                return Err(format!("{key} twice"));
            }
        }
    }
    if has_ended != is_open_metrics {
        return Err("# EOF belongs to OpenMetrics, and there it must be".to_owned());
    }
    check_buckets(text)?;
    Ok(samples)
}

fn is_name(name: &str) -> bool {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.starts_with(is_first)
        && name
            .chars()
            .all(|letter| is_first(letter) || letter.is_ascii_digit())
}

/// Name, name with labels, value.
fn sample(line: &str) -> Result<(&str, String, f64), String> {
    let (key, value) = line
        .rsplit_once(' ')
        .ok_or(format!("`{line}` has no value"))?;
    let value: f64 = match value {
        "+Inf" => f64::INFINITY,
        text => text
            .parse()
            .map_err(|_| format!("`{line}` has no number"))?,
    };
    let name = key.split('{').next().unwrap_or(key);
    if !is_name(name) {
        return Err(format!("`{name}` is no name"));
    }
    if let Some(labels) = key.strip_prefix(name).filter(|labels| !labels.is_empty()) {
        let inner = labels
            .strip_prefix('{')
            .and_then(|labels| labels.strip_suffix('}'));
        let mut rest = inner.ok_or(format!("`{line}`: labels do not close"))?;
        while !rest.is_empty() {
            let (label, after) = rest
                .split_once("=\"")
                .ok_or(format!("`{line}`: no label"))?;
            if !is_name(label) {
                return Err(format!("`{label}` is no label"));
            }
            let mut is_escaped = false;
            let end = after.find(|letter| {
                let ends = letter == '"' && !is_escaped;
                is_escaped = letter == '\\' && !is_escaped;
                ends
            });
            let end = end.ok_or(format!("`{line}`: a label's value does not end"))?;
            rest = &after[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    Ok((name, key.to_owned(), value))
}

/// Buckets rise within each series, and the last, `+Inf`, equals the count.
fn check_buckets(text: &str) -> Result<(), String> {
    let mut before: Option<(String, f64)> = None;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (name, key, value) = sample(line)?;
        if name.ends_with("_bucket") {
            let series = key.split("le=\"").next().unwrap_or(&key).to_owned();
            if let Some((of, least)) = &before
                && *of == series
                && value < *least
            {
                return Err(format!("`{line}` falls below {least}"));
            }
            before = Some((series, value));
        } else if name.ends_with("_count")
            && let Some((of, last)) = before.take()
            && of.starts_with(name.trim_end_matches("_count"))
            && last != value
        {
            return Err(format!("`{line}` is not its last bucket, {last}"));
        }
    }
    Ok(())
}
