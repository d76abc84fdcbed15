//! Sessions with the server of a state store, and retries of transactions.
//!
//! Promise: an operation is one transaction. If it conflicts with another one, it is repeated; if the
//! server cannot be reached, it waits for up to a minute. If the result of a commit was lost, the operation
//! is repeated only if it says that this is harmless; otherwise the result is reported as unknown. It does
//! not know what an operation does. Read next: `schema.rs`, `../state_store.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, SimpleQueryMessage};
use towpath_ports::Secrets;
use towpath_vocab::SecretTemplate;

use super::address::Address;
use super::{schema, tls};
use crate::clock::StoreClock;
use crate::error::{Place, StateError};
use crate::tx::{Operation, Tx, Wire};

/// The most sessions at once.
const SESSIONS: usize = 4;
/// How often a transaction is repeated after conflicts with others.
const CONFLICTS: u32 = 40;
/// How long an operation waits for a server that cannot be reached.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether an operation may be repeated if it is not known whether it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redo {
    Harmless,
    Never,
}

/// A database with a state store.
pub(crate) struct PostgresServer {
    url: SecretTemplate,
    secrets: Arc<dyn Secrets>,
    project_dir: PathBuf,
    project: Option<String>,
    clock: StoreClock,
    place: Mutex<Arc<Place>>,
    prepared: OnceCell<()>,
    idle: Mutex<Vec<Session>>,
    sessions: Semaphore,
}

/// An open session, and the schema of its tables.
struct Session {
    client: Client,
    schema: String,
}

/// Why one try failed.
enum Trouble {
    /// It conflicted with other transactions.
    Conflict(StateError),
    /// The server cannot be reached, and nothing was committed.
    Away(StateError),
    /// The commit was sent, but its answer did not come.
    Unknown(StateError),
    /// Another try would fail as well.
    Failed(StateError),
}

impl PostgresServer {
    /// For a server that is connected when it is first needed.
    pub(crate) fn new(
        url: SecretTemplate,
        secrets: Arc<dyn Secrets>,
        project_dir: &Path,
        project: Option<String>,
        clock: StoreClock,
    ) -> Self {
        Self {
            url,
            secrets,
            project_dir: project_dir.to_owned(),
            project,
            clock,
            place: Mutex::new(Arc::new(Place::Server("PostgreSQL".to_owned()))),
            prepared: OnceCell::new(),
            idle: Mutex::default(),
            sessions: Semaphore::new(SESSIONS),
        }
    }

    pub(crate) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs an operation in one transaction.
    pub(crate) async fn run<T, F>(&self, redo: Redo, operation: F) -> towpath_ports::Result<T>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        let began = Instant::now();
        let (mut conflicts, mut waits) = (0, 0_u32);
        loop {
            let trouble = match self.attempt(&operation).await {
                Ok(found) => return Ok(found),
                Err(trouble) => trouble,
            };
            let is_patient = began.elapsed() < PATIENCE;
            match trouble {
                Trouble::Conflict(_) if conflicts < CONFLICTS => {
                    conflicts += 1;
                    sleep(Duration::from_millis(u64::from(conflicts))).await;
                }
                Trouble::Away(error) if is_patient => {
                    if waits == 0 {
                        tracing::warn!(%error, "the state store does not answer; trying again for a minute");
                    }
                    waits += 1;
                    sleep(Duration::from_millis(u64::from(waits.min(10)) * 100)).await;
                }
                Trouble::Unknown(_) if redo == Redo::Harmless && is_patient => {}
                Trouble::Unknown(error) => {
                    let unknown = StateError::Unknown {
                        detail: error.to_string(),
                    };
                    return Err(unknown.into_failure(&self.place()));
                }
                Trouble::Conflict(error) | Trouble::Away(error) | Trouble::Failed(error) => {
                    return Err(error.into_failure(&self.place()));
                }
            }
        }
    }

    async fn attempt<T, F: Operation<T>>(&self, operation: &F) -> Result<T, Trouble> {
        let stopped = |_| Trouble::Failed(StateError::Stopped);
        let _permit = self.sessions.acquire().await.map_err(stopped)?;
        let session = self.session().await.map_err(Trouble::of)?;
        let now_us = session.begin(&self.clock).await.map_err(Trouble::of)?;
        let tx = Tx::new(Wire::Postgres(&session.client), now_us);
        let found = match operation(&tx).await {
            Ok(found) => found,
            Err(error) => {
                // A session whose transaction cannot be ended is not used again.
                if session.client.batch_execute("ROLLBACK").await.is_ok() {
                    self.give_back(session);
                }
                return Err(Trouble::of(error));
            }
        };
        fail::fail_point!("state::before_commit");
        if let Err(error) = session.client.batch_execute("COMMIT").await {
            let error = StateError::Postgres(error);
            return Err(match Trouble::of(error) {
                Trouble::Away(error) => Trouble::Unknown(error),
                other => other,
            });
        }
        fail::fail_point!("state::after_commit");
        self.give_back(session);
        Ok(found)
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(session);
    }

    /// An idle session, or a new one.
    async fn session(&self) -> Result<Session, StateError> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            match idle {
                Some(session) if session.client.is_closed() => {}
                Some(session) => return Ok(session),
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> Result<Session, StateError> {
        let url = self.secrets.resolve(&self.url).await;
        let url = url.map_err(|failure| StateError::Refused(Box::new(failure)))?;
        let address = Address::parse(&url, &self.project_dir)?;
        let place = Arc::new(Place::Server(address.shown.clone()));
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        let encrypted = tls::connector(&address).map_err(|reason| StateError::Tls { reason })?;
        let (client, connection) = Box::pin(address.config.connect(encrypted))
            .await
            .map_err(StateError::Connect)?;
        tokio::spawn(async move {
            // Whatever ends a connection reaches the caller through the client's own error.
            let _ = Box::pin(connection).await;
        });
        let project = self.project.as_deref();
        self.prepared
            .get_or_try_init(|| schema::prepare(&client, &address.schema, project))
            .await?;
        Ok(Session {
            client,
            schema: address.schema,
        })
    }
}

impl Session {
    /// Begins a transaction and reads the time, in one round trip.
    async fn begin(&self, clock: &StoreClock) -> Result<i64, StateError> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = {}; \
             SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; \
             SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000000) AS BIGINT)",
            self.schema
        );
        let answer = self.client.simple_query(&sql).await?;
        if let Some(given_us) = clock.given_us() {
            return Ok(given_us);
        }
        let time = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        time.ok_or_else(|| StateError::Stored {
            what: "time",
            detail: "the server did not return its time".to_owned(),
        })
    }
}

impl Trouble {
    fn of(error: StateError) -> Self {
        let code = match &error {
            StateError::Postgres(error) | StateError::Connect(error) => {
                error.code().map(|state| state.code().to_owned())
            }
            _ => return Trouble::Failed(error),
        };
        let connecting = matches!(error, StateError::Connect(_));
        match code.as_deref() {
            // Serialization failure, deadlock, unique violation.
            Some("40001" | "40P01" | "23505") => Trouble::Conflict(error),
            // The server shuts down, starts up, or has no room for a session.
            Some("57P01" | "57P02" | "57P03" | "53300") => Trouble::Away(error),
            Some(code) if code.starts_with("08") => Trouble::Away(error),
            Some(_) => Trouble::Failed(error),
            None if connecting && !is_refusal(&error) => Trouble::Away(error),
            None if is_closed(&error) => Trouble::Away(error),
            None => Trouble::Failed(error),
        }
    }
}

/// True if an error of connecting would be the same again: encryption, a password, an option.
fn is_refusal(error: &StateError) -> bool {
    let StateError::Connect(error) = error else {
        return false;
    };
    let text = error.to_string();
    ["TLS", "authentication", "configuration"]
        .iter()
        .any(|word| text.contains(word))
}

/// True if an error says that the connection is lost, and not that the server refused something.
fn is_closed(error: &StateError) -> bool {
    let StateError::Postgres(error) = error else {
        return false;
    };
    let io = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    error.is_closed() || io
}
