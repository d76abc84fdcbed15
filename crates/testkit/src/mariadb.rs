//! A real MariaDB or MySQL server, started by a test and stopped with it.
//!
//! Promise: a fresh server in a temporary folder on a free port, reachable by TCP with a password, gone when
//! the value is dropped (also while a panic unwinds). When MariaDB is not installed it fails with the line
//! that installs it. It deliberately does not know the connector: tests talk to the server through
//! `mariadb`. With `TOWPATH_TEST_MYSQL` in the environment the server is MySQL: so `make conformance` runs the same
//! suites against it. Nothing here waits by the clock: readiness is read from the server's own log.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
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

/// The variable that asks for MySQL in place of MariaDB.
const MYSQL: &str = "TOWPATH_TEST_MYSQL";
const READY: &str = "ready for connections";
const USERS: &[&str] = &["mysql", "nobody"];

static SHARED: Mutex<Weak<MariadbServer>> = Mutex::new(Weak::new());
static DATABASES: AtomicU64 = AtomicU64::new(0);

/// A running server.
pub struct MariadbServer {
    program: Program,
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
        let program = Program::find()?;
        // A server in the user's own cache runs as that user.
        let owner = match &program {
            Program::Mariadb(_) => Owner::needed(USERS)?,
            Program::Mysql(_) => None,
        };
        let folder = tempfile::Builder::new()
            .prefix("towpath-mariadb-")
            .tempdir()
            .map_err(|error| ServerError::of("cannot create a temporary folder", error))?;
        let server = Self {
            program,
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

    /// Whether it is MySQL, not MariaDB.
    pub fn is_mysql(&self) -> bool {
        matches!(self.program, Program::Mysql(_))
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
                .write_all(self.dialect(sql).as_bytes())
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

    /// MySQL has no tables of sequences: `seq_1_to_9` becomes a query.
    fn dialect(&self, sql: &str) -> String {
        if !self.is_mysql() {
            return sql.to_owned();
        }
        let mut parts = sql.split("seq_");
        let mut done = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = |text: &str| {
                text.find(|at: char| !at.is_ascii_digit())
                    .unwrap_or(text.len())
            };
            let (first, rest) = part.split_at(digits(part));
            let rest = rest.strip_prefix("_to_").unwrap_or(rest);
            let (last, rest) = rest.split_at(digits(rest));
            let _ = write!(
                done,
                "(WITH RECURSIVE s AS (SELECT {first} AS seq UNION ALL SELECT seq + 1 FROM s WHERE seq < {last}) \
                 SELECT seq FROM s) AS seq_{first}_to_{last}{rest}"
            );
        }
        done
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
            .command(self.program.path())
            .args(self.program.arguments())
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
            .map_err(|error| ServerError::of("cannot start the server", error))?;
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
        let data = format!("--datadir={}", folder.join("data").display());
        let output = match &self.program {
            Program::Mariadb(_) => self
                .command("mariadb-install-db")
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .args(["--skip-test-db", "--skip-name-resolve"])
                .arg(data)
                .output(),
            Program::Mysql(_) => self
                .command(self.program.path())
                .args(self.program.arguments())
                .args([data, "--initialize-insecure".to_owned()])
                .output(),
        };
        let output =
            output.map_err(|error| ServerError::of("cannot start the installation", error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(ServerError::of(
                "the server's data could not be created",
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

/// The program of the server.
enum Program {
    Mariadb(PathBuf),
    Mysql(PathBuf),
}

impl Program {
    fn find() -> Result<Self, ServerError> {
        match std::env::var_os(MYSQL) {
            Some(_) => mysqld().map(Self::Mysql),
            None => mariadbd().map(Self::Mariadb),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Mariadb(path) | Self::Mysql(path) => path,
        }
    }

    /// What it needs at each start. The server of MySQL is not installed, so it is told where its files are.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--no-defaults".to_owned()];
        if let Self::Mysql(path) = self {
            let base = path.parent().and_then(Path::parent).unwrap_or(path);
            arguments.extend([
                format!("--basedir={}", base.display()),
                format!("--lc-messages-dir={}", base.join("share").display()),
                "--mysqlx=OFF".to_owned(),
                // As in MariaDB, so that tests can write what the mode of MySQL refuses.
                "--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
                    .to_owned(),
                "--cte-max-recursion-depth=1000000".to_owned(),
                // Only root needs it, and to others it says nothing.
                "--user=root".to_owned(),
                "--default-authentication-plugin=mysql_native_password".to_owned(),
            ]);
        }
        arguments
    }
}

/// `mariadbd`, which Debian keeps off the PATH of users.
fn mariadbd() -> Result<PathBuf, ServerError> {
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

/// `mysqld`, where `xtask/setup.sh --conformance` puts it.
fn mysqld() -> Result<PathBuf, ServerError> {
    let program = crate::installed::servers().join("mysql/bin/mysqld");
    match program.is_file() {
        true => Ok(program),
        false => Err(ServerError::of(
            "this test needs a MySQL server",
            "xtask/setup.sh --conformance",
        )),
    }
}
