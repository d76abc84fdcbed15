//! Answers of an API that were recorded, for tests of a project without the API.
//!
//! Promise: an answer is recorded whole, without the secrets of the connection and those that servers gave
//! it; of its headers only those are kept that a read looks at. Where answers are replayed, nothing is
//! sent, and no secret is needed; a request that was not recorded is a failure. A request that a read
//! makes several times has an answer each time. It does not know what an answer means. Read next:
//! `client.rs`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use towpath_ports::Redaction;
use url::Url;

use super::answer::Answer;
use super::error::{Address, RestError, Result};
use super::kept_file::digest;
use super::request::{Body, Request};

const VERSION: u64 = 1;

/// Headers that a read looks at.
const KEPT: [&str; 4] = ["content-type", "date", "link", "location"];

/// What happens with answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Record,
    Replay,
}

/// The option of a connection: a folder and what happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) folder: PathBuf,
    pub(super) mode: Mode,
}

/// The recorded answers of one read.
pub(super) struct Cassette {
    folder: PathBuf,
    mode: Mode,
    /// How often each request was made.
    made: Mutex<HashMap<String, u64>>,
}

impl Recording {
    /// Reads the options `cassette` and `cassette_mode`; the error is which one is wrong, and why.
    pub(super) fn read(
        folder: Option<&str>,
        mode: Option<&str>,
    ) -> std::result::Result<Option<Self>, (&'static str, String)> {
        let mode = match (mode, folder) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                let why = "needs `cassette_mode`: off, record or replay".to_owned();
                return Err(("cassette", why));
            }
            (Some("off"), _) => return Ok(None),
            (Some("record"), _) => Mode::Record,
            (Some("replay"), _) => Mode::Replay,
            (Some(other), _) => {
                let why = format!("is `{other}`, but must be off, record or replay");
                return Err(("cassette_mode", why));
            }
        };
        let folder = folder.filter(|folder| !folder.is_empty());
        let folder = folder.ok_or(("cassette_mode", "needs the folder `cassette`".to_owned()))?;
        Ok(Some(Self {
            folder: folder.into(),
            mode,
        }))
    }
}

fn wrong(request: &Request, folder: &Path, why: impl Into<String>) -> RestError {
    RestError::Cassette {
        request: Address::new(request.method.as_str(), &request.url),
        folder: folder.display().to_string(),
        why: why.into(),
    }
}

fn text_of(redaction: &Redaction, text: &str) -> String {
    String::from_utf8_lossy(&redaction.apply(text.as_bytes())).into_owned()
}

/// A body as JSON keeps it.
fn kept_body(body: &[u8], redaction: &Redaction) -> (&'static str, String) {
    match std::str::from_utf8(body) {
        Ok(text) => ("text", text_of(redaction, text)),
        Err(_) => ("base64", BASE64_STANDARD.encode(redaction.apply(body))),
    }
}

impl Cassette {
    /// The cassette of one read, in a folder of the project.
    pub(super) fn new(recording: &Recording, project: &Path) -> Self {
        Self {
            folder: project.join(&recording.folder),
            mode: recording.mode,
            made: Mutex::default(),
        }
    }

    /// True where nothing is sent.
    pub(super) fn is_replayed(&self) -> bool {
        self.mode == Mode::Replay
    }

    /// The file of a request, by what it asks and how often it was asked.
    fn path(&self, shown: &str) -> PathBuf {
        let name = digest(&[shown]).chars().take(24).collect::<String>();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let number = made.entry(name.clone()).or_default();
        *number += 1;
        self.folder.join(format!("{name}-{number}.json"))
    }

    /// Keeps an answer, or a refusal.
    pub(super) fn record(
        &self,
        request: &Request,
        answer: &Result<Answer>,
        redaction: &Redaction,
    ) -> Result<()> {
        let (status, headers, url, (form, body)) = match answer {
            Ok(answer) => (
                if answer.is_nothing { 204 } else { 200 },
                kept_headers(&answer.headers, redaction),
                answer.url.as_str(),
                kept_body(&answer.body, redaction),
            ),
            Err(RestError::Refused { status, answer, .. }) => {
                let body = kept_body(answer.as_bytes(), redaction);
                (
                    *status,
                    Value::Array(Vec::new()),
                    request.url.as_str(),
                    body,
                )
            }
            // It may pass: the next recording has an answer.
            Err(_) => return Ok(()),
        };
        let shown = text_of(redaction, &shown(request));
        let path = self.path(&shown);
        let kept = json!({
            "version": VERSION, "request": shown, "status": status,
            "url": text_of(redaction, url), "headers": headers, form: body,
        });
        let written = fs::create_dir_all(&self.folder).and_then(|()| {
            let new = path.with_extension("new");
            fs::write(&new, format!("{kept:#}\n"))?;
            fs::rename(&new, &path)
        });
        written.map_err(|error| {
            wrong(
                request,
                &self.folder,
                format!("cannot be recorded: {error}"),
            )
        })
    }

    /// The recorded answer of a request.
    pub(super) fn replay(&self, request: &Request) -> Result<Answer> {
        let path = self.path(&shown(request));
        let text = fs::read(&path)
            .map_err(|_| wrong(request, &self.folder, "is not among the recorded answers"))?;
        let unreadable = || {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            wrong(
                request,
                &self.folder,
                format!("has an answer that cannot be read: {name}"),
            )
        };
        let kept: Value = serde_json::from_slice(&text).map_err(|_| unreadable())?;
        if kept.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(unreadable());
        }
        let text = |key: &str| kept.get(key).and_then(Value::as_str);
        let status = kept.get("status").and_then(Value::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok());
        let body = match (text("text"), text("base64")) {
            (Some(text), None) => Some(text.as_bytes().to_vec()),
            (None, Some(text)) => BASE64_STANDARD.decode(text).ok(),
            _ => None,
        };
        let url = text("url").and_then(|url| Url::parse(url).ok());
        let (Some(status), Some(body), Some(url)) = (status, body, url) else {
            return Err(unreadable());
        };
        match status {
            200 | 204 => Ok(Answer::recorded(replayed_headers(&kept), body, url, status)),
            status => Err(RestError::Refused {
                request: Address::new(request.method.as_str(), &request.url),
                status,
                answer: String::from_utf8_lossy(&body).into_owned(),
                end: None,
            }),
        }
    }
}

/// What a request asks, as text.
fn shown(request: &Request) -> String {
    let body = request.body.as_ref().map(Body::text);
    let body = body.map_or_else(String::new, |body| format!("\n{body}"));
    format!("{} {}{body}", request.method, request.url)
}

fn kept_headers(headers: &HeaderMap, redaction: &Redaction) -> Value {
    let kept = KEPT.iter().flat_map(|name| {
        let values = headers.get_all(*name).iter();
        values
            .filter_map(move |value| Some(json!([name, text_of(redaction, value.to_str().ok()?)])))
    });
    kept.collect()
}

fn replayed_headers(kept: &Value) -> HeaderMap {
    let pairs = kept.get("headers").and_then(Value::as_array);
    let pairs = pairs.into_iter().flatten().filter_map(|pair| {
        let name = HeaderName::from_bytes(pair.get(0)?.as_str()?.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(pair.get(1)?.as_str()?).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}
