//! When a schedule has its moments: cron expressions in time zones, fixed intervals, the intervals between.
//!
//! Promise: pure, and the same on every machine, because the time zones are part of the program. A moment
//! that the clock skips or repeats follows the rules of the schedule. It knows no store and does not know
//! what time it is. Read next: `timetable.rs` (moments and intervals), `cron.rs` (the expression), `zone.rs`.

mod cron;
mod error;
mod timetable;
mod zone;

pub use error::ScheduleError;
pub use timetable::{Counted, Timetable};
pub use zone::{local_date_us, local_text, local_time_us, zone_names};

#[cfg(test)]
mod named_tests;
#[cfg(test)]
mod property_tests;
