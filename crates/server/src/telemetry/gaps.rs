//! Nulls with their reasons: a figure becomes null only through [`Gaps::settle`], so a null without
//! an entry in `unavailable[]` cannot be written by accident.

use autom8_api::telemetry::Unavailable;
use autom8_performance::probes::reading::Reading;

#[derive(Debug, Default)]
pub(crate) struct Gaps(Vec<Unavailable>);

impl Gaps {
    /// The value, or null with its reason noted under `field`.
    pub(crate) fn settle<T>(&mut self, field: &str, reading: Reading<T>) -> Option<T> {
        match reading {
            Ok(value) => Some(value),
            Err(absence) => {
                self.note(field, absence.reason());
                None
            }
        }
    }

    /// Notes why `field` is null. `[]` in it stands for any entry of a list.
    pub(crate) fn note(&mut self, field: &str, reason: &str) {
        self.0.push(Unavailable {
            field: field.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The entries of `other`, whose fields lie below `parent` here.
    pub(crate) fn adopt(&mut self, parent: &str, other: &[Unavailable]) {
        self.0.extend(other.iter().map(|entry| Unavailable {
            field: format!("{parent}.{}", entry.field),
            reason: entry.reason.clone(),
        }));
    }

    pub(crate) fn into_list(self) -> Vec<Unavailable> {
        self.0
    }
}
