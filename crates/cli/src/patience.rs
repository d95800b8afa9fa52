//! Waiting before a request is sent again, and telling so.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::time::Duration;

use autom8_api::client::{ClientError, Patience};

use crate::show;

/// Tells people on standard error what is waited for: a command that stands still in silence looks
/// broken.
#[derive(Debug)]
pub(crate) struct ToldPatience;

impl Patience for ToldPatience {
    fn wait<'a>(
        &'a self,
        why: &'a ClientError,
        pause: Duration,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let pause_shown = show::millis(pause.as_secs_f64() * 1_000.0);
            _ = writeln!(
                std::io::stderr().lock(),
                "{why}; trying again in {pause_shown}."
            );
            // There is nothing to be woken by: a signal ends the program.
            _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        })
    }
}
