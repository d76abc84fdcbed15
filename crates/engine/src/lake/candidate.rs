//! A set of Parquet files that together are a table: what a version of a table is, and what a
//! prepared write would make it.
//!
//! This is the `native` form of a candidate: the session half plans a plain Parquet scan over it.
//! Files may lack columns that were added later (they read as NULL); types always agree.

use std::path::PathBuf;

use arrow_schema::SchemaRef;
use towpath_vocab::TableName;

/// One Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its rows, when the log says.
    pub rows: Option<u64>,
    /// Delta's statistics of it, as JSON.
    pub stats: Option<String>,
}

/// The files and columns of a table or of the incoming rows of a write.
#[derive(Clone, Debug)]
pub struct LakeCandidate {
    /// The table.
    pub table: TableName,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its files.
    pub files: Vec<LakeFile>,
    /// The version it is, when it is a committed one.
    pub version: Option<u64>,
}

impl LakeCandidate {
    /// All rows, when every file says.
    pub fn rows(&self) -> Option<u64> {
        self.files.iter().map(|file| file.rows).sum()
    }
}
