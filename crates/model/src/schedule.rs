//! When a task runs, and what becomes of the times that were missed.
//!
//! Everything here is a pure function of its arguments: a schedule is asked what is due between
//! the time it has fired through and now, and answers with rows to write and runs to make.

use std::fmt;
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::{Timestamp, TimestampError};
use crate::cron::{CronError, CronExpression, FireCount};
use crate::human_duration::{HumanDuration, HumanDurationError};
use crate::limits;

pub use crate::cron::{Dst, Fire};

mod catch_up;
mod zone;

pub use catch_up::{CatchUp, CatchUpLimits, Due, FireOutcome, FireSpan, PlannedFire, due};
pub use zone::{Zone, ZoneError};
