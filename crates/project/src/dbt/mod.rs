//! dbt's own files as this version reads them: supported keys, `dbt_project.yml`, seeds.
//!
//! Promise: a key of dbt has an effect, or a diagnostic says that it has none; an unknown key is an error.
//! It renders no template and checks no SQL. Read next: `keys.rs` (every key), then `judge.rs`.

mod judge;
mod keys;
#[cfg(test)]
mod obeyed;
mod project_file;
mod seeds;

pub(crate) use judge::{ConfigReaders, Setting, config, entry};
pub(crate) use keys::{
    COLUMN, DbtKeys, INCREMENTAL_ONLY, MODEL, MODEL_CONFIG, PROPERTIES, SEED, SOURCE,
    SOURCE_CONFIG, SOURCE_TABLE, TEST_CONFIG,
};
pub(crate) use project_file::{DbtProject, read as project_file};
pub(crate) use seeds::{SeedContext, read as seeds};
