//! A connection of a driver: opening it, and work on it on blocking threads.
//!
//! Promise: no call of a driver runs on a thread of the runtime. Work whose caller is gone is cancelled where the
//! driver can (`CancelOnDrop`), and so is a session that is dropped while a statement runs. A session that is dropped is closed on a
//! blocking thread, and rolls back what it had begun. Read next: `driver.rs`, `answer.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adbc_core::error::Error;
use adbc_core::options::{InfoCode, OptionConnection, OptionValue};
use adbc_core::{CancelHandle, Connection as _, Optionable as _, Statement as _};
use adbc_driver_manager::ManagedConnection;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use towpath_ports::Redaction;
use towpath_vocab::Failure;

use super::answer::{Answer, infos};
use super::driver::{Database, DriverKey, OpenError, open};
use super::error::{AdbcError, Result};
use super::messages::Reported;
use super::settings::{Resolved, Settings};
use super::types::{Column, has_sample, select};
use super::vendor::{Product, Vendor};

/// What the driver holds. The connection goes before its database, and both before others write.
struct Opened {
    connection: ManagedConnection,
    database: Database,
    /// Nobody else in this process writes the database.
    turn: Option<OwnedMutexGuard<()>>,
}

/// The same, closed on a blocking thread when it is dropped.
struct Held(Option<Opened>);

impl Drop for Held {
    fn drop(&mut self) {
        let Some(opened) = self.0.take() else {
            return;
        };
        // Outside of a runtime this thread may block.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(opened));
        }
    }
}

/// A connection that several tasks may use, one after the other.
#[derive(Clone)]
pub(super) struct Session {
    held: Arc<Mutex<Held>>,
    cancel: Arc<dyn CancelHandle>,
    pub(super) product: Arc<Product>,
    redaction: Arc<Redaction>,
}

/// Stops what a session does when its caller is gone before it has ended.
pub(super) struct CancelOnDrop {
    cancel: Option<Arc<dyn CancelHandle>>,
}

impl CancelOnDrop {
    /// The work has ended.
    pub(super) fn disarm(&mut self) {
        self.cancel = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let (Some(cancel), Ok(runtime)) = (self.cancel.take(), Handle::try_current()) {
            // A driver that cannot cancel goes on to the end of its call.
            runtime.spawn_blocking(move || drop(cancel.try_cancel()));
        }
    }
}

impl Session {
    /// Connects.
    pub(super) async fn open(settings: &Settings) -> std::result::Result<Self, Failure> {
        let resolved = settings.resolve().await?;
        let settings = settings.clone();
        let opened = blocking(move || connect(&settings, resolved));
        Ok(opened.await?)
    }

    /// The connection; waits for the task that has it. Only for blocking threads.
    pub(super) fn lock(&self) -> Work<'_> {
        Work {
            held: self.held.lock().unwrap_or_else(PoisonError::into_inner),
            session: self,
        }
    }

    /// Works on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let session = self.clone();
        let mut running = self.cancel_on_drop();
        let result = blocking(move || work(&mut session.lock())).await;
        running.disarm();
        result
    }

    pub(super) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop {
            cancel: Some(Arc::clone(&self.cancel)),
        }
    }

    /// Begins a transaction of reads, where the database has any that are known.
    pub(super) async fn begin_read(&self) -> Result<()> {
        if !self.product.vendor.has_transactions() {
            return Ok(());
        }
        self.run(|work| {
            let doing = "starting to read";
            let off = work
                .connection()?
                .set_option(OptionConnection::AutoCommit, OptionValue::from(false));
            off.map_err(|error| work.failed(&error, doing))?;
            match work.vendor().snapshot() {
                Some(sql) => work.execute(sql, doing).map(drop),
                None => Ok(()),
            }
        })
        .await
    }

    /// Waits until nobody else in this process writes the database. The turn ends with the session, or before
    /// (`Work::end_turn`).
    pub(super) async fn take_turn(&self) -> Result<()> {
        let writers = self
            .run(|work| Ok(work.opened()?.database.writers()))
            .await?;
        let turn = writers.lock_owned().await;
        self.run(move |work| {
            work.opened()?.turn = Some(turn);
            Ok(())
        })
        .await
    }

    pub(super) fn vendor(&self) -> Vendor {
        self.product.vendor
    }
}

/// A session on a blocking thread.
pub(super) struct Work<'a> {
    held: MutexGuard<'a, Held>,
    session: &'a Session,
}

impl Work<'_> {
    pub(super) fn vendor(&self) -> Vendor {
        self.session.product.vendor
    }

    fn opened(&mut self) -> Result<&mut Opened> {
        self.held.0.as_mut().ok_or(AdbcError::Misused {
            reason: "works on a closed session",
        })
    }

    pub(super) fn connection(&mut self) -> Result<&mut ManagedConnection> {
        Ok(&mut self.opened()?.connection)
    }

    /// Others may write.
    pub(super) fn end_turn(&mut self) -> Result<()> {
        self.opened()?.turn = None;
        Ok(())
    }

    /// What the driver says, as an error.
    pub(super) fn failed(&self, error: &Error, doing: &str) -> AdbcError {
        AdbcError::Driver {
            doing: doing.to_owned(),
            reported: self.reported(error),
        }
    }

    pub(super) fn reported(&self, error: &Error) -> Reported {
        Reported::of(error, &self.session.redaction)
    }

    /// Runs a statement without rows; how many it changed, if the driver knows.
    pub(super) fn execute(&mut self, sql: &str, doing: &str) -> Result<Option<i64>> {
        let run = |connection: &mut ManagedConnection| {
            let mut statement = connection.new_statement()?;
            statement.set_sql_query(sql)?;
            statement.execute_update()
        };
        let done = run(self.connection()?);
        done.map_err(|error| self.failed(&error, doing))
    }

    /// Asks a question.
    pub(super) fn query(&mut self, sql: &str, doing: &str) -> Result<Answer> {
        let run = |connection: &mut ManagedConnection| {
            let mut statement = connection.new_statement()?;
            statement.set_sql_query(sql)?;
            let stream = statement.execute()?;
            Ok(Answer::new(stream, statement))
        };
        let asked = run(self.connection()?);
        asked.map_err(|error| self.failed(&error, doing))
    }

    /// Asks for columns; `rest` is what follows FROM.
    pub(super) fn select(&mut self, columns: &[Column], rest: &str, doing: &str) -> Result<Answer> {
        let sql = select(columns, self.vendor(), rest);
        self.asked(columns, &sql, doing)
    }

    /// The same by a query that `select` made.
    pub(super) fn asked(&mut self, columns: &[Column], sql: &str, doing: &str) -> Result<Answer> {
        let answer = self.query(sql, doing)?;
        Ok(answer.without_sample(has_sample(columns)))
    }

    /// All rows of a small answer, as text.
    pub(super) fn rows(&mut self, sql: &str, doing: &str) -> Result<Vec<Vec<Option<String>>>> {
        let answer = self.query(sql, doing)?;
        let rows = answer.texts();
        rows.map_err(|error| self.failed(&error, doing))
    }
}

fn connect(settings: &Settings, resolved: Resolved) -> Result<Session> {
    settings.check_driver()?;
    let Resolved { options, redaction } = resolved;
    let refused = |error: &Error| AdbcError::Connect {
        connection: settings.connection.clone(),
        reported: Reported::of(error, &redaction),
    };
    let driver = DriverKey {
        place: settings.driver.clone(),
        entrypoint: settings.entrypoint.clone(),
    };
    let database = open(&driver, &options).map_err(|error| match error {
        OpenError::Load(error) => AdbcError::Load {
            connection: settings.connection.clone(),
            reason: Reported::of(&error, &redaction).message,
        },
        OpenError::Open(error) => refused(&error),
    })?;
    let connection = database.connect().map_err(|error| refused(&error))?;
    let product = product(&connection).map_err(|error| refused(&error))?;
    Ok(Session {
        cancel: Arc::from(connection.get_cancel_handle()),
        held: Arc::new(Mutex::new(Held(Some(Opened {
            connection,
            database,
            turn: None,
        })))),
        product: Arc::new(product),
        redaction: Arc::new(redaction),
    })
}

/// What the driver says about itself; one that says nothing leads to an unknown database.
fn product(connection: &ManagedConnection) -> std::result::Result<Product, Error> {
    let codes = [
        InfoCode::VendorName,
        InfoCode::VendorVersion,
        InfoCode::DriverName,
        InfoCode::DriverVersion,
    ];
    let texts = match connection.get_info(Some(codes.into_iter().collect())) {
        Ok(stream) => infos(stream)?,
        Err(error) if error.status == adbc_core::error::Status::NotImplemented => Vec::new(),
        Err(error) => return Err(error),
    };
    let text = |code: InfoCode| {
        let code = u32::from(&code);
        let found = texts.iter().find(|(other, _)| *other == code);
        found.map(|(_, text)| text.as_str())
    };
    let joined = |parts: [Option<&str>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        parts.join(" ")
    };
    let name = text(InfoCode::VendorName).unwrap_or("an unknown database");
    Ok(Product {
        vendor: Vendor::named(name),
        shown: joined([Some(name), text(InfoCode::VendorVersion)]),
        driver: joined([text(InfoCode::DriverName), text(InfoCode::DriverVersion)]),
    })
}

/// Runs blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(AdbcError::Misused {
        reason: "lost a task that worked with a driver",
    }))
}
