//! Small writes: what each is, and what its failure means.

use super::group::Group;
use super::inbox::Reply;
use super::writer::Writer;
use crate::{Result, StoreError};

/// An operation that is neither a run's acceptance nor its end: done by the next group, whole or
/// not at all. See [`Operation`], its one implementation.
pub(crate) trait SmallWrite: Send {
    fn apply(&mut self, writer: &mut Writer, group: &mut Group) -> Result<(), Failure>;
    /// Whether it refuses before it has changed anything: it then needs no savepoint, for which
    /// SQLite copies every page that the operation is the first to touch.
    fn refuses_first(&self) -> bool;
    fn answer(self: Box<Self>, outcome: Result<()>);
}

/// Statements to run within a group's transaction, and whom to tell. An error undoes this operation
/// alone; so memory is changed last, when no statement can fail any more.
pub(crate) struct Operation<T, F> {
    run: Option<F>,
    made: Option<T>,
    reply: Reply<T>,
    refuses_first: bool,
}

impl<T, F> Operation<T, F> {
    pub(crate) fn new(run: F, reply: Reply<T>) -> Self {
        Operation {
            run: Some(run),
            made: None,
            reply,
            refuses_first: false,
        }
    }

    /// One that changes nothing before it knows that nothing stands against it.
    pub(crate) fn refusing_first(run: F, reply: Reply<T>) -> Self {
        Operation {
            refuses_first: true,
            ..Self::new(run, reply)
        }
    }
}

impl<T, F> SmallWrite for Operation<T, F>
where
    T: Send,
    F: FnOnce(&mut Writer, &mut Group) -> Result<T, Failure> + Send,
{
    fn apply(&mut self, writer: &mut Writer, group: &mut Group) -> Result<(), Failure> {
        if let Some(run) = self.run.take() {
            self.made = Some(run(writer, group)?);
        }
        Ok(())
    }

    fn refuses_first(&self) -> bool {
        self.refuses_first
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let answer = match (outcome, self.made) {
            (Ok(()), Some(made)) => Ok(made),
            (Err(error), _) => Err(error),
            // Applied and answered without an error, it has made something.
            (Ok(()), None) => Err(StoreError::Unavailable {
                why: "nothing was done".to_owned(),
            }),
        };
        let _ = self.reply.send(answer);
    }
}

/// Why a small write did not happen.
pub(crate) enum Failure {
    /// The caller's answer; the group goes on.
    Refused(StoreError),
    /// A statement failed; what becomes of the group depends on how.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Refused(error)
    }
}
