//! A proxy before a server of the S3 protocol, whose answers fail when a test says so.
//!
//! Promise: a request that is carried out is carried out once by it; what a client sees of that is the fault. It
//! knows no object. Read next: `../s3.rs`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::S3Server;

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
        if head
            .lines()
            .next()
            .unwrap_or_default()
            .contains("list-type=2")
        {
            let mut first = self
                .first_page
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
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
