//! The fields of a contact as flags.

use crate::draft::Draft;
use crate::failure::Failure;

#[derive(Debug, Default, clap::Args)]
pub(super) struct Fields {
    /// Name.
    #[arg(long, value_name = "TEXT")]
    pub(super) name: Option<String>,
    /// Phone number, e.g. "+49 30 1234567".
    #[arg(long, value_name = "NUMBER")]
    pub(super) phone: Option<String>,
    /// E-mail address.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) email: Option<String>,
    /// A tag; give it again for each further one. All tags together take the place of the old
    /// ones.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// An attribute: its value is JSON, or else a text. NAME= takes it away.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) attribute: Vec<String>,
}

impl Fields {
    /// Puts what was given into a contact, or a change of one. An empty e-mail is none.
    pub(super) fn put_into(&self, draft: &mut Draft) -> Result<(), Failure> {
        draft.put_if(&["name"], self.name.as_ref())?;
        draft.put_if(&["phone"], self.phone.as_ref())?;
        match self.email.as_deref().map(str::trim) {
            Some("") => draft.put(&["email"], &())?,
            email => draft.put_if(&["email"], email.as_ref())?,
        }
        if !self.tag.is_empty() {
            draft.put(&["tags"], &self.tag)?;
        }
        for assignment in &self.attribute {
            put_attribute(draft, assignment)?;
        }
        Ok(())
    }
}

fn put_attribute(draft: &mut Draft, assignment: &str) -> Result<(), Failure> {
    let named = assignment.split_once('=');
    let Some((name, value)) = named.filter(|(name, _)| !name.is_empty()) else {
        return Err(
            Failure::usage(format!("--attribute `{assignment}` has no `=`"))
                .fix("write --attribute NAME=VALUE, e.g. --attribute city=Berlin"),
        );
    };
    let path = ["attributes", name];
    if value.is_empty() {
        return draft.put(&path, &());
    }
    match serde_json::from_str(value) {
        Ok(raw) => draft.put_raw(&path, raw),
        Err(_) => draft.put(&path, &value),
    }
}
