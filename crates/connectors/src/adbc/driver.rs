//! Libraries and databases that this process has opened, each once.
//!
//! Promise: a library is loaded once and stays loaded, because many cannot be unloaded safely. Sessions with equal
//! options share one database while one of them is open: two databases on one file of DuckDB in one process would not
//! see each other's writes, and would damage the file. A database is closed before another one with its options is
//! opened. Everything here blocks. It knows no statement: `session.rs`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use adbc_core::error::{Error, Status};
use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{
    Database as _, Driver as _, LOAD_FLAG_SEARCH_ENV, LOAD_FLAG_SEARCH_SYSTEM,
    LOAD_FLAG_SEARCH_USER,
};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver};
use sha2::{Digest as _, Sha256};

use super::settings::DriverPlace;

/// A driver: where it is, and the function that it starts with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DriverKey {
    pub(super) place: DriverPlace,
    pub(super) entrypoint: Option<String>,
}

/// A database: its driver, and a digest of its options, which may be secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
struct DatabaseKey {
    driver: DriverKey,
    options: [u8; 32],
}

/// The database of some options, while somebody uses it.
#[derive(Default)]
struct Shared {
    managed: Option<ManagedDatabase>,
    users: usize,
}

/// The database of some options.
#[derive(Default)]
struct Place {
    shared: Mutex<Shared>,
    /// Who writes it, one after the other.
    writers: Arc<tokio::sync::Mutex<()>>,
}

type Slot = Arc<Place>;

/// What this process has loaded and opened.
#[derive(Default)]
struct Opened {
    drivers: Mutex<HashMap<DriverKey, ManagedDriver>>,
    databases: Mutex<HashMap<DatabaseKey, Slot>>,
}

static OPENED: LazyLock<Opened> = LazyLock::new(Opened::default);

/// A use of an open database; the last one closes it.
pub(super) struct Database {
    slot: Slot,
}

impl Database {
    /// Another connection to it.
    pub(super) fn connect(&self) -> Result<ManagedConnection, Error> {
        let managed = lock(&self.slot.shared).managed.clone();
        match managed {
            Some(managed) => managed.new_connection(),
            None => Err(Error::with_message_and_status(
                "the database is closed",
                Status::InvalidState,
            )),
        }
    }
}

impl Database {
    /// Held by whoever in this process is about to commit.
    pub(super) fn writers(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.slot.writers)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Who opens it again waits until it is closed.
        let mut shared = lock(&self.slot.shared);
        shared.users -= 1;
        if shared.users == 0 {
            shared.managed = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why there is no database.
pub(super) enum OpenError {
    /// The library cannot be loaded.
    Load(Error),
    /// The driver refuses the options, or cannot reach the database.
    Open(Error),
}

/// Loads a driver, once.
fn load(key: &DriverKey) -> Result<ManagedDriver, Error> {
    let mut drivers = lock(&OPENED.drivers);
    if let Some(driver) = drivers.get(key) {
        return Ok(driver.clone());
    }
    let entrypoint = key.entrypoint.as_deref().map(str::as_bytes);
    let version = AdbcVersion::V110;
    let driver = match &key.place {
        DriverPlace::File(file) => {
            ManagedDriver::load_dynamic_from_filename(file, entrypoint, version)
        }
        // No folder of the project, and no relative path.
        DriverPlace::Name(name) => ManagedDriver::load_from_name(
            name,
            entrypoint,
            version,
            LOAD_FLAG_SEARCH_ENV | LOAD_FLAG_SEARCH_USER | LOAD_FLAG_SEARCH_SYSTEM,
            None,
        ),
    }?;
    drivers.insert(key.clone(), driver.clone());
    Ok(driver)
}

/// The database of these options: the one that is open, or a new one. Its connections must be gone before the result
/// is dropped.
pub(super) fn open(
    driver: &DriverKey,
    options: &[(String, String)],
) -> Result<Database, OpenError> {
    let key = DatabaseKey {
        driver: driver.clone(),
        options: digest(options),
    };
    let slot = Arc::clone(lock(&OPENED.databases).entry(key).or_default());
    let mut shared = lock(&slot.shared);
    if shared.managed.is_none() {
        let mut driver = load(driver).map_err(OpenError::Load)?;
        let options = options.iter().map(|(key, value)| {
            let value = OptionValue::String(value.clone());
            (OptionDatabase::from(key.as_str()), value)
        });
        let managed = driver.new_database_with_opts(options);
        shared.managed = Some(managed.map_err(OpenError::Open)?);
    }
    shared.users += 1;
    drop(shared);
    Ok(Database { slot })
}

fn digest(options: &[(String, String)]) -> [u8; 32] {
    let mut sorted: Vec<&(String, String)> = options.iter().collect();
    sorted.sort();
    let mut hash = Sha256::new();
    for text in sorted.iter().flat_map(|(key, value)| [key, value]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_apart_by_all_of_their_options() {
        let pairs = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            digest(&pairs.iter().map(pair).collect::<Vec<_>>())
        };
        let one = pairs(&[("uri", "a"), ("password", "b")]);
        assert_eq!(one, pairs(&[("password", "b"), ("uri", "a")]));
        assert_ne!(one, pairs(&[("uri", "a"), ("password", "c")]));
        assert_ne!(pairs(&[("ab", "c")]), pairs(&[("a", "bc")]));
    }
}
