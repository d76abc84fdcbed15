//! A real PostgreSQL server, started by a test and stopped with it.
//!
//! Promise: a fresh cluster in a temporary folder on a free port, reachable by TCP with a password,
//! gone when the value is dropped (also while a panic unwinds). When PostgreSQL is not installed it
//! fails with the line that installs it. It deliberately does not know the connector: tests talk to
//! the server through `psql` or a client of their own. Nothing here waits by the clock: readiness is
//! read from the server's own log.

use std::fmt;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::Port;

/// The superuser's name.
pub const USER: &str = "towpath";
/// The superuser's password. Tests check that it is in no message.
pub const PASSWORD: &str = "s3cret-of-the-test";

/// Followed by `connections` or `read-only connections`.
const READY: &str = "database system is ready to accept";
const LONGEST_START: Duration = Duration::from_secs(60);

static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
static DATABASES: AtomicU64 = AtomicU64::new(0);

/// Why a server could not be started or queried.
#[derive(Debug)]
pub struct ServerError(String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    pub(crate) fn of(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// A running server.
pub struct PostgresServer {
    programs: PathBuf,
    folder: TempDir,
    owner: Option<Owner>,
    settings: Vec<(String, String)>,
    port: Port,
    process: Mutex<Option<Child>>,
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresServer(port {})", self.port.number())
    }
}

impl PostgresServer {
    /// The server that all tests of this process share while at least one of them uses it.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn shared() -> Result<Arc<Self>, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// A server for one test.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// A server for one test with these settings of `postgresql.conf`.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let programs = programs()?;
        let owner = Owner::needed(&["postgres", "nobody"])?;
        let folder = tempfile::Builder::new()
            .prefix("towpath-postgres-")
            .tempdir()
            .map_err(|error| ServerError::of("cannot create a temporary folder", error))?;
        let server = Self {
            programs,
            folder,
            owner,
            settings: settings
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            port: free_port()?,
            process: Mutex::new(None),
        };
        server.initialise()?;
        server.resume()?;
        Ok(server)
    }

    /// A standby of this server that can be queried.
    ///
    /// # Errors
    /// If the server cannot be copied or the standby does not start.
    pub fn standby(&self) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new()
            .prefix("towpath-standby-")
            .tempdir()
            .map_err(|error| ServerError::of("cannot create a temporary folder", error))?;
        if let Some(owner) = self.owner {
            chown(folder.path(), Some(owner.user), Some(owner.group))
                .map_err(|error| ServerError::of("cannot hand the folder to `postgres`", error))?;
        }
        let server = Self {
            programs: self.programs.clone(),
            folder,
            owner: self.owner,
            settings: self.settings.clone(),
            port: free_port()?,
            process: Mutex::new(None),
        };
        let output = server
            .program("pg_basebackup")
            .args([
                "--no-sync",
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "-d",
                &self.url("postgres"),
                "-D",
            ])
            .arg(server.data())
            .output()
            .map_err(|error| ServerError::of("cannot start `pg_basebackup`", error))?;
        if !output.status.success() {
            return Err(ServerError::of(
                "`pg_basebackup` failed",
                String::from_utf8_lossy(&output.stderr),
            ));
        }
        server.resume()?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port.number()
        )
    }

    /// Creates a database that no other test uses; returns its name.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn new_database(&self) -> Result<String, ServerError> {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// Runs SQL with `psql`; returns its unaligned output without headers.
    ///
    /// # Errors
    /// The output of `psql` if a statement failed.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let mut child = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url(database),
                "-f",
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ServerError::of("cannot start `psql`", error))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(sql.as_bytes())
                .map_err(|error| ServerError::of("cannot write to `psql`", error))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|error| ServerError::of("`psql`", error))?;
        if !output.status.success() {
            return Err(ServerError(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    /// The folder of `psql` and the other programs of this server's version.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Stops the server at once, like a crash (the connections of clients break).
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = process.take() {
            // SIGQUIT: all server processes leave at once, without a checkpoint.
            let sent = Command::new("kill")
                .args(["-QUIT", &child.id().to_string()])
                .status();
            if !sent.is_ok_and(|status| status.success()) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }

    /// Starts it again after `kill`, with the same port and data.
    ///
    /// # Errors
    /// If it does not start; the message contains its log.
    pub fn resume(&self) -> Result<(), ServerError> {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.number().to_string()]);
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("lc_messages", "C"),
            ("log_min_messages", "warning"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ];
        let own = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ServerError::of("cannot start `postgres`", error))?;
        let answer = wait_until_ready(&mut child, READY);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        answer.inspect_err(|_| self.kill())
    }

    /// Stops the server, lets it count transactions from this 64-bit number on, starts it again, and
    /// freezes all rows of all databases, as the server's own vacuum would have long since. Steps are
    /// smaller than 2^31.
    ///
    /// # Errors
    /// When a program fails.
    pub fn count_from(&self, transaction: u64) -> Result<(), ServerError> {
        self.stop();
        let (round, number) = (transaction >> 32, transaction & 0xFFFF_FFFF);
        let output = self
            .program("pg_resetwal")
            .args(["-x", &number.to_string(), "-e", &round.to_string(), "-D"])
            .arg(self.data())
            .output()
            .map_err(|error| ServerError::of("cannot start `pg_resetwal`", error))?;
        if !output.status.success() {
            return Err(ServerError::of(
                "`pg_resetwal` failed",
                String::from_utf8_lossy(&output.stderr),
            ));
        }
        let states = self
            .data()
            .join("pg_xact")
            .join(format!("{:04X}", number >> 20));
        if !states.exists() {
            let wrote = std::fs::write(&states, vec![0; 256 << 10]);
            wrote.map_err(|error| ServerError::of("cannot write the states", error))?;
            if let Some(owner) = self.owner {
                chown(&states, Some(owner.user), Some(owner.group))
                    .map_err(|error| ServerError::of("cannot hand the states over", error))?;
            }
        }
        self.resume()?;
        self.psql(
            "postgres",
            "ALTER DATABASE template0 ALLOW_CONNECTIONS true",
        )?;
        let names = self.psql("postgres", "SELECT datname FROM pg_database")?;
        for name in names.lines() {
            self.psql(name, "VACUUM FREEZE")?;
        }
        Ok(())
    }

    /// Stops the server with a checkpoint.
    fn stop(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = process.take() {
            let _ = Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }

    fn initialise(&self) -> Result<(), ServerError> {
        let secret = self.folder.path().join("password");
        std::fs::write(&secret, PASSWORD)
            .map_err(|error| ServerError::of("cannot write the password file", error))?;
        if let Some(owner) = self.owner {
            for path in [self.folder.path(), secret.as_path()] {
                chown(path, Some(owner.user), Some(owner.group)).map_err(|error| {
                    ServerError::of("cannot hand the folder to `postgres`", error)
                })?;
            }
        }
        let output = self
            .program("initdb")
            .arg("-D")
            .arg(self.data())
            .args([
                "-U",
                USER,
                "-E",
                "UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                "--no-sync",
                "--pwfile",
            ])
            .arg(&secret)
            .output()
            .map_err(|error| ServerError::of("cannot start `initdb`", error))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(ServerError::of(
                "`initdb` failed",
                String::from_utf8_lossy(&output.stderr),
            ))
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .current_dir(self.folder.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user a server must run as, because it refuses to run as root.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Owner {
    /// The first of these users that there is; `None` when this process does not run as root.
    pub(crate) fn needed(names: &[&str]) -> Result<Option<Self>, ServerError> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_root = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            == Some("0");
        if !is_root {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")
            .map_err(|error| ServerError::of("cannot read `/etc/passwd`", error))?;
        for name in names {
            let found = users
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>())
                .find(|f| f.first() == Some(name));
            if let Some([_, _, user, group, ..]) = found.as_deref()
                && let (Ok(user), Ok(group)) = (user.parse(), group.parse())
            {
                return Ok(Some(Self { user, group }));
            }
        }
        Err(ServerError(format!(
            "the server does not run as root and there is none of these users: {}",
            names.join(", ")
        )))
    }
}

/// The folder with `initdb`, `postgres` and `psql`: the newest version found.
fn programs() -> Result<PathBuf, ServerError> {
    let mut folders: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    folders.sort();
    let installed = folders.into_iter().rev().map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    installed
        .chain(std::env::split_paths(&path))
        .find(|folder| {
            ["initdb", "postgres", "psql"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
        .ok_or_else(|| {
            ServerError(
                "this test needs a PostgreSQL server: apt-get install postgresql".to_owned(),
            )
        })
}

pub(crate) fn free_port() -> Result<Port, ServerError> {
    Port::free().map_err(|error| ServerError::of("cannot find a free port", error))
}

/// Waits until the server's log has a line with `ready`.
pub(crate) fn wait_until_ready(child: &mut Child, ready_line: &str) -> Result<(), ServerError> {
    let Some(log) = child.stderr.take() else {
        return Err(ServerError("the server has no log".to_owned()));
    };
    let (sender, receiver) = mpsc::channel();
    let ready_line = ready_line.to_owned();
    // Lives as long as the server: a full pipe would stop it.
    std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut ready = false;
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if !ready {
                ready = line.contains(&ready_line);
                lines.push(line);
                if ready {
                    let _ = sender.send(Ok(()));
                }
            }
        }
        if !ready {
            let _ = sender.send(Err(ServerError::of(
                "the server did not start",
                lines.join("\n"),
            )));
        }
    });
    receiver.recv_timeout(LONGEST_START).unwrap_or_else(|_| {
        Err(ServerError(
            "the server was not ready within a minute".to_owned(),
        ))
    })
}
