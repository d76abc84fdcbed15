//! What tests stand on: a destination in memory, scripted and endless sources, a simulated system,
//! real servers. Only tests import it.

pub mod kill;
mod memory;
pub mod postgres;
mod script;
mod system;

pub use memory::{Edge, MemoryDestination};
pub use script::{
    Change, ChangeFeed, Dice, ScriptedReader, ScriptedSource, bad_record, endless, id_value_schema,
};
pub use system::{Hold, SimulatedSystem};
