//! Campaigns are measurements and torments that take more than 60 s. Their table is
//! `xtask/campaigns.toml`; this file only finds one and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::Failure;

const TABLE: &str = include_str!("../campaigns.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    campaign: Vec<Campaign>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Campaign {
    name: String,
    what: String,
    command: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let table = parse(TABLE)?;
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", listing(&table));
        return Ok(());
    };
    let campaign = find(&table, name).map_err(Failure::Usage)?;
    let (program, fixed) = campaign
        .command
        .split_first()
        .context("a campaign has an empty command")?;
    println!("== campaign {}: {}", campaign.name, campaign.what);
    let mut command = if program == "cargo" {
        crate::cargo(root)
    } else {
        Command::new(program)
    };
    let status = command
        .args(fixed)
        .args(rest)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Failed)
    }
}

fn parse(text: &str) -> anyhow::Result<Table> {
    let table: Table = toml::from_str(text).context("xtask/campaigns.toml")?;
    for (index, campaign) in table.campaign.iter().enumerate() {
        anyhow::ensure!(
            !campaign.command.is_empty() && !campaign.what.is_empty(),
            "xtask/campaigns.toml: `{}` has an empty `what` or `command`",
            campaign.name
        );
        anyhow::ensure!(
            table
                .campaign
                .iter()
                .skip(index + 1)
                .all(|other| other.name != campaign.name),
            "xtask/campaigns.toml: two campaigns are named `{}`",
            campaign.name
        );
    }
    Ok(table)
}

fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Campaign, String> {
    table
        .campaign
        .iter()
        .find(|campaign| campaign.name == name)
        .ok_or_else(|| format!("there is no campaign `{name}`. {}", listing(table)))
}

fn listing(table: &Table) -> String {
    if table.campaign.is_empty() {
        return "No campaign exists yet; xtask/campaigns.toml says how to add one.".to_owned();
    }
    let mut text = "campaigns:".to_owned();
    for campaign in &table.campaign {
        text.push_str(&format!("\n  {:<20} {}", campaign.name, campaign.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[campaign]]\nname = \"crash\"\nwhat = \"kill it\"\ncommand = [\"true\"]\n";

    #[test]
    fn the_committed_table_is_valid() {
        parse(TABLE).expect("xtask/campaigns.toml");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_list() {
        let table = parse(ONE).unwrap();
        assert!(find(&table, "crash").is_ok());
        let refusal = find(&table, "crush").err().unwrap();
        assert!(
            refusal.contains("crush") && refusal.contains("kill it"),
            "{refusal}"
        );
    }

    #[test]
    fn a_table_with_a_doubled_name_or_an_empty_command_is_refused() {
        assert!(parse(&format!("{ONE}{ONE}")).is_err());
        assert!(parse(&ONE.replace("[\"true\"]", "[]")).is_err());
        assert!(parse(&ONE.replace("what", "why")).is_err());
    }
}
