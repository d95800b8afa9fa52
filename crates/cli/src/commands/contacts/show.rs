//! `autom8 contacts show ID|EMAIL|PHONE`

use autom8_api::model::{Clock as _, Contact, SystemClock, Timestamp};

use super::whom::Whom;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;

/// Attributes that are shown; all of them are asked for with --json.
const ATTRIBUTES_CHARS_MAX: usize = 2_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 contacts show 42
  autom8 contacts show ada@example.org
  autom8 contacts show '+44 20 7946 0958'")]
pub(super) struct Arguments {
    /// The contact's id, e-mail or phone.
    #[arg(value_name = "ID|EMAIL|PHONE", allow_hyphen_values = true)]
    whom: Whom,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let contact = arguments.whom.find(&server.client()?).await?;
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&contact, |contact| people(output, contact, now))?;
    Ok(Exit::Ok)
}

fn people(output: Output, contact: &Contact, now: Timestamp) -> String {
    let attributes = contact.attributes.get();
    output.pairs([
        ("contact", Some(contact.id.to_string())),
        ("name", Some(contact.name.clone())),
        ("phone", Some(contact.phone.to_string())),
        ("email", contact.email.as_ref().map(ToString::to_string)),
        (
            "tags",
            Some(super::ls::tags(contact)).filter(|tags| !tags.is_empty()),
        ),
        (
            "attributes",
            (attributes != "{}").then(|| show::head(attributes, ATTRIBUTES_CHARS_MAX)),
        ),
        ("created", Some(show::absolute(contact.created_at, now))),
        ("changed", Some(show::absolute(contact.updated_at, now))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_shown_without_what_it_does_not_have() {
        let contact = |email: &str, tags: &str, attributes: &str| -> Contact {
            let json = format!(
                r#"{{"id":7,"name":"Ada","phone":"+44 20 7946 0958","email":{email},"tags":{tags},
                "attributes":{attributes},"created_at":"2026-01-01T00:00:00Z",
                "updated_at":"2026-01-01T00:00:00Z"}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let now = Timestamp::from_seconds(1_767_225_600 + 7_200);
        let times =
            "created  2026-01-01T00:00:00Z (2h ago)\nchanged  2026-01-01T00:00:00Z (2h ago)\n";
        assert_eq!(
            people(Output::plain(), &contact("null", "[]", "{}"), now),
            format!("contact  7\nname     Ada\nphone    +44 20 7946 0958\n{times}")
        );
        let full = contact(
            "\"ada@example.org\"",
            r#"["vip","london"]"#,
            r#"{"n":1.50}"#,
        );
        let shown = people(Output::plain(), &full, now);
        for line in [
            "email       ada@example.org",
            "tags        vip, london",
            r#"attributes  {"n":1.50}"#,
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}
