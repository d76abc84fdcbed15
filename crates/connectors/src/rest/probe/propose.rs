//! Puts a proposal together: the options of a table, each with what shows it.
//!
//! Promise: the proposal reads the endpoint by what was seen; it says what is a guess, what was not found,
//! and how many requests were sent. Read next: `pages.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use serde_json::{Map, Value, json};
use towpath_ports::{Proposal, ProposedKey, Result};
use url::{Url, form_urlencoded};

use super::asker::{Asked, Asker, Options};
use super::columns::{self, CursorColumn};
use super::form::{self, Formed};
use super::limits;
use super::pages::{Finder, Paging};
use super::records::{self, Place};
use super::signs::Signs;
use crate::rest::client::Client;
use crate::rest::endpoint::Endpoint;
use crate::rest::error::{Address, RestError};
use crate::rest::raw::Raw;
use crate::rest::request::Request;
use crate::rest::scope::Scope;
use crate::rest::source::RestSource;

/// A request that may be wrong is tried again so often at most.
const RETRIES: u32 = 1;

/// What is asked for by a path that a user writes.
struct Asking {
    path: String,
    params: Map<String, Value>,
    table: String,
}

fn wrong(path: &str, why: impl Into<String>) -> RestError {
    RestError::Probe {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// The table of a path is called like its last part.
fn table_name(path: &str) -> String {
    let is_name = |part: &&str| part.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let part = path.rsplit('/').find(is_name).unwrap_or("records");
    let part = part.split('.').next().unwrap_or(part);
    let letters = part.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_lowercase(),
        _ => '_',
    });
    letters.collect()
}

impl Asking {
    /// Reads `invoices?status=open`, `/v1/invoices` or the whole URL.
    fn read(base: &Url, written: &str) -> std::result::Result<Self, RestError> {
        let text = written.trim();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        if path.contains(['{', '}', '#']) {
            return Err(wrong(
                written,
                "has a placeholder: write one that exists, such as `customers/7/orders`",
            ));
        }
        let whole = base.as_str();
        let path = match path.contains("://") {
            true => path
                .strip_prefix(whole)
                .ok_or_else(|| wrong(written, format!("is not below `{whole}`")))?,
            // The path of the connection's `url` may stand before it.
            false => path.strip_prefix(base.path()).unwrap_or(path),
        };
        let path = path.trim_start_matches('/');
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut params = Map::new();
        for (name, value) in pairs {
            let value = value.replace('{', "{{").replace('}', "}}");
            if params
                .insert(name.to_string(), Value::from(value))
                .is_some()
            {
                let why = format!("has the parameter `{name}` twice, and `params` of a table once");
                return Err(wrong(written, why));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            params,
            table: table_name(path),
        })
    }

    fn options(&self) -> Options {
        let mut options = Options::from([("path".to_owned(), Value::from(self.path.as_str()))]);
        if !self.params.is_empty() {
            options.insert("params".to_owned(), Value::Object(self.params.clone()));
        }
        options
    }
}

/// What was seen of an endpoint.
struct Findings {
    asking: Asking,
    form: Formed,
    /// Where the records are, unless they stand one behind the other.
    place: Option<Place>,
    first: Asked,
    signs: Signs,
    paging: Option<Paging>,
    key: Option<String>,
    cursor: Option<CursorColumn>,
    since: Option<&'static str>,
}

/// Probes an endpoint.
pub(in crate::rest) async fn propose(source: &RestSource, written: &str) -> Result<Proposal> {
    let asking = Asking::read(&source.options.url, written)?;
    let mut options = source.options.clone();
    options.retries = options.retries.min(RETRIES);
    let client = Client::open(&source.plan, &options, &source.context).await?;
    let asker = Asker {
        client: &client,
        base: &options.url,
        table: asking.table.clone(),
        sent: AtomicU64::new(0),
    };
    let found = look(&asker, asking, options.most_page_bytes).await?;
    let parents = source.options.names().cloned().collect::<Vec<_>>();
    Ok(found.proposal(asker.sent.load(Ordering::Relaxed), &parents))
}

/// Asks for an answer in whatever form it is written.
async fn form_of(
    asker: &Asker<'_>,
    asking: &Asking,
    most: u64,
) -> std::result::Result<Formed, RestError> {
    let endpoint = Endpoint::read(&asking.table, &asking.options())?;
    let request = Request {
        method: Method::GET,
        accepts: "application/json, */*;q=0.5",
        ..Request::first(asker.base, &endpoint, &Scope::default(), None)?
    };
    asker.sent.fetch_add(1, Ordering::Relaxed);
    let answer = asker.client.ask(&request).await?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let formed = form::formed(&answer.body, &answer.headers, most);
    let address = Address::new("GET", &request.url);
    formed.ok_or_else(|| match answer.is_nothing || answer.body.is_empty() {
        true => wrong(&asking.path, "gives no content now, so nothing can be seen"),
        false => RestError::Unreadable {
            request: address,
            form: "JSON, CSV or XML",
            why: "a page for people, or another form".to_owned(),
        },
    })
}

async fn look(
    asker: &Asker<'_>,
    asking: Asking,
    most: u64,
) -> std::result::Result<Findings, RestError> {
    let form = form_of(asker, &asking, most).await?;
    let mut options = asking.options();
    if let Some(option) = &form.option {
        options.insert("response".to_owned(), option.clone());
    }
    let mut place = None;
    if !form.is_rows {
        let text = std::str::from_utf8(&form.json).unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let body = Raw::read(text).map_err(|why| wrong(&asking.path, why))?;
        let found = records::find(body).map_err(|why| wrong(&asking.path, why))?;
        if let Some(path) = &found.path {
            options.insert("records".to_owned(), Value::from(path.to_string()));
        }
        place = Some(found);
    }
    let first = asker.first(&options, Vec::new()).await?;
    let records = place.as_ref().and_then(|place| place.path.as_ref());
    let signs = Signs::of(&first, records);
    let finder = Finder {
        asker,
        options: &options,
        first: &first,
        signs: &signs,
    };
    let mut paging = finder.find().await?;
    if paging.is_none() {
        paging = finder.find_with_small_pages().await?;
    }
    let key = columns::key(&first.records, &asking.table);
    let cursor = columns::cursor(&first.records);
    let since = match (&cursor, &key) {
        (Some(cursor), Some(_)) => columns::since(asker, &options, cursor).await?,
        _ => None,
    };
    Ok(Findings {
        asking,
        form,
        place,
        first,
        signs,
        paging,
        key,
        cursor,
        since,
    })
}

fn seen(name: &str, value: impl Into<Value>, why: impl Into<String>) -> ProposedKey {
    ProposedKey {
        name: name.to_owned(),
        value: value.into(),
        why: why.into(),
        is_guess: false,
    }
}

fn guess(name: &str, value: impl Into<Value>, why: impl Into<String>) -> ProposedKey {
    ProposedKey {
        is_guess: true,
        ..seen(name, value, why)
    }
}

impl Findings {
    fn proposal(&self, sent: u64, parents: &[String]) -> Proposal {
        Proposal {
            table: self.asking.table.clone(),
            options: self.of_connection(),
            load: self.of_load(),
            notes: self.notes(sent, parents),
        }
    }

    /// The options of the table at the connection.
    fn of_connection(&self) -> Vec<ProposedKey> {
        let mut keys = vec![seen("path", self.asking.path.as_str(), "")];
        let mut params = self.asking.params.clone();
        let mut why = String::new();
        if let (Some(since), Some(cursor)) = (self.since, &self.cursor) {
            params.insert(since.to_owned(), json!("{cursor}"));
            why = format!("`{since}` gave the records from a `{}` on", cursor.name);
        }
        if !params.is_empty() {
            keys.push(seen("params", params, why));
        }
        if let (Some(_), Some(epoch)) = (self.since, self.epoch()) {
            let why = "by the size of its numbers";
            keys.push(guess("cursor_epoch", epoch, why));
        }
        if let Some(option) = &self.form.option {
            keys.push(seen("response", form::members(option), "read by it"));
        }
        if let Some(place) = &self.place
            && let Some(path) = &place.path
        {
            keys.push(ProposedKey {
                is_guess: place.is_guess,
                ..seen("records", path.to_string(), place.why.as_str())
            });
        }
        if let Some(paging) = &self.paging {
            keys.push(ProposedKey {
                is_guess: paging.is_guess,
                ..seen("paginate", paging.paginate.clone(), paging.why.as_str())
            });
        }
        if let Some((at, total)) = &self.signs.total {
            let why = format!("it is {total}; leave it out if it counts other records");
            keys.push(guess("total", at.to_string(), why));
        }
        keys
    }

    fn epoch(&self) -> Option<&'static str> {
        self.cursor.as_ref().and_then(|cursor| cursor.epoch)
    }

    /// The keys of the table in a pipeline.
    fn of_load(&self) -> Vec<ProposedKey> {
        let (Some(key), Some(cursor), Some(_)) = (&self.key, &self.cursor, self.since) else {
            return Vec::new();
        };
        let count = self.first.records.len();
        vec![
            guess("key", key.as_str(), format!("different in {count} records")),
            guess("cursor", cursor.name.as_str(), "by its name and its values"),
        ]
    }

    fn notes(&self, sent: u64, parents: &[String]) -> Vec<String> {
        let mut notes = vec![format!("requests sent, all of them GET: {sent}")];
        if self.first.records.is_empty() {
            notes.push(
                "there are no records now: pages, keys and cursors could not be seen".to_owned(),
            );
        } else if self.paging.is_none() {
            notes.push(format!(
                "no second page was found: {} came at once; a load that sees signs of more fails (R0362)",
                self.first.records.len()
            ));
        }
        if self.since.is_none() {
            notes.extend(self.likely());
        }
        notes.extend(limits::note(&self.first.headers));
        notes.extend(self.parent(parents));
        notes
    }

    /// Key and cursor where the parameter of the cursor is not known.
    fn likely(&self) -> Option<String> {
        let key = self.key.as_ref()?;
        Some(match &self.cursor {
            None => format!("likely key: `{key}`; no column looks like a cursor"),
            Some(cursor) => format!(
                "likely key: `{key}`, likely cursor: `{}`; to load only what changed, write the API's parameter for it: `params: {{ PARAMETER: \"{{cursor}}\" }}`",
                cursor.name
            ),
        })
    }

    /// How one listing becomes those of all records of another endpoint.
    fn parent(&self, parents: &[String]) -> Option<String> {
        let parts: Vec<&str> = self.asking.path.split('/').collect();
        parts.windows(2).find_map(|pair| {
            let [parent, id] = pair else { return None };
            let is_id = id.contains(|letter: char| letter.is_ascii_digit());
            let is_known = is_id && parents.iter().any(|name| name == parent);
            is_known.then(|| {
                let path = &self.asking.path;
                let all = path.replacen(
                    &format!("{parent}/{id}"),
                    &format!("{parent}/{{{parent}.id}}"),
                    1,
                );
                format!("for each record of `{parent}`: `path: {all}`")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_path_is_written_in_any_of_its_spellings() {
        let base: Url = "https://a.example/v1/".parse().unwrap();
        let read = |text: &str| {
            let asking = Asking::read(&base, text)?;
            Ok::<_, RestError>((asking.path, asking.table))
        };
        for text in [
            "invoices",
            "/invoices",
            "/v1/invoices",
            "https://a.example/v1/invoices",
        ] {
            let (path, table) = read(text).unwrap();
            assert_eq!(
                (path.as_str(), table.as_str()),
                ("invoices", "invoices"),
                "{text}"
            );
        }
        let nested = read("customers/7/Open-Orders.json?x=1").unwrap();
        assert_eq!(nested.0, "customers/7/Open-Orders.json");
        assert_eq!(nested.1, "open_orders");
        assert_eq!(read("").unwrap().1, "records");
        for wrong in [
            "https://b.example/v1/invoices",
            "customers/{customers.id}/x",
            "x#y",
            "x?a=1&b=2&a=3",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let params = Asking::read(&base, "x?q=%7Ba%7D&n=1").unwrap().params;
        assert_eq!(Value::Object(params), json!({ "q": "{{a}}", "n": "1" }));
    }
}
