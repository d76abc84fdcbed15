//! Whether the files of a table are those that were written: each compared with its checksums.
//!
//! Promise: every file of a version, or of every version that the log still has, is read to its end; one
//! without checksums is decoded instead and its rows are counted. It says which files are damaged or
//! missing and which version has none of them. It changes nothing. Read next: `block_sums.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake_core::kernel::Action;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::metadata::ParquetMetaData;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::candidate::LakeFile;
use super::cause::brief;
use super::checkpoint::{checkpoints, version_of};
use super::data_file_error::{FileName, mismatch_text};
use super::error::{LakeError, LakeResult};
use super::files::lake_file;
use super::object_file::ObjectFile;
use super::open::Lake;
use super::storage::{self, Key, head};
use super::table::{Snapshot, Table};
use super::table_history;
use super::verified::{Mismatch, VerifiedFiles};

/// Bytes that are compared at a time.
const WINDOW: u64 = 8 << 20;
/// Damaged places of one file that are named.
const PLACES: usize = 3;

/// What was found of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTable {
    /// Its version.
    pub version: u64,
    /// The oldest version whose files were read; `version` itself when only that was asked for.
    pub oldest: u64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them without checksums: they were decoded instead.
    pub without_checksums: u64,
    /// Files of older versions that `lake vacuum` deleted.
    pub deleted: u64,
    /// Files that are damaged or missing.
    pub damaged: Vec<DamagedFile>,
    /// The newest version of those that were read with every file whole.
    pub last_whole: Option<u64>,
}

/// A file that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Where it is.
    pub address: String,
    /// What is wrong with it.
    pub why: String,
    /// The versions that it is in: first and last of each series.
    pub versions: Vec<(u64, u64)>,
}

/// A file and the versions it is in.
struct Kept {
    file: LakeFile,
    versions: Vec<(u64, u64)>,
}

/// What is wrong with a file.
enum FileDamage {
    Missing,
    Damaged(String),
}

impl Lake {
    /// Reads every file of a table to its end and compares it with its checksums: the files of the newest
    /// version, or with `all_versions` of every version that the log still has.
    ///
    /// # Errors
    /// `FixConfig` when there is no such table; `Refused` when its log is damaged; `Retry` when the
    /// storage cannot be reached. Damaged files are no error here: they are in the answer.
    pub async fn verify(&self, name: &TableName, all_versions: bool) -> Result<VerifiedTable> {
        let (table, now) = self.existing(name).await?;
        let (oldest, kept) = match all_versions {
            true => every_version(&table, &now).await?,
            false => (now.version(), newest(&table, &now)),
        };
        let mut found = VerifiedTable {
            version: now.version(),
            oldest,
            files: 0,
            bytes: 0,
            without_checksums: 0,
            deleted: 0,
            damaged: Vec::new(),
            last_whole: None,
        };
        let mut broken = Vec::new();
        for kept in kept {
            let is_live = kept.versions.iter().any(|(_, last)| *last == now.version());
            let flaw = flaw_of(&table, &kept.file).await?;
            match flaw {
                Some(FileDamage::Missing) if !is_live => {
                    found.deleted += 1;
                    broken.extend(kept.versions);
                    continue;
                }
                Some(flaw) => {
                    broken.extend(kept.versions.iter().copied());
                    found.damaged.push(DamagedFile {
                        address: table.storage.address(&kept.file.key),
                        why: match flaw {
                            FileDamage::Missing => "is missing".to_owned(),
                            FileDamage::Damaged(why) => format!("is damaged ({why})"),
                        },
                        versions: kept.versions,
                    });
                }
                None => {}
            }
            found.files += 1;
            found.bytes += kept.file.bytes;
            found.without_checksums += u64::from(kept.file.sums.is_none());
        }
        found.last_whole = (oldest..=now.version()).rev().find(|at| {
            !broken
                .iter()
                .any(|(first, last)| (first..=last).contains(&at))
        });
        Ok(found)
    }
}

fn newest(table: &Table, now: &Snapshot) -> Vec<Kept> {
    let files = now.files(table).into_iter();
    files
        .map(|file| Kept {
            file,
            versions: vec![(now.version(), now.version())],
        })
        .collect()
}

/// The files of every version, from the oldest that the log can still tell.
async fn every_version(table: &Table, now: &Snapshot) -> LakeResult<(u64, Vec<Kept>)> {
    let oldest = oldest(table).await?.min(now.version());
    let first = table.open_at(Some(oldest)).await?;
    let mut all: BTreeMap<Key, Kept> = BTreeMap::new();
    let mut live: BTreeMap<Key, u64> = BTreeMap::new();
    let begins = |all: &mut BTreeMap<Key, Kept>, file: LakeFile| {
        all.entry(file.key.clone()).or_insert(Kept {
            file,
            versions: Vec::new(),
        });
    };
    for file in first.files(table) {
        live.insert(file.key.clone(), oldest);
        begins(&mut all, file);
    }
    for version in oldest + 1..=now.version() {
        let missing = || LakeError::Missing {
            what: "version",
            name: format!("{version}` of `{}", table.name),
        };
        let actions = table_history::actions(table, version)
            .await?
            .ok_or_else(missing)?;
        for action in actions {
            match action {
                Action::Add(mut add) => {
                    add.path = decoded(add.path);
                    let mut file = lake_file(table, &add);
                    file.version = Some(version);
                    live.entry(file.key.clone()).or_insert(version);
                    begins(&mut all, file);
                }
                Action::Remove(remove) => {
                    let key = table.file(&decoded(remove.path));
                    let since = live.remove(&key);
                    if let (Some(since), Some(kept)) = (since, all.get_mut(&key))
                        && since < version
                    {
                        kept.versions.push((since, version - 1));
                    }
                }
                _ => {}
            }
        }
    }
    for (key, since) in live {
        if let Some(kept) = all.get_mut(&key) {
            kept.versions.push((since, now.version()));
        }
    }
    Ok((oldest, all.into_values().collect()))
}

fn decoded(path: String) -> String {
    Path::from_url_path(&path).map_or(path, |path| path.to_string())
}

/// The oldest version that the log can tell: the first, or that of the oldest whole checkpoint.
async fn oldest(table: &Table) -> LakeResult<u64> {
    let (storage, log) = (&*table.storage, table.log_prefix());
    let names = storage::names(storage, &log).await?;
    if names
        .iter()
        .any(|name| version_of(name, ".json") == Some(0))
    {
        return Ok(0);
    }
    for checkpoint in checkpoints(&names) {
        if checkpoint.is_usable(table).await? {
            return Ok(checkpoint.version);
        }
    }
    Ok(0)
}

async fn flaw_of(table: &Table, file: &LakeFile) -> LakeResult<Option<FileDamage>> {
    let Some(meta) = head(&*table.storage, &file.key).await? else {
        return Ok(Some(FileDamage::Missing));
    };
    if file.sums.is_none() {
        return Ok(decoded_flaw(table, file).await?.map(FileDamage::Damaged));
    }
    if meta.size != file.bytes {
        let mismatch = Mismatch::Size {
            found: meta.size,
            written: file.bytes,
        };
        return Ok(Some(FileDamage::Damaged(mismatch.to_string())));
    }
    Ok(compared_flaw(table, file).await?.map(FileDamage::Damaged))
}

/// Compares every block of a file with its checksum.
async fn compared_flaw(table: &Table, file: &LakeFile) -> LakeResult<Option<String>> {
    let objects = table.storage.objects();
    let failed = |source| LakeError::OutOfReach {
        address: table.storage.address(&file.key),
        why: brief(&source),
        way: towpath_buckets::way_out(&source),
    };
    let verified = Arc::new(VerifiedFiles::of(Arc::clone(&objects), [file]));
    let sums = match verified.sums(&file.key) {
        Ok(Some(sums)) => sums,
        Ok(None) => return Ok(None),
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut places = Vec::new();
    let mut from = 0;
    while from < sums.size() {
        let until = (from + WINDOW).min(sums.size());
        let asked = from..until;
        let window = sums.around(std::slice::from_ref(&asked));
        for range in window {
            let bytes = objects.get_range(&file.key, range.clone()).await;
            places.extend(sums.differing(range.start, &bytes.map_err(failed)?));
            from = range.end;
        }
    }
    if places.is_empty() {
        return Ok(None);
    }
    let mut footer = ObjectFile::at(Arc::clone(&verified) as _, objects, file.key.clone());
    let about = footer.about().await;
    let named: Vec<String> = places
        .iter()
        .take(PLACES)
        .map(|range| mismatch_text(&Mismatch::Bytes(range.clone()), about.as_deref()))
        .collect();
    Ok(Some(match places.len().saturating_sub(PLACES) {
        0 => named.join("; "),
        more => format!("{}; and {more} more places", named.join("; ")),
    }))
}

/// Decodes a file that has no checksums.
async fn decoded_flaw(table: &Table, file: &LakeFile) -> LakeResult<Option<String>> {
    let name = FileName {
        address: table.storage.address(&file.key),
        version: file.version,
    };
    let objects = table.storage.objects();
    let (key, expected) = (file.key.clone(), file.rows);
    // A decoder may panic over damage: that is an answer too.
    let reading = tokio::spawn(async move {
        let mut about: Option<Arc<ParquetMetaData>> = None;
        let counted = async {
            let file = ObjectFile::at(Arc::clone(&objects), objects, key);
            let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
            about = Some(Arc::clone(builder.metadata()));
            let mut batches = builder.build()?;
            let mut rows = 0_u64;
            while let Some(batch) = batches.try_next().await? {
                rows += batch.num_rows() as u64;
            }
            Ok(rows)
        };
        let counted = counted.await;
        counted.map_err(|error| name.unreadable(&error, about.as_deref()))
    });
    Ok(match reading.await {
        Err(_) => Some("its decoder stopped".to_owned()),
        Ok(Ok(rows)) => expected
            .filter(|expected| *expected != rows)
            .map(|expected| format!("it has {rows} rows and the log says {expected}")),
        Ok(Err(LakeError::DataFile { why, .. })) => Some(
            why.trim_start_matches("is damaged (")
                .trim_end_matches(')')
                .to_owned(),
        ),
        Ok(Err(error)) => return Err(error),
    })
}
