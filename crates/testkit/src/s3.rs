//! A real server of the S3 protocol (SeaweedFS), started by a test and stopped with it, and a proxy
//! before it whose answers fail when a test says so.
//!
//! Promise: buckets in a temporary folder, on free loopback ports, with one user who may do everything in a
//! bucket but make one. When the server is not installed, a test fails with the line that installs it.
//! It does not know the lakehouse. Read next: `s3/proxy.rs`.

mod proxy;

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::installed;
use crate::ports::Port;

pub use proxy::{FaultyS3, S3Fault};

/// The user's name.
pub const ACCESS_KEY: &str = "TOWPATHTEST";
/// The user's secret. Tests check that it is in no message.
pub const SECRET_KEY: &str = "s3cret-key-of-the-test";

const LONGEST_START: Duration = Duration::from_secs(60);

static SHARED: Mutex<Weak<S3Server>> = Mutex::new(Weak::new());

/// A running server.
pub struct S3Server {
    folder: TempDir,
    port: u16,
    filer: u16,
    process: Child,
    /// The sockets it makes for itself, whose place cannot be chosen.
    sockets: Vec<(&'static str, u16)>,
    /// All its ports.
    _ports: Vec<Port>,
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Server(port {})", self.port)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for (name, port) in &self.sockets {
            let _ = std::fs::remove_file(format!("/tmp/seaweedfs-{name}-grpc-{port}.sock"));
        }
    }
}

impl S3Server {
    /// The server that all tests of this process share while at least one of them uses it, with the bucket `lake`.
    ///
    /// # Errors
    /// If SeaweedFS is not installed or does not start.
    pub fn shared() -> Result<Arc<Self>, String> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start("lake")?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// A server for one test, with one empty bucket of this name.
    ///
    /// # Errors
    /// If SeaweedFS is not installed or does not start.
    pub fn start(bucket: &str) -> Result<Self, String> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("towpath-s3-").tempdir();
        let folder =
            folder.map_err(|error| format!("cannot create a temporary folder: {error}"))?;
        let rights = serde_json::json!({ "identities": [{
            "name": "test",
            "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Read", "Write", "List", "Tagging"],
        }] });
        let identities = folder.path().join("identities.json");
        std::fs::write(&identities, rights.to_string())
            .map_err(|error| format!("cannot write {}: {error}", identities.display()))?;
        let ports: Vec<Port> = (0..8)
            .map(|_| Port::free())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("cannot find a free port: {error}"))?;
        let names = ["master", "volume", "filer", "s3"];
        let mut command = Command::new(&program);
        command.args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
        ]);
        command.args([
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        command.args(["-master.volumeSizeLimitMB=64", "-volume.max=50"]);
        command.arg(format!("-dir={}", folder.path().display()));
        command.arg(format!("-s3.config={}", identities.display()));
        let mut sockets = Vec::new();
        for (name, pair) in names.into_iter().zip(ports.chunks(2)) {
            if let [port, grpc] = pair {
                sockets.push((name, grpc.number()));
                command.arg(format!("-{name}.port={}", port.number()));
                command.arg(format!("-{name}.port.grpc={}", grpc.number()));
            }
        }
        let log = std::fs::File::create(folder.path().join("log"));
        let log = log.map_err(|error| format!("cannot create a log: {error}"))?;
        let process = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let port_of = |at: usize| ports.get(at).map(Port::number).unwrap_or_default();
        let server = Self {
            folder,
            port: port_of(6),
            filer: port_of(4),
            process,
            sockets,
            _ports: ports,
        };
        server.make_bucket(bucket)?;
        Ok(server)
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts an object there, as another program would. A key that ends in `/` makes a folder.
    ///
    /// # Errors
    /// If the server does not take it.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<(), String> {
        self.change("PUT", bucket, key, bytes)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// If the server does not do it.
    pub fn remove(&self, bucket: &str, key: &str) -> Result<(), String> {
        self.change("DELETE", bucket, key, &[])
    }

    /// An object, as another program gets it; `None` when it is not there.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        let path = format!("/buckets/{bucket}/{}", encoded(key));
        match fetch(self.filer, &path) {
            Ok((200, body)) => Ok(Some(body)),
            Ok((404, _)) => Ok(None),
            other => Err(format!("GET {path}: {:?}", other.map(|(status, _)| status))),
        }
    }

    /// The names right below a folder, at most 10,000, sorted; those of folders end in `/`.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn names(&self, bucket: &str, folder: &str) -> Result<Vec<String>, String> {
        let path = format!("/buckets/{bucket}/{}/?limit=10000", encoded(folder));
        let body = match fetch(self.filer, &path) {
            Ok((200, body)) => body,
            Ok((404, _)) => return Ok(Vec::new()),
            other => return Err(format!("GET {path}: {:?}", other.map(|(status, _)| status))),
        };
        let listed: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| format!("GET {path}: {error}"))?;
        let entries = listed.get("Entries").and_then(serde_json::Value::as_array);
        let name = |entry: &serde_json::Value| {
            let name = entry
                .get("FullPath")?
                .as_str()?
                .rsplit('/')
                .next()?
                .to_owned();
            let is_folder = entry.get("Mode")?.as_u64()? & (1 << 31) != 0;
            Some(if is_folder { name + "/" } else { name })
        };
        let mut names: Vec<String> = entries.into_iter().flatten().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    fn change(&self, method: &str, bucket: &str, key: &str, bytes: &[u8]) -> Result<(), String> {
        let path = format!("/buckets/{bucket}/{}", encoded(key));
        let method = if key.ends_with('/') { "POST" } else { method };
        let status = send(self.filer, method, &path, bytes);
        match status {
            Ok(status) if (200..300).contains(&status) => Ok(()),
            other => Err(format!("{method} {path}: {other:?}")),
        }
    }

    /// What a program must have in its environment to use the server at an endpoint.
    pub fn variables(endpoint: &str) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// Makes a bucket as soon as the server answers.
    fn make_bucket(&self, bucket: &str) -> Result<(), String> {
        let began = Instant::now();
        let made = format!("/buckets/{bucket}/");
        loop {
            // 409: an earlier try made it.
            let made =
                ask(self.filer, "POST", &made).is_ok_and(|status| [201, 409].contains(&status));
            // Without a signature the door is shut, but it is there.
            if made
                && ask(self.port, "GET", &format!("/{bucket}")).is_ok_and(|status| status == 403)
            {
                return Ok(());
            }
            if began.elapsed() > LONGEST_START {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                return Err(format!(
                    "SeaweedFS did not start:\n{}",
                    log.unwrap_or_default()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A key in a URL.
fn encoded(key: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// Sends a request without a body; the status of the answer.
fn ask(port: u16, method: &str, path: &str) -> std::io::Result<u16> {
    send(port, method, path, &[])
}

/// Sends a request; the status of the answer.
/// The status and the body of an answer that has a length or ends with the connection.
fn fetch(port: u16, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = end.map_or_else(Vec::new, |end| answer.split_off(end + 4));
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Ok((status.unwrap_or_default(), body))
}

fn send(port: u16, method: &str, path: &str, body: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    Ok(status.unwrap_or_default())
}

/// Where `xtask/setup.sh` puts the server.
fn program() -> Result<PathBuf, String> {
    let installed = installed::servers().join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(installed)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("weed"))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            "this test needs SeaweedFS (a server of the S3 protocol): run `make setup`".to_owned()
        })
}
