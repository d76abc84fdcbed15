//! A job of the API that was started and not read yet, kept for the next process.
//!
//! Promise: a file that only this user can read, replaced as a whole and on disk before the job is waited
//! for; it counts only for the very same request with the same credentials, headers and job options, and for
//! a day. What cannot be read counts as no job: it is started anew.
//! One read at a time has the place; others neither see nor keep a job. Read next: `export.rs`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use url::Url;

use super::client::Client;
use super::error::{RestError, Result};
use super::job_options::Job;
use super::kept_file::{digest, make_folder, private};
use super::request::{Body, Request};

const VERSION: u64 = 1;

/// What an older job prepared is not what a run wants now.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// Files of other requests are removed when they are so old.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A job that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) id: Option<String>,
    /// Where its state is asked for.
    pub(super) status: Url,
    /// The server's time when it was started.
    pub(super) begun: Option<DateTime<Utc>>,
    /// This machine's time then.
    pub(super) started: DateTime<Utc>,
}

/// Another read of the same request starts a job of its own until it is dropped.
pub(super) struct Held {
    _lock: File,
}

/// The place of the job of a request.
pub(super) struct KeptJob {
    folder: PathBuf,
    name: String,
}

impl KeptJob {
    /// The place for a request of a table. An environment with other credentials has another place:
    /// what it may see is something else.
    pub(super) fn new(client: &Client, table: &str, start: &Request, job: &Job) -> Self {
        let (of, job) = (client.connection.as_str(), job.identity());
        let of = [of, table, client.asker.as_str(), job.as_str()];
        Self::of(&client.project, &of, start)
    }

    fn of(project: &Path, of: &[&str], start: &Request) -> Self {
        let body = start.body.as_ref().map(Body::text).unwrap_or_default();
        let request = [start.method.as_str(), start.url.as_str(), body.as_str()];
        Self {
            folder: project.join(".towpath").join("rest-jobs"),
            name: digest(&[of, &request].concat()),
        }
    }

    /// Takes the place; none while another read has it.
    pub(super) fn hold(&self) -> Result<Option<Held>> {
        self.lock().map_err(|source| self.unusable(source))
    }

    fn lock(&self) -> std::io::Result<Option<Held>> {
        make_folder(&self.folder)?;
        let lock = private(&self.folder.join(format!("{}.lock", self.name)), false)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        lock.set_modified(SystemTime::now())?;
        self.sweep()?;
        Ok(Some(Held { _lock: lock }))
    }

    /// Removes what nobody asks for any more.
    fn sweep(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another process may sweep too.
            let Ok(modified) = entry.metadata().and_then(|of| of.modified()) else {
                continue;
            };
            if modified.elapsed().is_ok_and(|age| age >= OLD) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn unusable(&self, source: std::io::Error) -> RestError {
        RestError::KeptJob {
            folder: self.folder.display().to_string(),
            source,
        }
    }

    /// The job that was started and not read.
    pub(super) fn read(&self, _: &Held) -> Option<Running> {
        let text = fs::read(self.path()).ok()?;
        let kept: Value = serde_json::from_slice(&text).ok()?;
        if kept.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return None;
        }
        let text = |key: &str| kept.get(key).and_then(Value::as_str);
        let time = |key: &str| {
            let time = DateTime::parse_from_rfc3339(text(key)?).ok()?;
            Some(time.to_utc())
        };
        let running = Running {
            id: text("id").map(str::to_owned),
            status: Url::parse(text("status")?).ok()?,
            begun: time("begun"),
            started: time("started")?,
        };
        let age = Utc::now() - running.started;
        (age < LONGEST).then_some(running)
    }

    /// Keeps a job; it is on disk when this returns.
    pub(super) fn keep(&self, _: &Held, job: &Running) -> Result<()> {
        self.write(job).map_err(|source| self.unusable(source))
    }

    fn write(&self, job: &Running) -> std::io::Result<()> {
        let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let kept = json!({
            "version": VERSION,
            "id": job.id,
            "status": job.status.as_str(),
            "begun": job.begun.map(shown),
            "started": shown(job.started),
        });
        let new = self.folder.join(format!("{}.new", self.name));
        let mut file = private(&new, true)?;
        file.write_all(kept.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.folder)?.sync_all()
    }

    /// The job is not asked for again.
    pub(super) fn remove(&self, _: &Held) {
        // One that stays is asked for once more, and the API decides.
        let _ = fs::remove_file(self.path());
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use reqwest::Method;

    use super::*;

    #[test]
    fn a_job_counts_for_its_request_and_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let request = |url: &str| Request {
            method: Method::POST,
            url: url.parse().unwrap(),
            body: Some(Body::Json("{}".to_owned())),
            accepts: "application/json",
            may_be_promised: true,
            write: None,
        };
        let place = |url: &str| KeptJob::of(folder.path(), &["api", "x"], &request(url));
        let now = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
        let job = |started| Running {
            id: Some("7".to_owned()),
            status: "https://a.example/jobs/7".parse().unwrap(),
            begun: None,
            started,
        };
        let one = place("https://a.example/x");
        let held = one.hold().unwrap().unwrap();
        assert_eq!(one.read(&held), None);
        one.keep(&held, &job(now)).unwrap();
        assert_eq!(one.read(&held), Some(job(now)));
        assert!(one.hold().unwrap().is_none());
        let other = place("https://a.example/x?since=1");
        assert_eq!(other.read(&other.hold().unwrap().unwrap()), None);
        one.keep(&held, &job(now - LONGEST)).unwrap();
        assert_eq!(one.read(&held), None);
        std::fs::write(one.path(), "{").unwrap();
        assert_eq!(one.read(&held), None);
        one.keep(&held, &job(now)).unwrap();
        one.remove(&held);
        assert_eq!(one.read(&held), None);
        drop(held);
        let file = private(&one.folder.join("other.json"), true).unwrap();
        file.set_modified(SystemTime::now() - OLD).unwrap();
        private(&one.folder.join("new.json"), true).unwrap();
        assert!(one.hold().unwrap().is_some());
        assert!(!one.folder.join("other.json").exists());
        assert!(one.folder.join("new.json").exists());
    }
}
