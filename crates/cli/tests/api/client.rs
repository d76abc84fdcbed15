//! A server on a free port, and requests as a client sends them: by hand, so that any header can be wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::test_project::TestProject;

/// How long anything may take.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A server with its API; it ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// Where it says that the UI is.
    pub(crate) link: String,
    errors: std::path::PathBuf,
    lines: std::sync::Arc<std::sync::Mutex<String>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a failure, which must be a problem.
    pub(crate) fn code(&self) -> String {
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        body["code"].as_str().unwrap().to_owned()
    }

    /// `often#3`.
    pub(crate) fn run(&self) -> String {
        name(&self.json()["name"])
    }
}

/// `often#3`.
pub(crate) fn name(run: &Value) -> String {
    format!("{}#{}", run["pipeline"].as_str().unwrap(), run["number"])
}

impl Server {
    pub(crate) fn start(desk: &TestProject) -> Self {
        Self::with(desk, &[])
    }

    pub(crate) fn with(desk: &TestProject, arguments: &[&str]) -> Self {
        Self::spawn(desk, &[&["--login-link"][..], arguments].concat())
    }

    /// One that prints no link.
    pub(crate) fn without_link(desk: &TestProject) -> Self {
        Self::spawn(desk, &[])
    }

    fn spawn(desk: &TestProject, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(desk.path("."))
            .envs(desk.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(desk.path("errors.txt")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("it listens").unwrap();
            if let Some(at) = line.strip_prefix("API: http://127.0.0.1:") {
                break at.strip_suffix("/api/v1").unwrap().parse().unwrap();
            }
        };
        let line = lines.next().expect("it says where the UI is").unwrap();
        let link = line.strip_prefix("Open: ").unwrap().to_owned();
        let said = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let into = std::sync::Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push_str(&line);
            }
        });
        Self {
            child,
            port,
            link,
            errors: desk.path("errors.txt"),
            lines: said,
        }
    }

    /// Waits until it has printed this.
    pub(crate) fn said(&self, text: &str) {
        let began = Instant::now();
        loop {
            let errors = std::fs::read_to_string(&self.errors).unwrap();
            if errors.contains(text) || self.lines.lock().unwrap().contains(text) {
                return;
            }
            assert!(began.elapsed() < LONG, "it does not say `{text}`: {errors}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Sends a request with these headers only, and `Connection: close`.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A server that refuses a body need not read it.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").expect("an answer");
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            text: text.to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn get(&self, token: &str, path: &str) -> Answer {
        let (host, bearer) = (self.host(), format!("Bearer {token}"));
        let headers = [("Host", host.as_str()), ("Authorization", &bearer)];
        self.send("GET", &format!("/api/v1{path}"), &headers, "")
    }

    pub(crate) fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        self.post_with(token, path, &[], body)
    }

    pub(crate) fn post_with(
        &self,
        token: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (host, bearer) = (self.host(), format!("Bearer {token}"));
        let mut headers = vec![
            ("Host", host.as_str()),
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
        ];
        headers.extend(more);
        self.send("POST", &format!("/api/v1{path}"), &headers, body)
    }

    /// The state of a run when it has ended.
    pub(crate) fn end_of(&self, token: &str, run: &str) -> String {
        let began = Instant::now();
        loop {
            let found = self.get(token, &format!("/runs/{}", run.replace('#', "%23")));
            assert_eq!(found.status, 200, "{found:?}");
            let state = found.json()["state"].as_str().unwrap().to_owned();
            if state != "running" {
                return state;
            }
            assert!(began.elapsed() < LONG, "{found:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Follows the events.
    pub(crate) fn follow(&self, token: &str, last: Option<&str>) -> Events {
        self.follow_with(&format!("Authorization: Bearer {token}"), last)
    }

    /// Follows the events, known by a header.
    pub(crate) fn follow_with(&self, header: &str, last: Option<&str>) -> Events {
        let mut stream = self.connect();
        let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n{header}\r\n{last}\r\n",
            self.host()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        assert!(status.contains(" 200 "), "{status}");
        Events { lines }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Server-sent events as they come; the lines of the transfer encoding are passed over.
pub(crate) struct Events {
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Events {
    /// The next event: its id, and its data. Nothing when the stream ends.
    pub(crate) fn next(&mut self) -> Option<(String, Value)> {
        let (mut id, began) = (String::new(), Instant::now());
        loop {
            // A stream that goes on has a line from time to time.
            assert!(began.elapsed() < LONG, "neither an event nor the end");
            let line = self.lines.next()?.ok()?;
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.to_owned();
            }
            if let Some(text) = line.strip_prefix("data: ") {
                return Some((id, serde_json::from_str(text).unwrap()));
            }
        }
    }
}

/// A new token.
pub(crate) fn token(desk: &TestProject, name: &str, scope: &str) -> String {
    let output = desk.towpath(".", &["token", "create", name, "--scope", scope]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
