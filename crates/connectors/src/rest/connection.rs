//! The options of a connection, read once, and the endpoints of its `tables`.
//!
//! Promise: an option that cannot be meant is refused by name before anything is asked, also a parent that
//! does not exist or is its own child. It contacts nobody. Read next: `endpoint.rs` for one table.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use towpath_vocab::ConnectionPlan;
use url::Url;

use super::budget::Rate;
use super::endpoint::{Endpoint, of_table};
use super::error::{RestError, Result};
use super::write::SEND;

/// Options of a connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionOptions {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) longest_wait: Duration,
    pub(super) most_page_bytes: u64,
    pub(super) hosts: Vec<String>,
    pub(super) connections: usize,
    pub(super) rate: Option<Rate>,
    /// The options of each endpoint.
    tables: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A plan, and what its options are called in messages.
struct NamedPlan<'p>(&'p ConnectionPlan);

impl NamedPlan<'_> {
    fn wrong(&self, option: &str, why: impl Into<String>) -> RestError {
        RestError::Option {
            place: format!("connection `{}`", self.0.name),
            option: option.to_owned(),
            why: why.into(),
        }
    }

    fn number(&self, option: &str, default: u64) -> Result<u64> {
        let value = self.0.plain(option).filter(|value| !value.is_null());
        value.map_or(Ok(default), |value| {
            value.as_u64().ok_or_else(|| {
                self.wrong(option, format!("is `{value}`, but must be a whole number"))
            })
        })
    }

    fn map(&self, option: &str) -> Map<String, Value> {
        let map = self.0.plain(option).and_then(Value::as_object);
        map.cloned().unwrap_or_default()
    }

    /// Where the API begins, with `/` at its end.
    fn url(&self) -> Result<Url> {
        let wrong = |why: &str| self.wrong("url", why);
        let text = self.0.text("url").ok_or_else(|| wrong("is missing"))?;
        let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("does not begin with `https://` or `http://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds a user: write `auth: { type: basic, … }`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has parameters: write them as `params` of tables"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    }

    /// `limits`: requests at once, and per time.
    fn limits(&self) -> Result<(usize, Option<Rate>)> {
        let limits = self.map("limits");
        let given = |key: &str| limits.get(key).filter(|value| !value.is_null());
        let connections = match given("connections") {
            None => 4,
            Some(value) => value.as_u64().filter(|count| *count > 0).ok_or_else(|| {
                self.wrong(
                    "limits.connections",
                    format!("is `{value}`, but must be a whole number from 1"),
                )
            })?,
        };
        let rate = match given("requests") {
            None => None,
            Some(value) => Some(value.as_str().and_then(Rate::read).ok_or_else(|| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                self.wrong(
                    "limits.requests",
                    format!("is `{text}`, but must be like `10/s`, `600/m` or `5000/h`"),
                )
            })?),
        };
        Ok((usize::try_from(connections).unwrap_or(usize::MAX), rate))
    }
}

/// Headers of the project's `headers`.
fn headers(given: &Map<String, Value>) -> std::result::Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let text = value.as_str().unwrap_or_default();
        let pair = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(text).ok());
        let (name, value) =
            pair.ok_or_else(|| format!("has `{name}`, which is not a valid header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

impl ConnectionOptions {
    /// Reads the options of a connection.
    pub(super) fn read(plan: &ConnectionPlan) -> Result<Self> {
        let given = NamedPlan(plan);
        let (connections, rate) = given.limits()?;
        let hosts = plan.plain("hosts").and_then(Value::as_array);
        let hosts = hosts.into_iter().flatten().filter_map(Value::as_str);
        let tables = given.map("tables").into_iter().map(|(name, options)| {
            let options = options.as_object().cloned().unwrap_or_default();
            (name, options.into_iter().collect())
        });
        let headers = headers(&given.map("headers")).map_err(|why| given.wrong("headers", why))?;
        Ok(Self {
            name: plan.name.clone(),
            url: given.url()?,
            headers,
            timeout: Duration::from_secs(given.number("timeout_s", 60)?.max(1)),
            retries: u32::try_from(given.number("retries", 5)?).unwrap_or(u32::MAX),
            longest_wait: Duration::from_secs(given.number("max_wait_s", 900)?),
            most_page_bytes: given.number("max_page_bytes", 64 << 20)?.max(1),
            hosts: hosts.map(str::to_owned).collect(),
            connections,
            rate,
            tables: tables.collect(),
        })
    }

    /// What is wrong with an option of the connection.
    pub(super) fn wrong(&self, option: &str, why: &str) -> RestError {
        RestError::Option {
            place: format!("connection `{}`", self.name),
            option: option.to_owned(),
            why: why.to_owned(),
        }
    }

    /// The names of the endpoints.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tables.keys()
    }

    /// The names of the endpoints that can be read: one that only says how rows are sent is not.
    pub(super) fn read_names(&self) -> impl Iterator<Item = &String> {
        let is_sent =
            |options: &BTreeMap<String, Value>| options.len() == 1 && options.contains_key(SEND);
        let read = self
            .tables
            .iter()
            .filter(move |(_, options)| !is_sent(options));
        read.map(|(name, _)| name)
    }

    /// An option of an endpoint.
    pub(super) fn table_option(&self, table: &str, option: &str) -> Option<&Value> {
        self.tables.get(table)?.get(option)
    }

    /// An endpoint and those it depends on, the first one first. `over` are options of this read over
    /// those of the connection.
    pub(super) fn chain(
        &self,
        table: &str,
        over: &BTreeMap<String, Value>,
    ) -> Result<Vec<Endpoint>> {
        let mut chain = vec![self.endpoint(table, Some(over))?];
        while let Some(parent) = chain.last().and_then(Endpoint::parent).map(str::to_owned) {
            if chain.iter().any(|endpoint| endpoint.table == parent) {
                let path = format!("depends on `{parent}`, which depends on it");
                return Err(of_table(table, "path", path));
            }
            chain.push(self.endpoint(&parent, None)?);
        }
        chain.reverse();
        for pair in chain.windows(2) {
            if let [parent, child] = pair {
                child.accepts(parent)?;
            }
        }
        Ok(chain)
    }

    fn endpoint(&self, table: &str, over: Option<&BTreeMap<String, Value>>) -> Result<Endpoint> {
        let Some(own) = self.tables.get(table) else {
            return Err(RestError::NoTable {
                connection: self.name.clone(),
                table: table.to_owned(),
                known: self.names().cloned().collect(),
            });
        };
        let mut options = own.clone();
        options.extend(
            over.into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Endpoint::read(table, &options)
    }
}
