//! Records that the API prepares in a job: it is started, asked for its state, and gives one or more files.
//!
//! Promise: the records of all files of a job, or a failure. A job that goes on when this process ends is
//! asked for by the next read of the same request (`kept_job.rs`), unless the API does not know it any
//! more. A job that failed is not asked for again. It does not parse files: `listing.rs` does, as it does
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
use super::kept_job::{KeptJob, Running};
use super::listing::{Listing, PageOf, Take};
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

/// How a job ended that an earlier process had started, and that gives nothing.
fn is_gone(error: &RestError) -> bool {
    matches!(
        error,
        RestError::Refused {
            status: 404 | 410,
            ..
        } | RestError::JobFailed { .. }
    )
}

/// A question about a job.
fn ask_for(url: Url, accepts: &'static str) -> Request {
    Request {
        method: Method::GET,
        url,
        body: None,
        accepts,
        may_be_promised: true,
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
        let client = self.client;
        let kept = KeptJob::new(client, &endpoint.table, &start, job);
        if let Some(running) = kept.read() {
            tracing::info!(
                "`{}`: the job of an earlier run is asked for",
                endpoint.table
            );
            match self.done(job, &running).await {
                Ok(done) => {
                    let mut taken = 0;
                    let read = self
                        .files(level, endpoint, (&running, &done), (&mut *take, &mut taken))
                        .await;
                    match read {
                        // Its files are there for a while only.
                        Err(error) if is_gone(&error) && taken == 0 => kept.remove(),
                        read => return self.ended(&kept, read),
                    }
                }
                Err(error) if is_gone(&error) => kept.remove(),
                Err(error) => return self.ended(&kept, Err(error)),
            }
        }
        let running = self.start(job, &start).await?;
        kept.keep(&running)?;
        let read = async {
            let done = self.done(job, &running).await?;
            let mut taken = 0;
            self.files(level, endpoint, (&running, &done), (&mut *take, &mut taken))
                .await
        };
        let read = read.await;
        self.ended(&kept, read)
    }

    /// A job whose records are there, or that failed, is not asked for again.
    fn ended(&self, kept: &KeptJob, read: Result<()>) -> Result<()> {
        match &read {
            Ok(()) => kept.remove(),
            Err(error) if is_gone(error) => kept.remove(),
            // The next read asks for the same job again.
            Err(_) => {}
        }
        read
    }

    /// Starts a job.
    async fn start(&self, job: &Job, start: &Request) -> Result<Running> {
        let request = address(start);
        let answer = self.client.ask(start).await?;
        let body = json(&answer, &request)?;
        let id = match &job.id {
            Some(path) => Some(scalar(body, "job.id", path, &request)?),
            None => None,
        };
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
            Status::Path(place) => self.place(place, id.as_deref())?,
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
    fn place(&self, place: &Place, id: Option<&str>) -> Result<Url> {
        let path = place.fill(id.unwrap_or_default());
        self.base.join(&path).map_err(|_| RestError::Option {
            place: format!("connection `{}`", self.client.connection),
            option: "job".to_owned(),
            why: format!("makes `{path}`, which is not a valid path"),
        })
    }

    /// Asks for a job's state until it is done.
    async fn done(&self, job: &Job, running: &Running) -> Result<Done> {
        let question = ask_for(running.status.clone(), "application/json");
        let request = address(&question);
        let begin = Instant::now();
        let mut pause = job.poll;
        loop {
            let answer = self.client.ask(&question).await?;
            let body = json(&answer, &request)?;
            let state = scalar(body, "job.state", &job.state, &request)?;
            if job.done.contains(&state) {
                return self.results(job, running, (body, &answer), &request);
            }
            if job.failed.contains(&state) {
                return Err(RestError::JobFailed {
                    request,
                    state,
                    answer: self.client.excerpt(&answer.body),
                });
            }
            if begin.elapsed() + pause > job.timeout {
                return Err(RestError::JobTimeout {
                    request,
                    state,
                    waited: begin.elapsed(),
                });
            }
            tracing::debug!(%state, wait_ms = pause.as_millis(), "a job is not done yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE.max(job.poll));
        }
    }

    /// Where the files of a job are that is done.
    fn results(
        &self,
        job: &Job,
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
            let results = place.map(|place| self.place(place, running.id.as_deref()));
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
        (take, taken): (&mut Take<'_>, &mut u64),
    ) -> Result<()> {
        let mut last = None;
        for (number, url) in done.results.iter().enumerate() {
            self.kept.reserve(self.client).await?;
            let request = ask_for(url.clone(), endpoint.form.accepts());
            let request = Request {
                may_be_promised: false,
                ..request
            };
            let place = PageOf {
                is_first_of_listing: number == 0,
                begun: running.begun,
            };
            *taken += self.file(level, endpoint, (&request, place), take).await?;
            last = Some(address(&request));
        }
        match done.count {
            Some(count) if count != *taken => Err(RestError::Total {
                request: last.unwrap_or_else(|| Address::new("GET", &running.status)),
                path: "job.count_at".to_owned(),
                found: *taken,
                total: count.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
