//! An API of contacts that takes rows, in the ways in which APIs do, and fails in the ways in which they do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};

/// What the next request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Refused with this status before anything is done.
    Status(u16),
    /// Done, and the answer is lost.
    AnswerLost,
}

/// Both ends of what a request that is held says and waits for.
pub(crate) struct Gate {
    pub(crate) reached: Receiver<()>,
    pub(crate) go_on: Sender<()>,
}

/// The state of the API.
#[derive(Default)]
pub(crate) struct State {
    /// The contacts by their ids.
    pub(crate) contacts: BTreeMap<String, Value>,
    /// How often a change was applied to a contact: `POST 1`.
    pub(crate) applied: Vec<String>,
    /// The keys of requests that were applied, with their bodies and answers.
    pub(crate) keys: BTreeMap<String, (String, u16, String)>,
    pub(crate) mishaps: VecDeque<Mishap>,
    /// Contacts whose name is this one are refused with 422.
    pub(crate) refuses: String,
    /// Answers of lists have a status for each contact.
    pub(crate) by_row: bool,
    gate: Option<(Sender<()>, Receiver<()>)>,
    answers_before_gate: Option<usize>,
}

/// The API, running.
pub(crate) struct Crm {
    pub(crate) server: HttpServer,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Crm {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            refuses: "bad".to_owned(),
            ..State::default()
        }));
        let own = Arc::clone(&state);
        let server = HttpServer::start(move |request| own.lock().unwrap().answer(request)).unwrap();
        Self { server, state }
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Holds the request behind these many others.
    pub(crate) fn hold(&self, behind: usize) -> Gate {
        let ((said, reached), (go_on, wait)) = (channel(), channel());
        let mut state = self.state();
        state.gate = Some((said, wait));
        state.answers_before_gate = Some(behind);
        Gate { reached, go_on }
    }

    /// The names of the contacts by their ids: `1=a 2=b`.
    pub(crate) fn names(&self) -> String {
        let state = self.state();
        let names = state
            .contacts
            .iter()
            .map(|(id, contact)| format!("{id}={}", contact["name"].as_str().unwrap_or("null")));
        names.collect::<Vec<_>>().join(" ")
    }

    /// What was applied since it was last asked.
    pub(crate) fn applied(&self) -> Vec<String> {
        let mut applied = std::mem::take(&mut self.state().applied);
        applied.sort();
        applied
    }
}

impl State {
    fn answer(&mut self, request: &HttpRequest) -> HttpAnswer {
        if request.header("authorization") != Some("Bearer tok-4711-secret") {
            return HttpAnswer::new(401, "who are you?");
        }
        match &mut self.answers_before_gate {
            Some(0) => {
                self.answers_before_gate = None;
                let (said, wait) = self.gate.take().unwrap();
                said.send(()).unwrap();
                wait.recv().unwrap();
            }
            Some(others) => *others -= 1,
            None => {}
        }
        let mishap = self.mishaps.pop_front();
        if let Some(Mishap::Status(status)) = mishap {
            return HttpAnswer::new(status, "not now").header("retry-after", "0");
        }
        let key = request.header("idempotency-key").map(str::to_owned);
        if let Some((body, status, said)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            assert_eq!(*body, request.body, "a key with another body");
            return HttpAnswer::new(*status, said.clone());
        }
        let (status, said) = self.apply(request);
        if let Some(key) = key {
            let known = (request.body.clone(), status, said.clone());
            self.keys.insert(key, known);
        }
        match mishap {
            Some(Mishap::AnswerLost) => HttpAnswer::none(),
            _ => HttpAnswer::new(status, said),
        }
    }

    fn apply(&mut self, request: &HttpRequest) -> (u16, String) {
        let path = request.path().strip_prefix("/v1/contacts").unwrap();
        let id = path.strip_prefix('/').map(str::to_owned);
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let rows = match body.get("contacts").unwrap_or(&body) {
            Value::Array(rows) => rows.clone(),
            row => vec![row.clone()],
        };
        let is_bad = |row: &Value| row["name"] == self.refuses.as_str();
        if self.by_row && body.get("contacts").is_some() {
            let statuses: Vec<Value> = rows
                .iter()
                .map(|row| match is_bad(row) {
                    true => serde_json::json!({ "status": 422, "error": "bad name" }),
                    false => serde_json::json!({ "status": 201 }),
                })
                .collect();
            let good = rows.iter().filter(|row| !is_bad(row)).cloned();
            let good: Vec<Value> = good.collect();
            self.put(&request.method, &good);
            return (207, serde_json::json!({ "results": statuses }).to_string());
        }
        if rows.iter().any(is_bad) {
            return (422, format!("bad name; you sent tok-4711-secret in {path}"));
        }
        match (request.method.as_str(), id) {
            ("DELETE", Some(id)) => match self.contacts.remove(&id) {
                Some(_) => {
                    self.applied.push(format!("DELETE {id}"));
                    (204, String::new())
                }
                None => (404, "no such contact".to_owned()),
            },
            ("PATCH", Some(id)) if !self.contacts.contains_key(&id) => {
                (404, "no such contact".to_owned())
            }
            (method, _) => {
                self.put(method, &rows);
                (201, "{}".to_owned())
            }
        }
    }

    fn put(&mut self, method: &str, rows: &[Value]) {
        for row in rows {
            let id = match &row["id"] {
                Value::String(id) => id.clone(),
                id => id.to_string(),
            };
            self.applied.push(format!("{method} {id}"));
            self.contacts.insert(id, row.clone());
        }
    }
}
