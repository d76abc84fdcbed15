//! Where the ADBC drivers of the tests are, and a program that looks into a file of DuckDB.
//!
//! Promise: a driver that is not installed is an error with the line that installs it. A look opens the file and closes
//! it again: a process that has the file open otherwise must not look, because two databases of DuckDB on one file in
//! one process do not see each other.

use std::path::{Path, PathBuf};

use adbc_core::error::Error;
use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{Connection as _, Database as _, Driver as _, Statement as _};
use adbc_driver_manager::ManagedDriver;
use arrow_array::RecordBatch;

use crate::installed;

/// A driver that `xtask/setup.sh` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdbcDriver {
    /// DuckDB's own library.
    DuckDb,
    /// Of PostgreSQL, from PyPI.
    Postgres,
    /// Of SQLite, from PyPI.
    Sqlite,
}

impl AdbcDriver {
    /// The function that the library starts with, where its name does not say it.
    pub fn entrypoint(self) -> Option<&'static str> {
        match self {
            Self::DuckDb => Some("duckdb_adbc_init"),
            Self::Postgres | Self::Sqlite => None,
        }
    }

    /// The library.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn library(self) -> Result<PathBuf, String> {
        let name = match self {
            Self::DuckDb => "libduckdb.so",
            Self::Postgres => "libadbc_driver_postgresql.so",
            Self::Sqlite => "libadbc_driver_sqlite.so",
        };
        let library = installed::servers().join("adbc/drivers").join(name);
        match library.is_file() {
            true => Ok(library),
            false => Err(format!(
                "this test needs the ADBC driver {name}: run `make setup`"
            )),
        }
    }
}

/// Runs a statement on a file of DuckDB, which is made if it does not exist.
///
/// # Errors
/// If the driver is not installed, another process has the file, or DuckDB refuses the statement.
pub fn duckdb(file: &Path, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let library = AdbcDriver::DuckDb.library()?;
    let run = || -> Result<Vec<RecordBatch>, Error> {
        let entrypoint = AdbcDriver::DuckDb.entrypoint().map(str::as_bytes);
        let mut driver =
            ManagedDriver::load_dynamic_from_filename(library, entrypoint, AdbcVersion::V110)?;
        let uri = OptionValue::String(file.to_string_lossy().into_owned());
        let database = driver.new_database_with_opts([(OptionDatabase::Uri, uri)])?;
        let mut connection = database.new_connection()?;
        let mut statement = connection.new_statement()?;
        statement.set_sql_query(sql)?;
        let batches = statement.execute()?.collect::<Result<Vec<_>, _>>()?;
        Ok(batches)
    };
    run().map_err(|error| error.to_string())
}
