//! The option `job` of a table, read once.
//!
//! Promise: what cannot be meant is refused with the key that is wrong. It asks nobody; what the keys mean
//! is in `export.rs`. Read next: `endpoint.rs`, which reads all options of a table.

use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use towpath_vocab::OptionKind;

use super::kept_file::digest_of;
use super::option_specs::{form, key, required};
use super::path::JsonPath;
use super::template::{SEGMENT, has_dot_segment};

/// A path with `{job}` in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(String);

/// Where a job's state is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    /// At this path of the API.
    Path(Place),
    /// At a URL in the answer to the start.
    At(JsonPath),
    /// At the URL of the header `Location`.
    Location,
}

/// How a job is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Where its id is in the answer to the start.
    pub(super) id: Option<JsonPath>,
    pub(super) status: Status,
    pub(super) state: JsonPath,
    pub(super) done: Vec<String>,
    pub(super) failed: Vec<String>,
    /// Where its file is.
    pub(super) result: Option<Place>,
    /// Where the URLs of its files are in the answer about its state.
    pub(super) result_at: Option<JsonPath>,
    /// Where the number of its records is there.
    pub(super) count: Option<JsonPath>,
    pub(super) poll: Duration,
    pub(super) timeout: Duration,
}

const SLOT: &str = "{job}";

impl Place {
    fn read(text: &str) -> Result<Self, String> {
        let without = text.replace(SLOT, "");
        if without.contains(['{', '}']) || without == text {
            return Err(format!(
                "has `{text}`, which needs `{SLOT}` and no other placeholder"
            ));
        }
        match has_dot_segment(text) {
            true => Err(format!("has `{text}`, with a `.` or `..` between slashes")),
            false => Ok(Self(text.trim_start_matches('/').to_owned())),
        }
    }

    /// The path of a job; none where its id would lead to another place.
    pub(super) fn fill(&self, id: &str) -> Option<String> {
        let id = utf8_percent_encode(id, SEGMENT).to_string();
        let path = self.0.replace(SLOT, &id);
        (!has_dot_segment(&path)).then_some(path)
    }
}

impl Job {
    /// A name for what leads to a job and its files: with other options a job that is kept is another one.
    /// How its state is read and waited for may change while it goes on.
    pub(super) fn identity(&self) -> String {
        digest_of(&(&self.id, &self.status, &self.result, &self.result_at))
    }
}

/// The option as data.
pub(super) fn job() -> OptionKind {
    use OptionKind::{Integer, Text, TextList};
    let asked = vec![
        key(
            "id",
            Text,
            "The path of the job's id in the answer to the start, such as `job.id`.",
        ),
        key(
            "status",
            Text,
            "Where its state is asked for, behind the connection's `url`: `exports/{job}`. Default: the URL of the header `Location`.",
        ),
        key(
            "status_at",
            Text,
            "The path of the URL of its state in the answer to the start.",
        ),
        required(
            "state",
            Text,
            "The path of its state in the answer about it, such as `status`.",
        ),
        required(
            "done",
            TextList,
            "The states in which its files are there: `[completed]`.",
        ),
        key(
            "failed",
            TextList,
            "The states in which it has failed: `[failed, cancelled]`. Any other one means that it goes on.",
        ),
        key(
            "result",
            Text,
            "Where its file is, behind the connection's `url`: `exports/{job}/file`.",
        ),
        key(
            "result_at",
            Text,
            "The path of the URL of its file, or of a list of URLs, in the answer about its state.",
        ),
        key(
            "count_at",
            Text,
            "The path of the number of its records there; another number of records is then a failure.",
        ),
        key(
            "poll_s",
            Integer,
            "Seconds until its state is asked for again, at most `timeout_s`; default 5, growing to 60.",
        ),
        key(
            "timeout_s",
            Integer,
            "How long a run waits for it, in seconds; default 3600. The next run asks for the same job.",
        ),
    ];
    OptionKind::Variants(vec![form(
        "poll",
        "The request of the table starts a job, whose state is asked for until its files are there.",
        asked,
    )])
}

struct Keys<'v>(&'v Value);

impl Keys<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    fn path(&self, key: &str) -> Option<JsonPath> {
        self.text(key).map(JsonPath::new)
    }

    fn place(&self, key: &str) -> Result<Option<Place>, String> {
        self.text(key).map(Place::read).transpose()
    }

    fn words(&self, key: &str) -> Vec<String> {
        let value = self.0.get(key);
        let one = value.and_then(Value::as_str);
        let list = value.and_then(Value::as_array).into_iter().flatten();
        let all = list.filter_map(Value::as_str).chain(one);
        all.map(str::to_owned).collect()
    }

    fn seconds(&self, key: &str, default: u64) -> Result<Duration, String> {
        let seconds = match self.0.get(key).filter(|value| !value.is_null()) {
            None => Some(default),
            Some(value) => value.as_u64(),
        };
        let seconds = seconds.filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or_else(|| {
            let value = self.0.get(key).cloned().unwrap_or_default();
            format!("has `{key}: {value}`, which is not a number of seconds from 1")
        })?;
        Ok(Duration::from_secs(seconds))
    }

    fn status(&self) -> Result<Status, String> {
        match (self.place("status")?, self.path("status_at")) {
            (Some(_), Some(_)) => Err("has `status` and `status_at`".to_owned()),
            (Some(place), None) => Ok(Status::Path(place)),
            (None, Some(path)) => Ok(Status::At(path)),
            (None, None) => Ok(Status::Location),
        }
    }
}

/// Reads `job` of a table; the error is what is wrong with it.
pub(super) fn read(value: Option<&Value>) -> Result<Option<Job>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let keys = Keys(value);
    match keys.text("type") {
        Some("poll") => {}
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("has the type `{other}`, which is not known"));
        }
    }
    let timeout = keys.seconds("timeout_s", 3_600)?;
    let poll = keys.seconds("poll_s", timeout.as_secs().min(5))?;
    if poll > timeout {
        let (poll, timeout) = (poll.as_secs(), timeout.as_secs());
        return Err(format!(
            "has `poll_s: {poll}`, and waits for {timeout} s only: `timeout_s`"
        ));
    }
    let job = Job {
        id: keys.path("id"),
        status: keys.status()?,
        state: keys.path("state").ok_or("has no `state`")?,
        done: keys.words("done"),
        failed: keys.words("failed"),
        result: keys.place("result")?,
        result_at: keys.path("result_at"),
        count: keys.path("count_at"),
        poll,
        timeout,
    };
    if job.done.is_empty() {
        return Err("has no `done`".to_owned());
    }
    if let Some(word) = job.failed.iter().find(|word| job.done.contains(word)) {
        return Err(format!("has `{word}` in `done` and in `failed`"));
    }
    if job.result.is_some() == job.result_at.is_some() {
        return Err("needs one of `result` and `result_at`".to_owned());
    }
    let needs_id = job.result.is_some() || matches!(job.status, Status::Path(_));
    match needs_id == job.id.is_some() {
        true => Ok(Some(job)),
        false if needs_id => Err(format!("has `{SLOT}` in a path, and no `id`")),
        false => Err(format!("has `id`, and no path with `{SLOT}`")),
    }
}
