//! A task as `/api/v1/tasks` reads and writes it.

use std::collections::BTreeMap;

use autom8_model::schedule::Dst;
use autom8_model::{Task, TaskId, TaskSpec, Timestamp};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::page::PageMeta;

/// What a client may write; [`TaskSpec`] in JSON has these fields.
pub const SPEC_FIELDS: [&str; 11] = [
    "name", "do", "schedule", "retry", "timeout", "queue", "priority", "overlap", "catch_up",
    "on_crash", "enabled",
];

/// What only the server knows. A write may carry them, so that a task that was read can be sent
/// back; they are not looked at.
pub const READ_ONLY_FIELDS: [&str; 6] = [
    "id",
    "rev",
    "created_at",
    "updated_at",
    "next_run_at",
    "trigger",
];

/// `GET /api/v1/tasks`, in the order of names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskList {
    pub tasks: Vec<TaskView>,
    pub meta: PageMeta,
}

/// One task: its definition, and what the server knows of it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskView {
    #[serde(flatten)]
    pub spec: TaskSpec,
    pub id: TaskId,
    /// Rises with every change of the definition.
    pub rev: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `null` for a task that is paused, has no schedule, or whose one time has passed.
    pub next_run_at: Option<Timestamp>,
    /// The schedule in words, e.g. "every 2s"; `null` for a task that runs by hand.
    pub trigger: Option<String>,
}

impl TaskView {
    pub fn of(task: &Task, now: Timestamp) -> Self {
        TaskView {
            spec: task.spec.clone(),
            id: task.id,
            rev: task.rev,
            created_at: task.created_at,
            updated_at: task.updated_at,
            next_run_at: next_run_at(task, now),
            trigger: task
                .spec
                .schedule
                .as_ref()
                .map(|schedule| schedule.describe()),
        }
    }
}

/// The next planned time of a task that is not paused. A time that is due but not yet entered
/// into the ledger is past, and not shown as next.
pub fn next_run_at(task: &Task, now: Timestamp) -> Option<Timestamp> {
    let schedule = task.spec.schedule.as_ref().filter(|_| task.spec.enabled)?;
    let fire = schedule.next_after(now.max(task.fired_through), task.anchor_at)?;
    Some(fire.at)
}

/// By hand, because serde's `flatten` can neither read a [`RawValue`] nor be strict.
impl<'de> Deserialize<'de> for TaskView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let id = take(&mut fields, "id")?;
        let rev = take(&mut fields, "rev")?;
        let created_at = take(&mut fields, "created_at")?;
        let updated_at = take(&mut fields, "updated_at")?;
        let next_run_at = take(&mut fields, "next_run_at")?;
        let trigger = take(&mut fields, "trigger")?;
        // A newer server may say more; only what belongs to the definition is read as one.
        fields.retain(|name, _| SPEC_FIELDS.contains(&name.as_str()));
        let spec = serde_json::to_vec(&fields).map_err(D::Error::custom)?;
        let spec = serde_json::from_slice(&spec).map_err(D::Error::custom)?;
        Ok(TaskView {
            spec,
            id,
            rev,
            created_at,
            updated_at,
            next_run_at,
            trigger,
        })
    }
}

fn take<T: DeserializeOwned, E: serde::de::Error>(
    fields: &mut BTreeMap<String, Box<RawValue>>,
    name: &'static str,
) -> Result<T, E> {
    let raw = fields.remove(name).ok_or_else(|| E::missing_field(name))?;
    serde_json::from_str(raw.get()).map_err(|error| E::custom(format_args!("{name}: {error}")))
}

/// `DELETE /api/v1/tasks/{name}`, 200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskDeleted {
    pub message: String,
    /// Runs that waited and are cancelled now.
    pub cancelled: u64,
    /// Runs that were running and are being stopped.
    pub stopping: u64,
}

/// `PUT …/toggle`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Toggle {
    pub enabled: bool,
}

/// `GET …/next?n=&from=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NextFires {
    pub next: Vec<NextFire>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NextFire {
    pub at: Timestamp,
    /// `"gap"` or `"overlap"` if a clock change touches it, else `null`.
    pub dst: Option<Dst>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(json: &str) -> Task {
        Task {
            id: TaskId(3),
            rev: 1,
            spec: serde_json::from_str(json).unwrap(),
            anchor_at: Timestamp::from_seconds(0),
            fired_through: Timestamp::from_seconds(10),
            created_at: Timestamp::from_seconds(0),
            updated_at: Timestamp::from_seconds(5),
        }
    }

    const HOOK: &str = r#"{"name":"hook","do":{"http":{"method":"POST","url":"https://a.example/",
        "body":{"n":1.50,"nested":[null]}}},"schedule":{"every":"2s"}}"#;

    #[test]
    fn a_task_is_written_as_it_is_defined_with_its_times_beside_it() {
        let view = TaskView::of(&task(HOOK), Timestamp::from_seconds(10));
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            concat!(
                r#"{"name":"hook","do":{"http":{"method":"POST","url":"https://a.example/","#,
                r#""body":{"n":1.50,"nested":[null]}}},"schedule":{"every":"2s"},"#,
                r#""retry":{"max_attempts":3,"backoff":"1s","max_backoff":"5m"},"timeout":"15m","#,
                r#""queue":"default","priority":0,"overlap":"skip","catch_up":"latest","#,
                r#""on_crash":"retry","enabled":true,"id":3,"rev":1,"#,
                r#""created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:05Z","#,
                r#""next_run_at":"1970-01-01T00:00:12Z","trigger":"every 2s"}"#
            )
        );
    }

    #[test]
    fn a_view_reads_back_whole_and_ignores_what_a_newer_server_adds() {
        let view = TaskView::of(&task(HOOK), Timestamp::from_seconds(10));
        let mut json = serde_json::to_string(&view).unwrap();
        json.insert_str(1, r#""later":{"a":1},"#);
        let back: TaskView = serde_json::from_str(&json).unwrap();
        assert_eq!(
            serde_json::to_string(&back).unwrap(),
            serde_json::to_string(&view).unwrap()
        );
    }

    #[test]
    fn the_field_lists_are_those_that_are_written() {
        let view = TaskView::of(&task(HOOK), Timestamp::from_seconds(10));
        let json = serde_json::to_value(view).unwrap();
        let mut written: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut listed = [&SPEC_FIELDS[..], &READ_ONLY_FIELDS[..]].concat();
        written.sort_unstable();
        listed.sort_unstable();
        assert_eq!(written, listed);
    }

    #[test]
    fn a_paused_task_has_no_next_run() {
        let mut paused = task(HOOK);
        paused.spec.enabled = false;
        assert_eq!(next_run_at(&paused, Timestamp::from_seconds(10)), None);
    }
}
