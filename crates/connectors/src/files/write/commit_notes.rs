//! What is noted about written files: the last commit of every task, and which bytes it speaks of.
//!
//! Promise: whichever file a crash leaves is recognised. Three places, one form (version 2; version 1, of
//! tokens without a version, is read): the key `towpath.commits` of a Parquet footer; the manifest of a
//! folder; for a text file a hidden sidecar. The sidecar is renamed before the file, so it holds two notes,
//! one for the file as it will be and one for the file as it was, each with size and SHA-256: whichever file
//! a crash leaves behind is recognised, and a file changed by others is by neither. An object of a bucket names
//! its note by its mark (`commit_bucket.rs`). Read next: `finish.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use parquet::file::metadata::ParquetMetaDataReader;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_ports::{Committed, TableState};

use super::error::{Result, WriteError};
use super::location::Location;
use crate::files::bucket::client::Objects;
use crate::files::bucket::put::Seen;

/// The key of the notes in a Parquet footer.
pub(super) const FOOTER_KEY: &str = "towpath.commits";
const VERSION: u64 = 2;
/// Tasks that are remembered per file, by their latest commits.
const TASKS_KEPT: usize = 256;

/// The last commit of each task, by the task's `app_id`.
pub(super) type Commits = BTreeMap<String, Noted>;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) run: String,
    pub(super) committed: Committed,
}

/// The notes of a Parquet footer.
#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    version: u64,
    commits: Commits,
}

/// The notes beside a text file.
#[derive(Debug, Serialize, Deserialize)]
struct Sidecar {
    version: u64,
    files: Vec<Identified>,
}

/// Notes about exactly these bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Identified {
    bytes: u64,
    sha256: String,
    /// With `modified_ns` a shortcut: the same file, untouched, need not be hashed.
    inode: u64,
    modified_ns: i64,
    /// Rows in the file, if known.
    pub(super) rows: Option<u64>,
    commits: Commits,
}

/// What makes a folder of files a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u64,
    pub(super) files: Vec<Part>,
    pub(super) commits: Commits,
}

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) rows: Option<u64>,
    pub(super) bytes: u64,
}

/// How a place was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is there.
    Missing,
    /// As Towpath left it.
    Ours,
    /// Written or changed by somebody else.
    Foreign,
}

/// What is known about a place.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) standing: Standing,
    pub(super) commits: Commits,
    /// The sidecar's note about the present file.
    pub(super) identified: Option<Identified>,
    /// Rows in the file, if known.
    pub(super) rows: Option<u64>,
    /// The files of a folder.
    pub(super) parts: Vec<Part>,
    /// In a bucket: which object was looked at, and the parts that are there.
    pub(super) seen: Option<Seen>,
    pub(super) present: Option<Objects>,
    /// Which file was looked at.
    stamp: Option<Stamp>,
}

/// Tells a file from the one that is there later: inode, size, time of its last change.
type Stamp = (u64, u64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), modified_ns(metadata))
}

impl Known {
    /// Nothing is there.
    pub(super) fn nothing() -> Self {
        Self {
            standing: Standing::Missing,
            commits: Commits::new(),
            identified: None,
            rows: None,
            parts: Vec::new(),
            seen: None,
            present: None,
            stamp: None,
        }
    }

    /// Whether the file that is there now is another one than was looked at.
    pub(super) fn is_outdated(&self, location: &Location) -> bool {
        let now = fs::metadata(location.path()).ok();
        now.as_ref().map(stamp) != self.stamp
    }
}

/// Looks at a place.
pub(super) fn read_known(location: &Location) -> Result<Known> {
    let mut known = Known::nothing();
    if location.many {
        if let Some(manifest) = read::<Manifest>(&location.path(), &location.shown)? {
            manifest.tell(&mut known);
        }
        return Ok(known);
    }
    let io = |source| WriteError::Io {
        path: location.shown.clone(),
        source,
    };
    let metadata = match fs::metadata(location.path()) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
        Err(error) => return Err(io(error)),
    };
    if !metadata.is_file() {
        return Err(WriteError::Target {
            object: location.shown.clone(),
            why: "there is a folder of this name".to_owned(),
            way_out: "end the name with `/` to write files into the folder, or choose another name",
        });
    }
    known.standing = Standing::Foreign;
    known.stamp = Some(stamp(&metadata));
    let commits = if is_parquet(&location.path()).map_err(io)? {
        footer(location)?
    } else {
        let found = sidecar(location, &metadata)?;
        known.identified.clone_from(&found);
        known.rows = found.as_ref().and_then(|found| found.rows);
        found.map(|identified| identified.commits)
    };
    if let Some(commits) = commits {
        known.standing = Standing::Ours;
        known.commits = commits;
    }
    Ok(known)
}

/// The files of a folder as its manifest says.
pub(super) fn parts_noted(known: &Known) -> String {
    let parts = known.parts.iter();
    let parts: Vec<_> = parts
        .map(|part| format!("{} {}", part.name, part.bytes))
        .collect();
    parts.join(", ")
}

impl Manifest {
    fn tell(self, known: &mut Known) {
        known.standing = Standing::Ours;
        known.commits = self.commits;
        known.parts = self.files;
    }
}

/// What a manifest in a bucket says.
pub(super) fn read_manifest(bytes: &[u8], shown: &str, known: &mut Known) -> Result<()> {
    parse::<Manifest>(bytes, shown).map(|manifest| manifest.tell(known))
}

/// What is noted about one object of a bucket.
#[derive(Debug, Serialize, Deserialize)]
struct ObjectNote {
    version: u64,
    bytes: u64,
    rows: Option<u64>,
    commits: Commits,
}

/// The note about an object that will have so many bytes and, if that is known, rows.
pub(super) fn object_note(
    bytes: u64,
    rows: Option<u64>,
    commits: Commits,
    shown: &str,
) -> Result<Vec<u8>> {
    let note = ObjectNote {
        version: VERSION,
        bytes,
        rows,
        commits,
    };
    written(&note, shown)
}

/// What the note about an object of this size says, if it speaks of that.
pub(super) fn read_object_note(
    note: &[u8],
    bytes: u64,
    shown: &str,
    known: &mut Known,
) -> Result<()> {
    let note: ObjectNote = parse(note, shown)?;
    if note.bytes == bytes {
        known.standing = Standing::Ours;
        known.commits = note.commits;
        known.rows = note.rows;
    }
    Ok(())
}

/// The files of a folder's manifest as they are.
fn parts_present(location: &Location, known: &Known) -> String {
    let parts = known.parts.iter().filter_map(|part| {
        let bytes = match &known.present {
            Some(objects) => objects
                .get(&part.name)?
                .as_ref()
                .map_or(0, |there| there.size),
            None => fs::metadata(location.folder.join(&part.name)).ok()?.len(),
        };
        Some(format!("{} {bytes}", part.name))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// What tells a place from one that others changed, beside the commits that are noted there; `None` when
/// nothing is there.
pub(super) fn state(location: &Location, known: &Known) -> Option<TableState> {
    let identity = match location.many {
        true => parts_present(location, known),
        false => String::new(),
    };
    (known.standing != Standing::Missing).then_some(TableState {
        identity,
        ..TableState::default()
    })
}

fn is_parquet(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"PAR1")
}

fn footer(location: &Location) -> Result<Option<Commits>> {
    let file = File::open(location.path()).map_err(WriteError::io(&*location.shown))?;
    // A damaged file holds no commit; whoever reads it will say what is wrong with it.
    let Ok(metadata) = ParquetMetaDataReader::new().parse_and_finish(&file) else {
        return Ok(None);
    };
    let pairs = metadata.file_metadata().key_value_metadata();
    let text = pairs
        .into_iter()
        .flatten()
        .find(|pair| pair.key == FOOTER_KEY)
        .and_then(|pair| pair.value.as_ref());
    let Some(text) = text else { return Ok(None) };
    let footer: Footer = parse(text.as_bytes(), &location.shown)?;
    Ok(Some(footer.commits))
}

fn sidecar(location: &Location, metadata: &Metadata) -> Result<Option<Identified>> {
    let Some(sidecar) = read::<Sidecar>(&location.sidecar(), &location.shown)? else {
        return Ok(None);
    };
    let same_size = |file: &&Identified| file.bytes == metadata.len();
    let untouched = |file: &&Identified| {
        file.inode == metadata.ino() && file.modified_ns == modified_ns(metadata)
    };
    if let Some(file) = sidecar.files.iter().filter(same_size).find(untouched) {
        return Ok(Some(file.clone()));
    }
    if !sidecar.files.iter().any(|file| same_size(&file)) {
        return Ok(None);
    }
    let sha256 = hash(&location.path()).map_err(WriteError::io(&*location.shown))?;
    Ok(sidecar
        .files
        .iter()
        .filter(same_size)
        .find(|file| file.sha256 == sha256)
        .cloned())
}

fn modified_ns(metadata: &Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(hash));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// A finished hash as text.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn read<T: DeserializeOwned>(path: &Path, shown: &str) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => parse(&bytes, shown).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(WriteError::Io {
            path: shown.to_owned(),
            source,
        }),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], shown: &str) -> Result<T> {
    let wrong = |error: serde_json::Error| WriteError::Ledger {
        path: shown.to_owned(),
        why: error.to_string(),
    };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(wrong)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > VERSION => Err(WriteError::Newer {
            path: shown.to_owned(),
            version,
        }),
        _ => serde_json::from_value(value).map_err(wrong),
    }
}

fn written<T: Serialize>(value: &T, shown: &str) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| WriteError::Encode {
        path: shown.to_owned(),
        why: error.to_string(),
    })
}

/// The commits with one more, the oldest forgotten when there are too many.
pub(super) fn with(commits: &Commits, app_id: String, noted: Noted) -> Commits {
    let mut all = commits.clone();
    while all.len() >= TASKS_KEPT && !all.contains_key(&app_id) {
        let oldest = all
            .iter()
            .min_by_key(|(_, noted)| noted.committed.token.generation)
            .map(|(key, _)| key.clone());
        match oldest {
            Some(oldest) => all.remove(&oldest),
            None => break,
        };
    }
    all.insert(app_id, noted);
    all
}

/// The value of `FOOTER_KEY`.
pub(super) fn footer_text(commits: Commits, shown: &str) -> Result<String> {
    let bytes = written(
        &Footer {
            version: VERSION,
            commits,
        },
        shown,
    )?;
    String::from_utf8(bytes).map_err(|error| WriteError::Encode {
        path: shown.to_owned(),
        why: error.to_string(),
    })
}

/// A sidecar for a file on its way and the one it replaces.
pub(super) fn sidecar_bytes(
    file: &Path,
    (sha256, rows): (&str, Option<u64>),
    commits: Commits,
    before: Option<Identified>,
    shown: &str,
) -> Result<Vec<u8>> {
    let metadata = fs::metadata(file).map_err(WriteError::io(shown))?;
    let new = Identified {
        bytes: metadata.len(),
        sha256: sha256.to_owned(),
        inode: metadata.ino(),
        modified_ns: modified_ns(&metadata),
        rows,
        commits,
    };
    let files = std::iter::once(new).chain(before).collect();
    written(
        &Sidecar {
            version: VERSION,
            files,
        },
        shown,
    )
}

/// A manifest.
pub(super) fn manifest_bytes(files: Vec<Part>, commits: Commits, shown: &str) -> Result<Vec<u8>> {
    written(
        &Manifest {
            version: VERSION,
            files,
            commits,
        },
        shown,
    )
}
