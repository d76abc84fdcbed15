//! `lake verify`: compares the files of tables with the checksums in their logs.
//!
//! Promise: it only reads. It verifies every table that was asked for, also after it found a damaged one,
//! and says for each damage what the user can do. `engine::lake` does the comparison. Read next: `lake.rs`.

use serde::Serialize;
use towpath_engine::lake::VerifiedTable;
use towpath_vocab::{Failure, Remedy, TableName};

use crate::Result;
use crate::lake::existing;
use crate::services::ProjectServices;

/// The result of `lake verify`.
#[derive(Clone, Debug, Serialize)]
pub struct LakeVerified {
    /// Version of this form; 1.
    pub version: u32,
    /// True if nothing is damaged.
    pub whole: bool,
    /// The tables.
    pub tables: Vec<LakeVerifiedTable>,
}

/// The result for one table.
#[derive(Clone, Debug, Serialize)]
pub struct LakeVerifiedTable {
    /// Its name.
    pub table: String,
    /// Its version; `None` if its log cannot be read.
    pub table_version: Option<u64>,
    /// The oldest version whose files were read.
    pub oldest_version: Option<u64>,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of those without checksums, which were decoded instead.
    pub without_checksums: u64,
    /// Files of older versions that `lake vacuum` deleted.
    pub deleted: u64,
    /// What is damaged or missing.
    pub damaged: Vec<LakeDamage>,
    /// The newest version among those that were read in which no file is damaged.
    pub last_whole_version: Option<u64>,
    /// What the user can do.
    pub help: Vec<String>,
}

/// One damaged file.
#[derive(Clone, Debug, Serialize)]
pub struct LakeDamage {
    /// The file; `None` if the message names it.
    pub file: Option<String>,
    /// What is wrong.
    pub why: String,
    /// The versions that contain it, as ranges.
    pub versions: Vec<(u64, u64)>,
}

/// Compares the files of tables with their checksums; without names, of all tables.
///
/// # Errors
/// `FixConfig` if there is no table with a name; `Retry` if the storage cannot be reached. Damage is not an
/// error: it is in the result.
pub async fn lake_verify(
    services: &ProjectServices,
    tables: &[String],
    all_versions: bool,
) -> Result<LakeVerified> {
    let mut found = Vec::new();
    let names = match tables.is_empty() {
        true => services.lake.tables().await?,
        false => {
            let mut names = Vec::new();
            for table in tables {
                match existing(services, table).await {
                    Ok(name) => names.push(name),
                    Err(failure) => found.push(unreadable(table, failure)?),
                }
            }
            names
        }
    };
    for name in names {
        found.push(match services.lake.verify(&name, all_versions).await {
            Ok(verified) => verified_table(&name, verified, all_versions),
            Err(failure) => unreadable(&name.to_string(), failure)?,
        });
    }
    Ok(LakeVerified {
        version: 1,
        whole: found.iter().all(|table| table.damaged.is_empty()),
        tables: found,
    })
}

/// The result for a table whose log is damaged; any other failure is returned.
fn unreadable(table: &str, failure: Failure) -> Result<LakeVerifiedTable> {
    if failure.remedy != Remedy::Refused {
        return Err(failure);
    }
    Ok(LakeVerifiedTable {
        table: table.to_owned(),
        table_version: None,
        oldest_version: None,
        files: 0,
        bytes: 0,
        without_checksums: 0,
        deleted: 0,
        damaged: vec![LakeDamage {
            file: None,
            why: format!("{}: {}", failure.code, failure.message),
            versions: Vec::new(),
        }],
        last_whole_version: None,
        help: failure.help,
    })
}

fn verified_table(
    name: &TableName,
    verified: VerifiedTable,
    all_versions: bool,
) -> LakeVerifiedTable {
    let help = match verified.damaged.is_empty() {
        true => Vec::new(),
        false => ways(name, &verified, all_versions),
    };
    let damaged = verified.damaged.into_iter().map(|damaged| LakeDamage {
        file: Some(damaged.address),
        why: damaged.why,
        versions: damaged.versions,
    });
    LakeVerifiedTable {
        table: name.to_string(),
        table_version: Some(verified.version),
        oldest_version: Some(verified.oldest),
        files: verified.files,
        bytes: verified.bytes,
        without_checksums: verified.without_checksums,
        deleted: verified.deleted,
        damaged: damaged.collect(),
        last_whole_version: verified.last_whole,
        help,
    }
}

/// What the user can do about damaged files.
fn ways(name: &TableName, verified: &VerifiedTable, all_versions: bool) -> Vec<String> {
    let is_live = |versions: &[(u64, u64)]| {
        let last = versions.iter().map(|(_, last)| *last).max();
        last == Some(verified.version)
    };
    let mut ways = vec!["restore the file from a backup".to_owned()];
    if !verified
        .damaged
        .iter()
        .any(|damaged| is_live(&damaged.versions))
    {
        ways.push(format!(
            "the newest version does not need it: `towpath lake vacuum {name}` deletes files of old versions"
        ));
        return ways;
    }
    ways.push(match (all_versions, verified.last_whole) {
        (false, _) => format!(
            "or go back to a version without it: `towpath lake verify {name} --all-versions` names the newest"
        ),
        (true, Some(whole)) => format!(
            "or go back to the newest version that is whole: `towpath lake restore {name} --to {whole}`; the next run continues from there"
        ),
        (true, None) => "no version is whole that could be restored".to_owned(),
    });
    ways.push(format!(
        "or build the table again: `towpath run --full-refresh`, or `towpath lake drop {name} --yes`, then `towpath run`"
    ));
    ways
}
