//! `autom8 contacts edit ID`

use super::fields::Fields;
use super::whom::{self, Whom};
use crate::draft::Draft;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 contacts edit 42 --phone '+49 30 7654321'
  autom8 contacts edit ada@example.org --tag vip --tag berlin     exactly these tags
  autom8 contacts edit 42 --attribute city=Berlin --attribute floor=
  autom8 contacts edit 42 --no-email")]
pub(super) struct Arguments {
    /// The contact's id, e-mail or phone; digits alone are an id.
    #[arg(value_name = "ID")]
    whom: Whom,
    #[command(flatten)]
    fields: Fields,
    /// Take the e-mail away.
    #[arg(long, conflicts_with = "email")]
    no_email: bool,
    /// Take all tags away.
    #[arg(long, conflicts_with = "tag")]
    no_tags: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let draft = draft(arguments)?;
    let client = server.client()?;
    let id = arguments.whom.id(&client).await?;
    let changed = client.edit_contact(id, &draft).await;
    let contact = changed.map_err(whom::explained)?;
    server.output().answer(&contact, |contact| {
        format!("Changed contact {}: {}", contact.id, contact.name)
    })?;
    Ok(Exit::Ok)
}

fn draft(arguments: &Arguments) -> Result<Draft, Failure> {
    let mut draft = Draft::default();
    if arguments.no_email {
        draft.put(&["email"], &())?;
    }
    if arguments.no_tags {
        draft.put(&["tags"], &[(); 0])?;
    }
    arguments.fields.put_into(&mut draft)?;
    match draft.is_empty() {
        true => Err(Failure::usage("it is not said what is to change")
            .fix("give the fields to change, e.g. --phone NUMBER; the rest stays")),
        false => Ok(draft),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn line(line: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(["edit"].iter().chain(line))
    }

    #[test]
    fn only_what_was_given_is_in_the_change() {
        for (given, json) in [
            (&["7", "--name", "Bo"][..], r#"{"name":"Bo"}"#),
            (&["7", "--email", ""], r#"{"email":null}"#),
            (&["7", "--no-email"], r#"{"email":null}"#),
            (&["7", "--no-tags"], r#"{"tags":[]}"#),
            (&["7", "--tag", "x"], r#"{"tags":["x"]}"#),
            (&["7", "--attribute", "a="], r#"{"attributes":{"a":null}}"#),
        ] {
            let draft = draft(&line(given).unwrap().arguments).unwrap();
            assert_eq!(serde_json::to_string(&draft).unwrap(), json);
        }
        let nothing = draft(&line(&["7"]).unwrap().arguments).unwrap_err();
        assert_eq!(nothing.exit, Exit::Usage);
        assert!(line(&["7", "--no-email", "--email", "a@b.c"]).is_err());
    }
}
