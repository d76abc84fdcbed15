//! The repository rules, one file each. `tidy.rs` lists the ones that run.

pub(crate) mod arrows;
pub(crate) mod circles;
pub(crate) mod codes;
pub(crate) mod crate_table;
pub(crate) mod fences;
pub(crate) mod files;
pub(crate) mod generated;
pub(crate) mod licences;
pub(crate) mod versions;
pub(crate) mod words;
