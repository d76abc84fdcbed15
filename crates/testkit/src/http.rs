//! A real HTTP server on a free loopback port, whose answers a test writes.
//!
//! Promise: each request is kept as it came, one connection each; an answer can be whole, cut off in the
//! middle, or never come. It speaks HTTP/1.1 and no TLS. It does not know what is tested. `ScriptServer` is a
//! server that an example brings.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`.
    pub method: String,
    /// With its parameters: `/v1/x?page=2`.
    pub target: String,
    /// By lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
}

impl HttpRequest {
    /// The path without parameters.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter, as it is written.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are really sent.
    sent: Option<usize>,
    is_silent: bool,
}

impl HttpAnswer {
    /// A JSON text.
    pub fn json(body: impl Into<String>) -> Self {
        Self::new(200, body.into()).header("content-type", "application/json")
    }

    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            sent: None,
            is_silent: false,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The connection closes after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.sent = Some(bytes);
        self
    }

    /// The connection closes without an answer.
    pub fn none() -> Self {
        Self {
            is_silent: true,
            ..Self::new(0, Vec::new())
        }
    }
}

type Answerer = dyn Fn(&HttpRequest) -> HttpAnswer + Send + Sync;

/// A running server; it stops when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
    is_over: Arc<AtomicBool>,
}

impl HttpServer {
    /// Starts a server.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub fn start(
        answer: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            requests: Arc::default(),
            is_over: Arc::default(),
        };
        let answer: Arc<Answerer> = Arc::new(answer);
        let (requests, is_over) = (Arc::clone(&server.requests), Arc::clone(&server.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                // A client that goes away is no matter of the server's.
                std::thread::spawn(move || serve(&stream, &*answer, &requests).ok());
            }
        });
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a client.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: &TcpStream,
    answer: &Answerer,
    requests: &Mutex<Vec<HttpRequest>>,
) -> std::io::Result<()> {
    let request = read(stream)?;
    requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let answer = answer(&request);
    if answer.is_silent {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        answer.body.len()
    ));
    let sent = answer.sent.unwrap_or(answer.body.len());
    let mut out = stream;
    out.write_all(head.as_bytes())?;
    out.write_all(answer.body.get(..sent).unwrap_or(&answer.body))?;
    out.flush()
}

fn read(stream: &TcpStream) -> std::io::Result<HttpRequest> {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut parts = line.split_whitespace().map(str::to_owned);
    let mut request = HttpRequest {
        method: parts.next().unwrap_or_default(),
        target: parts.next().unwrap_or_default(),
        ..HttpRequest::default()
    };
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = request
        .header("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    input.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(request)
}

/// A server that is a Python script with `--port`, which prints `serving URL`; it stops when it is dropped.
pub struct ScriptServer {
    process: Child,
    url: String,
}

impl ScriptServer {
    /// Starts the script on a free loopback port.
    ///
    /// # Errors
    /// When there is no `python3`, or the script does not say where it serves.
    pub fn start(script: &Path) -> std::io::Result<Self> {
        let mut process = Command::new("python3")
            .arg(script)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(said) = process.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let url = line.trim_end().strip_prefix("serving ").map(str::to_owned);
        let mut server = Self {
            process,
            url: String::new(),
        };
        server.url = url.ok_or_else(|| std::io::Error::other(format!("it said: {line}")))?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for ScriptServer {
    fn drop(&mut self) {
        // It is gone already where this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
