//! The state of operators at a commit, as record batches.
//!
//! Promise: the stored form contains its version and reads back as it was written. It does not know where
//! it is stored: `destination.rs` says how a commit keeps it. Read next: `operator.rs`, which freezes and
//! restores it.

use std::collections::BTreeMap;
use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use towpath_vocab::{Failure, Remedy};

use crate::Result;

/// What the stored form begins with: its name and version.
const VERSION_1: &[u8] = b"towpath checkpoint 1\n";

/// The state of a table's operators at a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// By the operator's name; operators without a state are not in it.
    pub states: BTreeMap<String, Vec<RecordBatch>>,
}

impl Checkpoint {
    /// True when no operator has a state.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Writes the stored form: for each operator its name, its number of batches, and each batch as an
    /// Arrow IPC stream.
    ///
    /// # Errors
    /// `Bug` if Arrow cannot write a column.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = VERSION_1.to_vec();
        put_number(&mut bytes, self.states.len());
        for (name, batches) in &self.states {
            put(&mut bytes, name.as_bytes());
            put_number(&mut bytes, batches.len());
            for batch in batches {
                let mut stream = Vec::new();
                let mut writer =
                    StreamWriter::try_new(&mut stream, &batch.schema()).map_err(unwritable)?;
                writer.write(batch).map_err(unwritable)?;
                writer.finish().map_err(unwritable)?;
                drop(writer);
                put(&mut bytes, &stream);
            }
        }
        Ok(bytes)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Refused` for bytes that this version cannot read.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut left = bytes.strip_prefix(VERSION_1).ok_or_else(unreadable)?;
        let mut states = BTreeMap::new();
        for _ in 0..take_number(&mut left)? {
            let name = String::from_utf8(take(&mut left)?.to_vec()).map_err(|_| unreadable())?;
            let mut batches = Vec::new();
            for _ in 0..take_number(&mut left)? {
                let stream = Cursor::new(take(&mut left)?);
                let reader = StreamReader::try_new(stream, None).map_err(|_| unreadable())?;
                for batch in reader {
                    batches.push(batch.map_err(|_| unreadable())?);
                }
            }
            states.insert(name, batches);
        }
        Ok(Self { states })
    }
}

fn put_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend_from_slice(&(number as u64).to_le_bytes());
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    put_number(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn take_number(left: &mut &[u8]) -> Result<usize> {
    let (number, rest) = left.split_first_chunk::<8>().ok_or_else(unreadable)?;
    *left = rest;
    usize::try_from(u64::from_le_bytes(*number)).map_err(|_| unreadable())
}

fn take<'a>(left: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take_number(left)?;
    let (part, rest) = left.split_at_checked(length).ok_or_else(unreadable)?;
    *left = rest;
    Ok(part)
}

fn unwritable(error: ArrowError) -> Failure {
    let message = format!("the state of an operator cannot be stored: {error}");
    Failure::new("R0724", Remedy::Bug, message)
}

fn unreadable() -> Failure {
    let message = "the stored state of the operators cannot be read by this version";
    Failure::new("R0725", Remedy::Refused, message)
        .help("load the table again: towpath run --full-refresh")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let batches = vec![
            RecordBatch::try_from_iter([("n", numbers)]).unwrap(),
            RecordBatch::try_from_iter([("t", texts)]).unwrap(),
        ];
        let states = BTreeMap::from([
            ("window".to_owned(), batches),
            ("none".to_owned(), Vec::new()),
        ]);
        let checkpoint = Checkpoint { states };
        let bytes = checkpoint.to_bytes().unwrap();
        assert_eq!(Checkpoint::from_bytes(&bytes).unwrap(), checkpoint);
        for broken in [&bytes[..bytes.len() - 9], &bytes[1..], &[]] {
            assert_eq!(Checkpoint::from_bytes(broken).unwrap_err().code, "R0725");
        }
    }
}
