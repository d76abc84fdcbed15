//! A real server of the S3 protocol (SeaweedFS), started by a test and stopped with it, and a proxy
//! before it whose answers fail when a test says so.
//!
//! Promise: buckets in a temporary folder, on free loopback ports, with one user who may do everything in a
//! bucket but make one. When the server is not installed, a test fails with the line that installs it.
//! It does not know the lakehouse.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user's name.
pub const ACCESS_KEY: &str = "TOWPATHTEST";
/// The user's secret. Tests check that it is in no message.
pub const SECRET_KEY: &str = "s3cret-key-of-the-test";

const LONGEST_START: Duration = Duration::from_secs(60);

/// A running server.
pub struct S3Server {
    folder: TempDir,
    port: u16,
    filer: u16,
    process: Child,
    /// The sockets it makes for itself, whose place cannot be chosen.
    sockets: Vec<(&'static str, u16)>,
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
        let ports: Vec<u16> = (0..8).map(|_| free_port()).collect::<Result<_, _>>()?;
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
                sockets.push((name, *grpc));
                command.arg(format!("-{name}.port={port}"));
                command.arg(format!("-{name}.port.grpc={grpc}"));
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
        let port_of = |at: usize| ports.get(at).copied().unwrap_or_default();
        let server = Self {
            folder,
            port: port_of(6),
            filer: port_of(4),
            process,
            sockets,
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
fn send(port: u16, method: &str, path: &str, body: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
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

fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("cannot find a free port: {error}"))
}

/// Where `xtask/setup.sh` puts the server.
fn program() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let installed = cache.or_else(home).unwrap_or_default();
    let installed = installed.join("towpath/servers/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(installed)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("weed"))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            "this test needs SeaweedFS (a server of the S3 protocol): run `make setup`".to_owned()
        })
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Fault {
    /// It is not carried out; the answer is 500.
    Error,
    /// It is not carried out; the answer is 503 with `SlowDown`.
    SlowDown,
    /// It is carried out; the answer is 500.
    ErrorAfter,
    /// It is carried out; the connection ends without an answer.
    Lost,
    /// The answer is `RequestTimeout`, which the client does not try again; the request is carried out when
    /// the test says so.
    Late,
    /// It is not carried out; the answer is 403, which no client tries again.
    Denied,
    /// It is not carried out; the answer is 501, as of a service that does not know what is asked for.
    Unknown,
    /// It is carried out; half of the answer's body comes, and then the connection ends.
    CutBody,
    /// It is carried out; the answer comes after a while.
    Slow,
    /// The answer to a listing does not say where the next page is.
    NoToken,
    /// The answer is that to the first listing.
    FirstPage,
}

const FAULTS: [S3Fault; 4] = [
    S3Fault::Error,
    S3Fault::SlowDown,
    S3Fault::ErrorAfter,
    S3Fault::Lost,
];

/// A proxy before a server: each `n`th request has one of the faults, in turn, or requests that are chosen
/// by their first line.
#[derive(Debug)]
pub struct FaultyS3 {
    port: u16,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    server: u16,
    every: AtomicU64,
    requests: AtomicU64,
    done: Mutex<Vec<S3Fault>>,
    chosen: Mutex<Vec<Chosen>>,
    late: Mutex<Vec<(String, Vec<u8>)>>,
    /// The answer to the first listing.
    first_page: Mutex<Option<Vec<u8>>>,
    /// The request of this number is held, 0 for none.
    hold: AtomicU64,
    holds: AtomicBool,
}

/// Requests that have a fault.
#[derive(Clone, Debug)]
struct Chosen {
    method: &'static str,
    part: &'static str,
    fault: S3Fault,
    left: u64,
}

impl FaultyS3 {
    /// Before this server, without faults until `every` says so.
    ///
    /// # Errors
    /// If no port is free.
    pub fn before(server: &S3Server) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0");
        let listener = listener.map_err(|error| format!("cannot find a free port: {error}"))?;
        let address = listener.local_addr();
        let port = address
            .map_err(|error| format!("the proxy has no address: {error}"))?
            .port();
        let faults = Arc::new(Faults {
            server: server.port,
            every: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            done: Mutex::new(Vec::new()),
            chosen: Mutex::new(Vec::new()),
            late: Mutex::new(Vec::new()),
            first_page: Mutex::new(None),
            hold: AtomicU64::new(0),
            holds: AtomicBool::new(false),
        });
        let shared = Arc::clone(&faults);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let faults = Arc::clone(&shared);
                std::thread::spawn(move || faults.serve(stream));
            }
        });
        Ok(Self { port, faults })
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on each `n`th request has a fault; 0 for none.
    pub fn every(&self, n: u64) {
        self.faults.every.store(n, Ordering::SeqCst);
    }

    /// From now on, the next so many requests of this method whose path and query hold this text, or the
    /// body of a POST, have a fault.
    pub fn choose(&self, method: &'static str, part: &'static str, fault: S3Fault, times: u64) {
        let mut chosen = self
            .faults
            .chosen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        chosen.push(Chosen {
            method,
            part,
            fault,
            left: times,
        });
    }

    /// From now on nothing that was chosen has a fault.
    pub fn choose_none(&self) {
        let mut chosen = self
            .faults
            .chosen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        chosen.clear();
    }

    /// True when every request that was chosen has come.
    pub fn chosen_all(&self) -> bool {
        let chosen = self
            .faults
            .chosen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        chosen.iter().all(|chosen| chosen.left == 0)
    }

    /// Carries out the requests that were given up; the statuses of their answers.
    pub fn land(&self) -> Vec<u16> {
        let late = std::mem::take(
            &mut *self
                .faults
                .late
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let answers = late
            .iter()
            .map(|(head, body)| self.faults.forward(head, body));
        answers
            .map(|answer| {
                let answer = answer.unwrap_or_default();
                let text = String::from_utf8_lossy(&answer).into_owned();
                let status = text
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok());
                status.unwrap_or_default()
            })
            .collect()
    }

    /// Holds the request of this number from now on, counted from 1, until `let_go`.
    pub fn hold(&self, number: u64) {
        let next = self.requests() + number;
        self.faults.holds.store(false, Ordering::SeqCst);
        self.faults.hold.store(next, Ordering::SeqCst);
    }

    /// True while a request is held.
    pub fn holds(&self) -> bool {
        self.faults.holds.load(Ordering::SeqCst)
    }

    /// Lets the held request go to where it was going, if its client is still there or not.
    pub fn let_go(&self) {
        self.faults.hold.store(0, Ordering::SeqCst);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.faults.requests.load(Ordering::SeqCst)
    }

    /// The faults so far.
    pub fn done(&self) -> Vec<S3Fault> {
        let done = self.faults.done.lock();
        done.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Faults {
    fn next(&self, head: &str, body: &[u8]) -> Option<S3Fault> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.hold.load(Ordering::SeqCst) {
            self.holds.store(true, Ordering::SeqCst);
            while self.hold.load(Ordering::SeqCst) != 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.holds.store(false, Ordering::SeqCst);
        }
        if let Some(fault) = self.chosen_for(head, body) {
            return Some(fault);
        }
        let every = self.every.load(Ordering::SeqCst);
        if every == 0 || !number.is_multiple_of(every) {
            return None;
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = FAULTS.get(done.len() % FAULTS.len()).copied()?;
        done.push(fault);
        Some(fault)
    }

    fn chosen_for(&self, head: &str, body: &[u8]) -> Option<S3Fault> {
        let body = match head.starts_with("POST ") {
            true => String::from_utf8_lossy(body),
            false => "".into(),
        };
        let line = head.lines().next().unwrap_or_default();
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = chosen.iter_mut().find(|chosen| {
            chosen.left > 0
                && line.starts_with(&format!("{} ", chosen.method))
                && (line.contains(chosen.part) || body.contains(chosen.part))
        })?;
        found.left -= 1;
        Some(found.fault)
    }

    /// One request of a connection, which ends with it.
    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(client.try_clone().ok()?);
        let (head, body) = request(&mut reader)?;
        let fault = self.next(&head, &body);
        let answer = match fault {
            Some(S3Fault::Error) => failure(500, "InternalError"),
            Some(S3Fault::SlowDown) => failure(503, "SlowDown"),
            Some(S3Fault::Denied) => failure(403, "AccessDenied"),
            Some(S3Fault::Unknown) => failure(501, "NotImplemented"),
            Some(S3Fault::Late) => {
                let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                late.push((head, body));
                failure(400, "RequestTimeout")
            }
            fault => {
                let answer = self.forward(&head, &body)?;
                match fault {
                    Some(S3Fault::ErrorAfter) => failure(500, "InternalError"),
                    Some(S3Fault::Lost) => return None,
                    _ => self.changed(&head, answer, fault),
                }
            }
        };
        let mut client = client;
        client.write_all(&answer).ok()
    }

    /// An answer as a fault makes it.
    fn changed(&self, head: &str, mut answer: Vec<u8>, fault: Option<S3Fault>) -> Vec<u8> {
        if head.lines().next().unwrap_or_default().contains("list-type=2") {
            let mut first = self.first_page.lock().unwrap_or_else(PoisonError::into_inner);
            let first = first.get_or_insert_with(|| answer.clone());
            if fault == Some(S3Fault::FirstPage) {
                return first.clone();
            }
        }
        match fault {
            Some(S3Fault::Slow) => std::thread::sleep(Duration::from_millis(300)),
            Some(S3Fault::CutBody) => {
                let body = head_length(&answer);
                answer.truncate(body + (answer.len() - body) / 2);
            }
            Some(S3Fault::NoToken) => return without_token(&answer),
            _ => {}
        }
        answer
    }

    fn forward(&self, head: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).ok()?;
        server.write_all(head.as_bytes()).ok()?;
        server.write_all(body).ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).ok()?;
        Some(answer)
    }
}

/// Where the body of an answer begins.
fn head_length(answer: &[u8]) -> usize {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    end.map_or(answer.len(), |end| end + 4)
}

/// A listing that does not say where its next page is.
fn without_token(answer: &[u8]) -> Vec<u8> {
    let (head, body) = answer.split_at(head_length(answer));
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunked(body),
        false => body.to_vec(),
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let token = text
        .split_once("<NextContinuationToken>")
        .and_then(|(_, rest)| rest.split_once("</NextContinuationToken>"));
    let token = token.map(|(token, _)| token).unwrap_or_default();
    let text = text.replace(
        &format!("<NextContinuationToken>{token}</NextContinuationToken>"),
        "",
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// The bytes of a body that was sent in chunks.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let (size, rest) = body.split_at(end);
        let size = usize::from_str_radix(String::from_utf8_lossy(size).trim(), 16);
        let size = size.unwrap_or_default();
        let rest = rest.get(2..).unwrap_or_default();
        bytes.extend_from_slice(rest.get(..size).unwrap_or_default());
        match rest.get(size + 2..) {
            Some(rest) if size > 0 => body = rest,
            _ => break,
        }
    }
    bytes
}

/// The head of a request, with the wish that the connection ends, and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(bytes) = lower.strip_prefix("content-length:") {
            length = bytes.trim().parse().ok()?;
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn failure(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>an injected fault</Message></Error>");
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
