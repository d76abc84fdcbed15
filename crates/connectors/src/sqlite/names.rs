//! Names of SQLite objects.
//!
//! Quoting and near misses are shared with other databases: `relational/names.rs`.

pub(super) use crate::relational::names::{nearest, quoted};

/// SQLite compares names without the case of ASCII letters.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
