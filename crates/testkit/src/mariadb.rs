//! A real MariaDB server, started by a test and stopped with it.
//!
//! Promise: a fresh server in a temporary folder on a free port, reachable by TCP with a password, gone when
//! the value is dropped (also while a panic unwinds). When MariaDB is not installed it fails with the line
//! that installs it. It deliberately does not know the connector: tests talk to the server through
//! `mariadb`. Nothing here waits by the clock: readiness is read from the server's own log.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::ports::Port;
use crate::postgres::{Owner, ServerError, free_port, wait_until_ready};

/// The name of a user with all permissions.
pub const USER: &str = "towpath";
/// The user's password. Tests check that it is in no message.
pub const PASSWORD: &str = "s3cret-of-the-test";

const READY: &str = "ready for connections";
const USERS: &[&str] = &["mysql", "nobody"];

static SHARED: Mutex<Weak<MariadbServer>> = Mutex::new(Weak::new());
static DATABASES: AtomicU64 = AtomicU64::new(0);

/// A running server.
pub struct MariadbServer {
    server: PathBuf,
    folder: TempDir,
    owner: Option<Owner>,
    settings: Vec<String>,
    port: Port,
    process: Mutex<Option<Child>>,
}

impl fmt::Debug for MariadbServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MariadbServer(port {})", self.port.number())
    }
}

impl MariadbServer {
    /// The server that all tests of this process share while at least one of them uses it.
    ///
    /// # Errors
    /// If MariaDB is not installed or does not start.
    pub fn shared() -> Result<Arc<Self>, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start_with(&[])?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// A server for one test, with these arguments of `mariadbd`.
    ///
    /// # Errors
    /// If MariaDB is not installed or does not start.
    pub fn start_with(settings: &[&str]) -> Result<Self, ServerError> {
        let server = program()?;
        let owner = Owner::needed(USERS)?;
        let folder = tempfile::Builder::new()
            .prefix("towpath-mariadb-")
            .tempdir()
            .map_err(|error| ServerError::of("cannot create a temporary folder", error))?;
        let server = Self {
            server,
            folder,
            owner,
            settings: settings
                .iter()
                .map(|setting| (*setting).to_owned())
                .collect(),
            port: free_port()?,
            process: Mutex::new(None),
        };
        server.initialise()?;
        server.resume()?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL of a database, as the user with all permissions.
    pub fn url(&self, database: &str) -> String {
        format!(
            "mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port.number()
        )
    }

    /// Creates a database that no other test uses; returns its name.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn new_database(&self) -> Result<String, ServerError> {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql("mysql", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// Runs SQL with `mariadb`; returns its output, columns between tabs, without headers.
    ///
    /// # Errors
    /// The output of `mariadb` if a statement failed.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let mut child = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--host=127.0.0.1",
                "--batch",
            ])
            .args([
                "--skip-column-names",
                "--skip-ssl",
                "--default-character-set=utf8mb4",
            ])
            .args([
                format!("--port={}", self.port.number()),
                format!("--user={USER}"),
            ])
            .arg(database)
            .env("MYSQL_PWD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ServerError::of("cannot start `mariadb`", error))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(sql.as_bytes())
                .map_err(|error| ServerError::of("cannot write to `mariadb`", error))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|error| ServerError::of("`mariadb`", error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(ServerError::of("`mariadb`", text(&output.stderr))),
        }
    }

    /// Stops the server at once, like a crash (the connections of clients break).
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again after `kill`, with the same port and data.
    ///
    /// # Errors
    /// If it does not start; the message contains its log.
    pub fn resume(&self) -> Result<(), ServerError> {
        let folder = self.folder.path();
        let mut child = self
            .command(&self.server)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("s.sock").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!(
                "--init-file={}",
                folder.join("users.sql").display()
            ))
            .arg(format!("--port={}", self.port.number()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-buffer-pool-size=64M",
            ])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ServerError::of("cannot start `mariadbd`", error))?;
        let answer = wait_until_ready(&mut child, READY);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        answer.inspect_err(|_| self.kill())
    }

    fn initialise(&self) -> Result<(), ServerError> {
        let folder = self.folder.path();
        let users = folder.join("users.sql");
        let sql = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(&users, sql)
            .map_err(|error| ServerError::of("cannot write the users", error))?;
        if let Some(owner) = self.owner {
            for path in [folder, users.as_path()] {
                chown(path, Some(owner.user), Some(owner.group))
                    .map_err(|error| ServerError::of("cannot hand the folder over", error))?;
            }
        }
        let output = self
            .command("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--skip-name-resolve"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .output()
            .map_err(|error| ServerError::of("cannot start `mariadb-install-db`", error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(ServerError::of(
                "`mariadb-install-db` failed",
                String::from_utf8_lossy(&output.stderr),
            )),
        }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", self.folder.path())
            // Two servers that start at once must not share temporary files.
            .env("TMPDIR", self.folder.path());
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }
}

impl Drop for MariadbServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `mariadbd`, which Debian keeps off the PATH of users.
fn program() -> Result<PathBuf, ServerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/sbin", "/usr/libexec"].map(PathBuf::from).into_iter();
    let mut folders = folders.chain(std::env::split_paths(&path));
    folders
        .find_map(|folder| Some(folder.join("mariadbd")).filter(|program| program.is_file()))
        .ok_or_else(|| {
            ServerError::of(
                "this test needs a MariaDB server",
                "apt-get install --no-install-recommends mariadb-server",
            )
        })
}
