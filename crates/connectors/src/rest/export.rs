//! Records that the API prepares in a job: it is started, asked for its state, and gives one or more files.
//!
//! Promise: the records of all files of a job, or a failure. A job that goes on when this process ends is
//! asked for by the next read of the same request (`kept_job.rs`). A job that gives no records in the end is
//! not asked for again: instead of one of an earlier process, a new one is started. It does not parse files: `listing.rs` does, as it does
//! pages. Read next: `job_options.rs`.

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use reqwest::header::LOCATION;
use tokio::time::Instant;
use url::Url;

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::error::{Address, RestError, Result};
use super::job_options::{Job, Place, Status};
use super::kept_job::{Held, KeptJob, Running};
use super::listing::{Listing, PageOf, Place as RecordPlace, Take};
use super::path::{At, JsonPath};
use super::raw::Raw;
use super::request::Request;
use super::scope::Scope;

/// The longest pause between two questions, unless the project asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const NOT_THERE: &str = "is not there";

/// A job that is done.
struct Done {
    results: Vec<Url>,
    /// How many records there are, as the API says it.
    count: Option<u64>,
}

/// True for a failure after which the same job may still give its records: it passes by itself, or what the
/// project or this machine allows ended the read.
fn may_give_more(error: &RestError) -> bool {
    match error {
        RestError::Unreachable { .. }
        | RestError::Failed { .. }
        | RestError::LongWait { .. }
        | RestError::JobTimeout { .. }
        | RestError::TooLarge { .. }
        | RestError::NoToken { .. }
        | RestError::NoCredential { .. }
        | RestError::TokenLost { .. }
        | RestError::KeptToken { .. }
        | RestError::Egress { .. }
        | RestError::Spool { .. }
        | RestError::Memory(_) => true,
        RestError::OfEarlierJob { error, .. } => may_give_more(error),
        _ => false,
    }
}

/// The failure, and that it is of a job of an earlier run.
fn of_earlier(error: RestError, running: &Running) -> RestError {
    match error {
        // What the budget says goes on as it is.
        error @ RestError::Memory(_) => error,
        error => RestError::OfEarlierJob {
            error: Box::new(error),
            started: running.started,
        },
    }
}

/// A question about a job.
fn ask_for(url: Url, accepts: &'static str) -> Request {
    Request {
        method: Method::GET,
        url,
        body: None,
        accepts,
        may_be_promised: true,
        write: None,
    }
}

fn address(request: &Request) -> Address {
    Address::new(request.method.as_str(), &request.url)
}

/// The answer as JSON; null where there is none.
fn json<'a>(answer: &'a Answer, request: &Address) -> Result<Raw<'a>> {
    let not_json = |why: String| RestError::NotJson {
        request: request.clone(),
        why,
    };
    if answer.is_nothing || answer.body.trim_ascii().is_empty() {
        return Ok(Raw::NULL);
    }
    let text = std::str::from_utf8(&answer.body);
    let text = text.map_err(|_| not_json("it is not UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Raw::read(text).map_err(not_json)
}

fn missing(request: &Address, option: &'static str, path: &str, why: &'static str) -> RestError {
    RestError::Field {
        request: request.clone(),
        option,
        path: path.to_owned(),
        why,
    }
}

/// A single value that an answer about a job must have.
fn scalar(
    body: Raw<'_>,
    option: &'static str,
    path: &JsonPath,
    request: &Address,
) -> Result<String> {
    path.scalar(body)
        .ok_or_else(|| missing(request, option, &path.to_string(), NOT_THERE))
}

/// A job whose records are there, or that will not give them, is not asked for again.
fn ended(kept: &KeptJob, held: Option<&Held>, read: Result<()>) -> Result<()> {
    match (&read, held) {
        // The next read asks for the same job again.
        (Err(error), _) if may_give_more(error) => {}
        (_, Some(held)) => kept.remove(held),
        (_, None) => {}
    }
    read
}

impl Listing<'_> {
    /// The records of a listing that the API prepares.
    pub(super) async fn exported(
        &self,
        level: usize,
        endpoint: &Endpoint,
        (job, scope): (&Job, &Scope),
        take: &mut Take<'_>,
    ) -> Result<()> {
        let start = self.request(level, endpoint, scope)?;
        let kept = KeptJob::new(self.client, &endpoint.table, &start, job);
        let held = kept.hold()?;
        let held = held.as_ref();
        if let Some(running) = held.and_then(|held| kept.read(held)) {
            tracing::info!(
                "`{}`: the job of an earlier run is asked for",
                endpoint.table
            );
            let mut is_taken = false;
            let mut watched = |record: Raw<'_>, place: RecordPlace| {
                is_taken = true;
                take(record, place)
            };
            let read = self
                .finished(level, endpoint, (job, &running), &mut watched)
                .await;
            match read {
                // Its files are there for a while only, or it is of no use: a new one may give the records.
                Err(error) if !is_taken && !may_give_more(&error) => {
                    tracing::warn!(
                        "`{}`: the job of an earlier run is given up, and a new one is started: {error}",
                        endpoint.table
                    );
                    if let Some(held) = held {
                        kept.remove(held);
                    }
                }
                read => {
                    return ended(
                        &kept,
                        held,
                        read.map_err(|error| of_earlier(error, &running)),
                    );
                }
            }
        }
        let running = self.start(&endpoint.table, job, &start).await?;
        // Without the place another read has it: this job is of this read only.
        if let Some(held) = held {
            kept.keep(held, &running)?;
        }
        let read = self.finished(level, endpoint, (job, &running), take).await;
        ended(&kept, held, read)
    }

    /// The records of a job that was started.
    async fn finished(
        &self,
        level: usize,
        endpoint: &Endpoint,
        (job, running): (&Job, &Running),
        take: &mut Take<'_>,
    ) -> Result<()> {
        let done = self.done(&endpoint.table, job, running).await?;
        self.files(level, endpoint, (running, &done), take).await
    }

    /// Starts a job.
    async fn start(&self, table: &str, job: &Job, start: &Request) -> Result<Running> {
        let request = address(start);
        let answer = self.client.ask(start).await?;
        let body = json(&answer, &request)?;
        let id = match &job.id {
            Some(path) => Some(scalar(body, "job.id", path, &request)?),
            None => None,
        };
        if let Some(place) = &job.result {
            self.place(table, place, id.as_deref())?;
        }
        let at = |text: &str, option, path: &str| {
            answer
                .url
                .join(text)
                .map_err(|_| missing(&request, option, path, "is not an address"))
        };
        let status = match &job.status {
            Status::At(path) => {
                let text = scalar(body, "job.status_at", path, &request)?;
                at(&text, "job.status_at", &path.to_string())?
            }
            Status::Path(place) => self.place(table, place, id.as_deref())?,
            Status::Location => {
                let header = answer.headers.get(LOCATION);
                let text = header.and_then(|header| header.to_str().ok());
                let text = text
                    .ok_or_else(|| missing(&request, "job", "the header `Location`", NOT_THERE))?;
                at(text, "job", "the header `Location`")?
            }
        };
        Ok(Running {
            id,
            status,
            begun: answer.server_time,
            started: Utc::now(),
        })
    }

    /// An address below the connection's `url`.
    fn place(&self, table: &str, place: &Place, id: Option<&str>) -> Result<Url> {
        let path = place.fill(id.unwrap_or_default());
        let path = path.ok_or_else(|| RestError::JobId {
            table: table.to_owned(),
        })?;
        self.base.join(&path).map_err(|_| RestError::Option {
            place: format!("connection `{}`", self.client.connection),
            option: "job".to_owned(),
            why: format!("makes `{path}`, which is not a valid path"),
        })
    }

    /// Asks for a job's state until it is done.
    async fn done(&self, table: &str, job: &Job, running: &Running) -> Result<Done> {
        let question = ask_for(running.status.clone(), "application/json");
        let request = address(&question);
        let begin = Instant::now();
        let mut pause = job.poll;
        loop {
            let answer = self.client.ask(&question).await?;
            let body = json(&answer, &request)?;
            let state = scalar(body, "job.state", &job.state, &request)?;
            if job.done.contains(&state) {
                return self.results((table, job), running, (body, &answer), &request);
            }
            if job.failed.contains(&state) {
                return Err(RestError::JobFailed {
                    request,
                    state,
                    answer: self.client.excerpt(&answer.body),
                });
            }
            let left = job.timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(RestError::JobTimeout {
                    request,
                    state,
                    waited: begin.elapsed(),
                });
            }
            tracing::debug!(%state, wait_ms = pause.as_millis(), "a job is not done yet");
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause.saturating_mul(3) / 2).min(LONGEST_PAUSE.max(job.poll));
        }
    }

    /// Where the files of a job are that is done.
    fn results(
        &self,
        (table, job): (&str, &Job),
        running: &Running,
        (body, answer): (Raw<'_>, &Answer),
        request: &Address,
    ) -> Result<Done> {
        let count = match &job.count {
            None => None,
            Some(path) => {
                let text = scalar(body, "job.count_at", path, request)?;
                let number = text.parse().map_err(|_| {
                    let path = path.to_string();
                    missing(request, "job.count_at", &path, "is not a whole number")
                })?;
                Some(number)
            }
        };
        let Some(path) = &job.result_at else {
            let place = job.result.iter();
            let results = place.map(|place| self.place(table, place, running.id.as_deref()));
            return Ok(Done {
                results: results.collect::<Result<_>>()?,
                count,
            });
        };
        let wrong = |why| missing(request, "job.result_at", &path.to_string(), why);
        let found = match path.at(body) {
            At::Absent | At::Null => return Err(wrong(NOT_THERE)),
            At::Value(found) => found,
        };
        let texts: Vec<Option<String>> = match found.is_array() {
            true => found.items().map(Raw::scalar).collect(),
            false => vec![found.scalar()],
        };
        let mut results = Vec::new();
        for text in texts {
            let text = text.ok_or_else(|| wrong("is not a URL or a list of URLs"))?;
            let url = answer.url.join(&text);
            results.push(url.map_err(|_| wrong("is not a URL or a list of URLs"))?);
        }
        let mut seen = HashSet::new();
        match results.iter().all(|url| seen.insert(url.as_str())) {
            true => Ok(Done { results, count }),
            false => Err(wrong("names one file twice")),
        }
    }

    /// The records of all files of a job.
    async fn files(
        &self,
        level: usize,
        endpoint: &Endpoint,
        (running, done): (&Running, &Done),
        take: &mut Take<'_>,
    ) -> Result<()> {
        let mut last = None;
        let mut taken = 0;
        for (number, url) in done.results.iter().enumerate() {
            self.kept.reserve(self.client).await?;
            let request = ask_for(url.clone(), endpoint.form.accepts());
            let request = Request {
                may_be_promised: false,
                write: None,
                ..request
            };
            let place = PageOf {
                is_first_of_listing: number == 0,
                begun: running.begun,
            };
            taken += self.file(level, endpoint, (&request, place), take).await?;
            last = Some(address(&request));
        }
        match done.count {
            Some(count) if count != taken => Err(RestError::Total {
                request: last.unwrap_or_else(|| Address::new("GET", &running.status)),
                path: "job.count_at".to_owned(),
                found: taken,
                total: count.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
