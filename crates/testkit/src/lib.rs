//! The tools for tests: a conformance suite for each port, a destination in memory, scripted and endless
//! sources, a simulated system, real servers.
//!
//! Only tests import it. Read next: `conformance/mod.rs`.

pub mod adbc;
pub mod clouds;
pub mod conformance;
pub mod http;
mod installed;
pub mod kill;
mod live;
pub mod mariadb;
mod memory;
mod ports;
pub mod postgres;
pub mod s3;
mod script;
pub mod singer;
mod system;

pub use live::{LiveEvent, LiveReader, LiveSource, endless_events};
pub use memory::{Edge, MemoryDestination};
pub use ports::Port;
pub use script::{
    Change, ChangeFeed, Dice, ScriptedReader, ScriptedSource, Stretch, bad_record, endless,
    endless_of, id_value_schema,
};
pub use system::{Hold, SimulatedSystem};
