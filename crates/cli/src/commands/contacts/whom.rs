//! Which contact is meant: a number is an id, what has an @ an e-mail, and a phone is written with
//! a + or as people group its digits.

use std::str::FromStr;

use autom8_api::client::{Answer, Client, ClientError, ContactKey};
use autom8_api::model::{Contact, ContactId, limits};
use autom8_api::problem::ProblemCode;

use crate::failure::Failure;

/// How a contact is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Id(ContactId),
    Key(ContactKey),
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('@') {
            return Ok(Whom::Key(ContactKey::Email(text.to_owned())));
        }
        match text.parse::<i64>() {
            // No id begins with a zero, as phones of many countries do.
            Ok(id) if id > 0 && !text.starts_with(['+', '0']) => {
                return Ok(Whom::Id(ContactId(id)));
            }
            _ => {}
        }
        let is_phone = text.chars().any(|c| c.is_ascii_digit())
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || "+ -()./".contains(c));
        match is_phone && !text.starts_with('-') {
            true => Ok(Whom::Key(ContactKey::Phone(text.to_owned()))),
            false => Err(
                "a contact is named by its id, its e-mail or its phone, e.g. 42, ada@example.org \
                 or \"+49 30 1234567\"; `autom8 contacts search` finds it by name"
                    .to_owned(),
            ),
        }
    }
}

impl Whom {
    /// The contact itself. Digits alone may be a phone of the country: if no contact has this id,
    /// they are looked up as one.
    pub(super) async fn find(&self, client: &Client) -> Result<Answer<Contact>, Failure> {
        let found = match self {
            Whom::Key(key) => client.look_up_contact(key).await,
            Whom::Id(id) => match client.contact(*id).await {
                Err(error) if is(&error, ProblemCode::NotFound) && may_be_phone(*id) => {
                    let phone = ContactKey::Phone(id.to_string());
                    client.look_up_contact(&phone).await.map_err(|_| error)
                }
                found => found,
            },
        };
        found.map_err(explained)
    }

    /// The id, for a change: a number is nothing else.
    pub(super) async fn id(&self, client: &Client) -> Result<ContactId, Failure> {
        match self {
            Whom::Id(id) => Ok(*id),
            Whom::Key(_) => Ok(self.find(client).await?.value.id),
        }
    }
}

fn may_be_phone(id: ContactId) -> bool {
    let digits = id.to_string().len();
    (limits::PHONE_DIGITS_MIN..=limits::PHONE_DIGITS_MAX).contains(&digits)
}

fn is(error: &ClientError, code: ProblemCode) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.code == code)
}

/// The failure of a request about one contact.
pub(super) fn explained(error: ClientError) -> Failure {
    if is(&error, ProblemCode::NotFound) {
        return Failure::from(error)
            .fix("`autom8 contacts search TEXT` finds contacts by name, e-mail or phone");
    }
    if is(&error, ProblemCode::Conflict) {
        return Failure::from(error)
            .fix("`autom8 contacts show` shows that contact by its id, e-mail or phone");
    }
    Failure::from(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_named_by_id_email_or_phone() {
        let phone = |text: &str| Ok(Whom::Key(ContactKey::Phone(text.to_owned())));
        for (text, whom) in [
            ("42", Ok(Whom::Id(ContactId(42)))),
            ("5551234567", Ok(Whom::Id(ContactId(5_551_234_567)))),
            ("+4930123456", phone("+4930123456")),
            ("0301234567", phone("0301234567")),
            ("030 123-456", phone("030 123-456")),
            ("(030) 123456", phone("(030) 123456")),
            (
                "Ada@Example.org",
                Ok(Whom::Key(ContactKey::Email("Ada@Example.org".to_owned()))),
            ),
        ] {
            assert_eq!(text.parse::<Whom>(), whom, "{text}");
        }
        for text in ["", "ada", "-5", "0x10", "+"] {
            let refused = text.parse::<Whom>().unwrap_err();
            assert!(refused.contains("contacts search"), "{text}: {refused}");
        }
        assert!(may_be_phone(ContactId(5_551_234_567)) && !may_be_phone(ContactId(42)));
    }
}
