//! Files as tables, for a quick look: `select * from 'data/flights.parquet'`.
//!
//! Promise: a quoted name that ends like a data file and names one (or a folder or glob of them) is
//! read in place. Columns of CSV and JSON are guessed from the first rows; a load with declared types
//! is the exact way. Only files that may be queried are read, and only by a query someone asks: models,
//! views, templates and checks never get here. It knows no table of the lakehouse.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::execution::session_state::SessionState;
use towpath_vocab::{Failure, Remedy};

use super::failure::failure;

/// Which files may be queried.
#[derive(Clone, Debug)]
pub struct QueriedFiles {
    /// Where relative names start.
    folder: PathBuf,
    /// What they must lie in.
    within: PathBuf,
}

impl QueriedFiles {
    /// Those in a folder and its folders.
    pub fn below(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            within: folder.to_path_buf(),
        }
    }

    /// All that the process may read; relative names start in a folder.
    pub fn anywhere(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            within: PathBuf::from("/"),
        }
    }
}

/// The file as a table; `None` when the name does not look like a file or there is none.
pub(crate) async fn provider(
    files: &QueriedFiles,
    name: &str,
    session: &SessionState,
) -> Result<Option<Arc<dyn TableProvider>>, Failure> {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    let format: Arc<dyn FileFormat> = match extension.as_deref() {
        Some("parquet") => Arc::new(ParquetFormat::default()),
        Some("csv") => Arc::new(CsvFormat::default().with_has_header(true)),
        Some("tsv") => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_delimiter(b'\t'),
        ),
        Some("json" | "jsonl" | "ndjson") => Arc::new(JsonFormat::default()),
        _ => return Ok(None),
    };
    let path = files.folder.join(name);
    let is_glob = name.contains(['*', '?', '[']);
    if !is_glob && !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Ok(None);
    }
    inside(&files.within, &path, name).await?;
    let subject = format!("file `{name}`");
    let told = |error| failure(&subject, &error);
    let url = ListingTableUrl::parse(path.to_string_lossy()).map_err(told)?;
    let options = ListingOptions::new(format).with_file_extension(extension.unwrap_or_default());
    let config = ListingTableConfig::new(url)
        .with_listing_options(options)
        .infer_schema(session)
        .await
        .map_err(told)?;
    Ok(Some(Arc::new(ListingTable::try_new(config).map_err(told)?)))
}

/// Refuses what lies outside the folder, also behind links. Of a glob, what stands before it counts.
async fn inside(folder: &Path, path: &Path, name: &str) -> Result<(), Failure> {
    let fixed: PathBuf = path
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let climbs = path
        .components()
        .skip(fixed.components().count())
        .any(|part| part == Component::ParentDir);
    let real = (
        tokio::fs::canonicalize(folder).await,
        tokio::fs::canonicalize(&fixed).await,
    );
    if let (Ok(folder), Ok(path)) = real
        && !climbs
        && path.starts_with(&folder)
    {
        return Ok(());
    }
    let outside = format!("the file `{name}` does not lie in the project's folder");
    Err(Failure::new("R0516", Remedy::Refused, outside)
        .help("put it below the project's folder, or load it with a connection of its own"))
}
