//! Exact text of values, both ways: the one form that files, SQLite and people share.
//!
//! Promise: what `write` gives, `read` takes back as the same value; nothing is rounded or guessed.
//! It knows no system and no format; connectors quote and frame these texts.

pub(crate) mod local;
pub(crate) mod read;
pub(crate) mod write;
