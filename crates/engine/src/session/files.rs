//! Files as tables, for a quick look: `select * from 'data/flights.parquet'`.
//!
//! Promise: a quoted name that ends like a data file and names one (or a folder or glob of them) is
//! read in place. Columns of CSV and JSON are guessed from the first rows; a load with declared types
//! is the exact way. It knows no table of the lakehouse.

use std::path::Path;
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
use towpath_vocab::Failure;

use super::failure::failure;

/// The file as a table; `None` when the name does not look like a file or there is none.
pub(crate) async fn provider(
    folder: &Path,
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
    let path = folder.join(name);
    let is_glob = name.contains(['*', '?', '[']);
    if !is_glob && !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Ok(None);
    }
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
