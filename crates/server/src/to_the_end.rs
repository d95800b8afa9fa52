//! Work that goes on although the client has left.
//!
//! A handler is dropped with its connection, wherever it waits. Of a write that the store had taken
//! by then, whoever has to hear of it would never hear: a schedule that no scheduler knows, a run
//! whose cancel is recorded and which runs on.

use crate::error::ApiProblem;

/// Does it on a task of its own, which nobody's leaving ends.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiProblem>> + Send + 'static,
) -> Result<T, ApiProblem> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(ApiProblem::internal(format!("a write broke off: {error}"))),
    }
}
