//! The repository rules, one file for each.
//!
//! `tidy.rs` has the list of those that run; a rule does not know the others. Read next: `rules/arrows.rs`.

pub(crate) mod arrows;
pub(crate) mod circles;
pub(crate) mod codes;
pub(crate) mod crate_table;
pub(crate) mod fences;
pub(crate) mod files;
pub(crate) mod generated;
pub(crate) mod licences;
pub(crate) mod unused;
pub(crate) mod versions;
pub(crate) mod words;
