//! What the project remembers of the rows of one task that went to an API: files of `.towpath/rest-writes`.
//!
//! Promise: only this user can read them. `delivered.json` has the last commit; `keys` the rows that the API
//! has, by the columns in `key.json`; `refused.jsonl` those it refused, to be sent again; `unfinished` a delivery that began: its token, its
//! rows and its journal. The end of a delivery replaces the others by renames, the commit last, so a crash
//! between two of them repeats the end. What was sent to another host is not known here: it is another system.
//! They are on this machine: who loses them sends every row again as a new one. Stored forms have versions.
//! Read next: `journal.rs`.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use towpath_ports::Committed;
use towpath_vocab::{TaskKey, Token};
use url::Url;

use super::super::error::{RestError, Result};
use super::super::kept_file::{digest, make_folder, private};
use super::journal::Journal;
use super::options::Change;
use super::record::Record;
use super::sent_keys::SentKeys;

const VERSION: u64 = 1;
const DELIVERED: &str = "delivered.json";
const KEYS: &str = "keys";
const KEY_COLUMNS: &str = "key.json";
const REFUSED: &str = "refused.jsonl";
const UNFINISHED: &str = "unfinished";
const HEAD: &str = "head.json";
const JOURNAL: &str = "journal.jsonl";

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    #[serde(rename = "is")]
    value: T,
}

/// A delivery: what its end stores, and how many rows it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) token: Token,
    /// A part of its idempotency keys, so that no other delivery has them.
    pub(super) id: String,
    /// The most rows of a request. It stays, so that requests which come again have the same rows.
    pub(super) size: usize,
    /// Whether requests have lists of rows.
    pub(super) is_batch: bool,
    /// The columns that identify its rows.
    pub(super) key: Vec<String>,
    pub(super) deletes: usize,
    pub(super) updates: usize,
    pub(super) inserts: usize,
}

impl Head {
    /// The rows of a change.
    pub(super) fn count(&self, change: Change) -> usize {
        match change {
            Change::Delete => self.deletes,
            Change::Update => self.updates,
            Change::Insert => self.inserts,
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> u64 {
        (self.deletes + self.updates + self.inserts) as u64
    }
}

/// A row that the API refused, and what was to happen to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefusedRecord {
    pub(super) change: Change,
    pub(super) record: Record,
}

/// The files of one task.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
    connection: String,
}

/// No other process sends rows of this task while it is held.
#[derive(Debug)]
pub(super) struct OutboxLock(File);

impl Drop for OutboxLock {
    fn drop(&mut self) {
        // The end of the process ends it too.
        let _ = self.0.unlock();
    }
}

/// The file of the rows of a change.
pub(super) fn rows_file(folder: &Path, change: Change) -> PathBuf {
    folder.join(format!("{}.jsonl", change.word()))
}

impl Outbox {
    /// The files of a task that writes to this API.
    pub(super) fn of(project: &Path, connection: &str, api: &Url, task: &TaskKey) -> Self {
        let host = api.host_str().unwrap_or_default();
        let port = api.port_or_known_default().unwrap_or_default().to_string();
        let name = digest(&[host, &port, &task.app_id()]);
        let name = name.get(..32).unwrap_or(&name);
        let folder = project.join(".towpath/rest-writes").join(connection);
        Self {
            folder: folder.join(name),
            connection: connection.to_owned(),
        }
    }

    fn failed(&self, source: io::Error) -> RestError {
        RestError::KeptRows {
            folder: format!(".towpath/rest-writes/{}", self.connection),
            source,
        }
    }

    fn unfinished_folder(&self) -> PathBuf {
        self.folder.join(UNFINISHED)
    }

    /// Waits until no other process sends rows of this task.
    pub(super) fn lock(&self) -> Result<OutboxLock> {
        let open = || {
            make_folder(&self.folder)?;
            let file = private(&self.folder.join("lock"), false)?;
            file.lock()?;
            Ok(OutboxLock(file))
        };
        open().map_err(|error| self.failed(error))
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let stored: Versioned<T> = serde_json::from_slice(&text).map_err(|_| self.damaged(path))?;
        match stored.version {
            VERSION => Ok(Some(stored.value)),
            _ => Err(self.failed(io::Error::other(
                "a later version of Towpath has written its files",
            ))),
        }
    }

    fn damaged(&self, path: &Path) -> RestError {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.failed(io::Error::other(format!("the file `{name}` is damaged")))
    }

    /// The last commit.
    pub(super) fn last(&self) -> Result<Option<Committed>> {
        self.read(&self.folder.join(DELIVERED))
    }

    /// The keys of the rows that the API has.
    pub(super) fn keys(&self) -> Result<SentKeys> {
        let path = self.folder.join(KEYS);
        match fs::read(&path) {
            Ok(stored) => SentKeys::read(&stored).ok_or_else(|| self.damaged(&path)),
            Err(error) if error.kind() == ErrorKind::NotFound => match self.last()? {
                // Without them every row would be taken for a new one.
                Some(_) => Err(self.damaged(&path)),
                None => Ok(SentKeys::default()),
            },
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The columns that identify the rows that the API has.
    pub(super) fn key_columns(&self) -> Result<Option<Vec<String>>> {
        self.read(&self.folder.join(KEY_COLUMNS))
    }

    /// The rows that wait because the API refused them.
    pub(super) fn refused(&self) -> Result<Vec<RefusedRecord>> {
        let path = self.folder.join(REFUSED);
        match File::open(&path) {
            Ok(file) => {
                let lines = BufReader::new(file).lines();
                let rows = lines.map(|line| {
                    let line = line.map_err(|error| self.failed(error))?;
                    serde_json::from_str(&line).map_err(|_| self.damaged(&path))
                });
                rows.collect()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The number of rows that wait because the API refused them.
    pub(super) fn count_refused(&self) -> Result<u64> {
        Ok(self.refused()?.len() as u64)
    }

    /// A delivery that began and did not end.
    pub(super) fn unfinished(&self) -> Result<Option<Head>> {
        let head: Option<Head> = self.read(&self.unfinished_folder().join(HEAD))?;
        let last = self.last()?;
        let ended = last.map(|last| last.token.generation);
        Ok(head.filter(|head| ended.is_none_or(|ended| head.token.generation > ended)))
    }

    /// Begins a delivery: its rows are kept before the first one is sent. `rows` is the folder of their files.
    pub(super) fn start(&self, head: &Head, rows: &Path) -> Result<()> {
        let begin = || {
            let (new, folder) = (self.folder.join("unfinished.new"), self.unfinished_folder());
            for old in [&new, &folder] {
                match fs::remove_dir_all(old) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            make_folder(&new)?;
            for change in Change::ALL {
                let file = rows_file(&new, change);
                fs::rename(rows_file(rows, change), &file)?;
                File::open(&file)?.sync_all()?;
            }
            self.write(&new.join(HEAD), head)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &folder)?;
            File::open(&self.folder)?.sync_all()
        };
        begin().map_err(|error| self.failed(error))
    }

    /// The journal of the delivery.
    pub(super) fn journal(&self, head: &Head) -> Result<Journal> {
        let path = self.unfinished_folder().join(JOURNAL);
        Journal::open(&path, |change| head.count(change)).map_err(|error| self.failed(error))
    }

    /// The rows of a change of the delivery, in their order.
    pub(super) fn rows(
        &self,
        change: Change,
    ) -> Result<impl Iterator<Item = Result<Record>> + use<>> {
        let path = rows_file(&self.unfinished_folder(), change);
        let file = File::open(&path).map_err(|error| self.failed(error))?;
        let outbox = self.clone();
        Ok(BufReader::with_capacity(256 << 10, file)
            .lines()
            .map(move |line| {
                let line = line.map_err(|error| outbox.failed(error))?;
                serde_json::from_str(&line).map_err(|_| outbox.damaged(&path))
            }))
    }

    /// Ends the delivery: what the API has, what it refused, and the commit.
    pub(super) fn finish(
        &self,
        committed: &Committed,
        (key, keys): (&[String], &SentKeys),
        refused: &[RefusedRecord],
    ) -> Result<()> {
        let finish = || {
            let mut lines = Vec::new();
            for row in refused {
                serde_json::to_writer(&mut lines, row)?;
                lines.push(b'\n');
            }
            let key = serde_json::to_vec(&Versioned {
                version: VERSION,
                value: key,
            })?;
            self.replace(KEY_COLUMNS, &key)?;
            self.replace(KEYS, &keys.stored())?;
            self.replace(REFUSED, &lines)?;
            fail::fail_point!("rest::between_keys_and_commit");
            let path = self.folder.join(format!("{DELIVERED}.new"));
            self.write(&path, committed)?;
            fs::rename(&path, self.folder.join(DELIVERED))?;
            File::open(&self.folder)?.sync_all()
        };
        finish().map_err(|error| self.failed(error))?;
        fail::fail_point!("rest::after_commit");
        // What is left of it is not unfinished any more, and goes with the next one.
        let _ = fs::remove_dir_all(self.unfinished_folder());
        Ok(())
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(&Versioned {
            version: VERSION,
            value,
        })?;
        let mut file = private(path, true)?;
        file.write_all(&text)?;
        file.sync_all()
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{name}.new"));
        let mut file = private(&path, true)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&path, self.folder.join(name))
    }
}
