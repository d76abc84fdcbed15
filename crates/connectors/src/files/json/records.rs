//! Where the rows of a JSON file are that is one object around them: `{"data": [...]}`.
//!
//! Promise: the array at the path that the project gives, or else the only array of objects among the
//! members of the file's one object; found in one pass, without keeping the file. An object that is no row
//! of a table that has columns already is never read as one where a member could have the rows. It does
//! not check what is in the array: that is `walk.rs`.

use std::collections::HashSet;
use std::io::{self, Read};

use crate::files::chunk::open_text;
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::options::Options;

/// An array inside a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordArray {
    /// What stands before it.
    pub(crate) head: Vec<u8>,
    /// Its bytes; `None` for all behind the head.
    pub(crate) length: Option<u64>,
    /// The member it was found in, if the project says none.
    pub(crate) found: Option<String>,
}

/// Members of an object that are compared with the columns of a table.
const MOST_MEMBERS: usize = 10_000;
/// Longest key that can be part of a path.
const LONGEST_KEY: usize = 1024;

/// What is known of the rows before the file is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownRows {
    /// The columns that the table has, by their names in the source.
    pub(crate) columns: HashSet<String>,
    /// The member that has the rows in another file of the read.
    pub(crate) member: Option<String>,
}

/// Finds the rows of a file; all of it when they are not inside an object.
pub(crate) fn find_records(
    file: &InputFile,
    options: &Options,
    known: &KnownRows,
) -> Result<RecordArray, FilesError> {
    let read_error = |source| FilesError::Read {
        path: file.object.clone(),
        source,
    };
    let given = options.records.as_deref();
    if given == Some("") {
        return Ok(RecordArray::default());
    }
    let path: Vec<&str> = given.into_iter().flat_map(|path| path.split('.')).collect();
    let (input, _) = open_text(file)?;
    let mut scan = Scan::new(&path);
    scan.all(input).map_err(read_error)?;
    let found = match (scan.found.as_slice(), given) {
        ([only], _) => only.clone(),
        (_, None) => match scan.empty_or_unclear(known) {
            Ok(Some(empty)) => empty.clone(),
            Ok(None) => return Ok(RecordArray::default()),
            Err(members) => {
                return Err(FilesError::UnclearRecords {
                    path: file.object.clone(),
                    members,
                });
            }
        },
        (_, Some(path)) => {
            return Err(FilesError::NoRecords {
                path: file.object.clone(),
                records: path.to_owned(),
            });
        }
    };
    let (input, _) = open_text(file)?;
    let mut head = Vec::new();
    input
        .take(found.start)
        .read_to_end(&mut head)
        .map_err(read_error)?;
    Ok(RecordArray {
        head,
        length: Some(found.end - found.start),
        found: given.is_none().then_some(found.key),
    })
}

#[derive(Clone, Debug)]
struct Found {
    key: String,
    start: u64,
    end: u64,
}

/// An open object or array.
enum Open {
    Object {
        key: String,
    },
    Array {
        start: u64,
        is_wanted: bool,
        is_empty: bool,
    },
}

/// A pass over the bytes of a file.
struct Scan<'p> {
    /// The keys that lead to the array; none where it is to be found.
    path: &'p [&'p str],
    open: Vec<Open>,
    found: Vec<Found>,
    /// Arrays without a value among the members of the file's one object.
    empty: Vec<Found>,
    /// The members of that object.
    members: Vec<String>,
    key: Vec<u8>,
    at: u64,
    is_text: bool,
    is_escaped: bool,
    is_over: bool,
    /// The file's one object has ended.
    has_ended: bool,
}

impl<'p> Scan<'p> {
    fn new(path: &'p [&'p str]) -> Self {
        Self {
            path,
            open: Vec::new(),
            found: Vec::new(),
            empty: Vec::new(),
            members: Vec::new(),
            key: Vec::new(),
            at: 0,
            is_text: false,
            is_escaped: false,
            is_over: false,
            has_ended: false,
        }
    }

    fn all(&mut self, mut input: impl Read) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        while !self.is_over {
            let read = match input.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                break;
            }
            for byte in bytes.get(..read).unwrap_or_default() {
                self.byte(*byte);
                self.at += 1;
                if self.is_over {
                    break;
                }
            }
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) {
        if self.is_text {
            self.in_text(byte);
            return;
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => return,
            _ if self.open.is_empty() && (self.has_ended || byte != b'{') => {
                // More than one value, or none that is an object: the rows are not inside one.
                self.found.clear();
                self.empty.clear();
                self.is_over = true;
                return;
            }
            b'"' => {
                self.is_text = true;
                self.key.clear();
            }
            b':' => {
                let name = String::from_utf8_lossy(&self.key).into_owned();
                if self.open.len() == 1 && self.members.len() < MOST_MEMBERS {
                    self.members.push(name.clone());
                }
                if let Some(Open::Object { key }) = self.open.last_mut() {
                    *key = name;
                }
                return;
            }
            b'}' | b']' => return self.close(),
            _ => {}
        }
        // A value begins.
        if let Some(Open::Array {
            is_wanted,
            is_empty,
            ..
        }) = self.open.last_mut()
        {
            // Found by itself, it must be one of objects: the first value tells.
            *is_wanted &= byte == b'{' || !*is_empty || !self.path.is_empty();
            *is_empty = false;
        }
        match byte {
            b'{' => self.open.push(Open::Object { key: String::new() }),
            b'[' => {
                let is_wanted = self.is_here();
                self.open.push(Open::Array {
                    start: self.at,
                    is_wanted,
                    is_empty: true,
                });
            }
            _ => {}
        }
    }

    fn in_text(&mut self, byte: u8) {
        if self.key.len() < LONGEST_KEY {
            self.key.push(byte);
        }
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.key.pop();
                self.is_text = false;
            }
            _ => {}
        }
    }

    /// An array without rows that is where the rows of this table are. Members that could be meant, where
    /// the object is no row of the table and several of them are arrays.
    fn empty_or_unclear(&self, known: &KnownRows) -> Result<Option<&Found>, Vec<String>> {
        let member = self
            .empty
            .iter()
            .find(|found| Some(&found.key) == known.member.as_ref());
        if member.is_some() && self.found.is_empty() {
            return Ok(member);
        }
        let is_row = self.members.iter().any(|name| known.columns.contains(name));
        if known.columns.is_empty() || is_row {
            return Ok(None);
        }
        match (self.found.as_slice(), self.empty.as_slice()) {
            ([], []) => Ok(None),
            ([], [only]) => Ok(Some(only)),
            (found, empty) => Err(found.iter().chain(empty).map(|f| f.key.clone()).collect()),
        }
    }

    /// Whether an array that begins here is the one that is meant.
    fn is_here(&self) -> bool {
        if self.path.is_empty() {
            return self.open.len() == 1;
        }
        let keys = self.open.iter().map(|open| match open {
            Open::Object { key } => key.as_str(),
            Open::Array { .. } => "",
        });
        self.open
            .iter()
            .all(|open| matches!(open, Open::Object { .. }))
            && keys.eq(self.path.iter().copied())
    }

    fn close(&mut self) {
        let closed = self.open.pop();
        self.has_ended = self.open.is_empty();
        let Some(Open::Array {
            start,
            is_wanted: true,
            is_empty,
        }) = closed
        else {
            return;
        };
        let key = match self.open.last() {
            Some(Open::Object { key }) => key.clone(),
            _ => String::new(),
        };
        let found = Found {
            key,
            start,
            end: self.at + 1,
        };
        if is_empty && self.path.is_empty() {
            self.empty.push(found);
            return;
        }
        self.found.push(found);
        // A path is written once.
        self.is_over = !self.path.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, path: &[&str]) -> Vec<String> {
        let mut scan = Scan::new(path);
        let done = scan.all(text.as_bytes());
        assert!(done.is_ok());
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let of = |found: &Found| text[place(found.start)..place(found.end)].to_owned();
        scan.found.iter().map(of).collect()
    }

    #[test]
    fn arrays_of_objects_are_found() {
        let all = |text: &str| found(text, &[]);
        assert_eq!(
            all(r#"{"n": 1, "data": [{"a": "]"}, {}], "t": [1]}"#),
            [r#"[{"a": "]"}, {}]"#]
        );
        assert_eq!(all(r#"{"a": [{}], "b": [{}]}"#).len(), 2);
        assert_eq!(all(r#"{"a": {"b": [{}]}}"#).len(), 0);
        assert_eq!(all(r#"[{"a": [{}]}]"#).len(), 0);
        assert_eq!(all("{\"a\": [{}]}\n{\"a\": [{}]}").len(), 0);
        assert_eq!(
            found(r#"{"a": {"b": [1], "c": [{}]}, "c": [{}]}"#, &["a", "c"]),
            ["[{}]"]
        );
        assert_eq!(found(r#"{"a": [[1], 2]}"#, &["a"]), ["[[1], 2]"]);
        assert_eq!(found(r#"{"a": [{"a": [1]}]}"#, &["a", "a"]).len(), 0);
    }
}
