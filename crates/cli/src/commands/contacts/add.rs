//! `autom8 contacts add`

use serde_json::value::RawValue;

use super::fields::Fields;
use super::whom;
use crate::draft::Draft;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::input;
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "autom8 contacts add --name TEXT --phone NUMBER [OPTIONS]\n       \
                      autom8 contacts add --json-file FILE",
    after_help = "Examples:
  autom8 contacts add --name 'Ada Lovelace' --phone '+44 20 7946 0958' --email ada@example.org
  autom8 contacts add --name Bob --phone 0301234567 --tag vip --tag berlin --attribute floor=3
  echo '{\"name\": \"Cy\", \"phone\": \"+14155550100\"}' | autom8 contacts add --json-file -"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    fields: Fields,
    /// Read the whole contact as JSON from a file, or - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "Fields")]
    json_file: Option<String>,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let added = match &arguments.json_file {
        Some(path) => client.add_contact(&read_contact(path)?).await,
        None => client.add_contact(&draft(&arguments.fields)?).await,
    };
    let contact = added.map_err(whom::explained)?;
    server.output().answer(&contact, |contact| {
        format!(
            "Added contact {}: {}\n  Next: autom8 contacts show {}",
            contact.id, contact.name, contact.id
        )
    })?;
    Ok(Exit::Ok)
}

fn draft(fields: &Fields) -> Result<Draft, Failure> {
    let missing: Vec<&str> = [("--name", &fields.name), ("--phone", &fields.phone)]
        .into_iter()
        .filter(|(_, given)| given.is_none())
        .map(|(flag, _)| flag)
        .collect();
    if !missing.is_empty() {
        let what = format!("a contact needs {}", missing.join(" and "));
        return Err(Failure::usage(what)
            .fix("autom8 contacts add --name TEXT --phone NUMBER, or --json-file FILE"));
    }
    let mut draft = Draft::default();
    fields.put_into(&mut draft)?;
    Ok(draft)
}

fn read_contact(path: &str) -> Result<Box<RawValue>, Failure> {
    let text = input::read_file(path)?;
    serde_json::from_str(text.trim()).map_err(|error| {
        let place = if path == "-" { "standard input" } else { path };
        Failure::usage(format!("{place} is not JSON: {error}"))
            .fix("write one contact, e.g. {\"name\": \"Ada\", \"phone\": \"+442079460958\"}")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn line(line: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(["add"].iter().chain(line))
    }

    #[test]
    fn flags_become_the_json_of_the_contact() {
        let given = line(&[
            "--name",
            "Ada",
            "--phone",
            "+1",
            "--tag",
            "a",
            "--tag",
            "b c",
            "--attribute",
            "n=1.50",
            "--attribute",
            "zip=01234",
            "--attribute",
            "x.y=a=b",
        ])
        .unwrap();
        let json = serde_json::to_string(&draft(&given.arguments.fields).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"attributes":{"n":1.50,"x.y":"a=b","zip":"01234"},"name":"Ada","phone":"+1","tags":["a","b c"]}"#
        );
    }

    #[test]
    fn what_is_missing_is_named_by_its_flag_and_a_file_stands_alone() {
        let given = line(&["--email", "a@b.c"]).unwrap();
        let failure = draft(&given.arguments.fields).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let text = failure.to_string();
        assert!(text.contains("needs --name and --phone"), "{text}");
        assert!(line(&["--json-file", "-", "--name", "x"]).is_err());
        let given = line(&["--name", "x", "--phone", "1", "--attribute", "city"]).unwrap();
        let text = draft(&given.arguments.fields).unwrap_err().to_string();
        assert!(text.contains("NAME=VALUE"), "{text}");
    }
}
