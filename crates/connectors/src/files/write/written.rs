//! What is known of a file when it is finished. Read next: `format_writer.rs`.

/// A finished, synced file.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Bytes of a text file's packed header.
    pub(super) head_bytes: u64,
    /// Of every file but Parquet, which has its note inside.
    pub(super) sha256: String,
}
