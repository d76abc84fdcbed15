//! The requests of a listing: its first one, and the same with the parameters of another page.
//!
//! Promise: values of records and cursors cannot change the path, the parameters or the body around them.
//! Parameters of a page are in the URL, in the JSON body, or variables of a query, as the table says. It
//! sends nothing. Read next: `client.rs`.

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::body::BodyForm;
use super::endpoint::{Endpoint, of_table};
use super::error::{RestError, Result};
use super::graphql::Query;
use super::paginate::Parameters;
use super::path::JsonPath;
use super::raw::Raw;
use super::scope::Scope;
use super::template::{Into, Slot, Template, has_dot_segment};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Body>,
    /// The header `Accept`.
    pub(super) accepts: &'static str,
    /// An answer that only promises something (202) is one.
    pub(super) may_be_promised: bool,
    /// What a request that writes has besides.
    pub(super) write: Option<SentRows>,
}

/// A request that writes: an answer for each of its rows (207) is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentRows {
    /// The header by which the API knows a request that comes again.
    pub(super) idempotency: Option<(HeaderName, HeaderValue)>,
    /// It may have been sent before, and its answer lost.
    pub(super) may_be_known: bool,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Json(String),
    GraphQl(Query),
}

impl Body {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Json(text) => text.clone(),
            Self::GraphQl(query) => query.body(),
        }
    }
}

/// What fills the placeholders of an endpoint.
struct Filled<'f> {
    endpoint: &'f Endpoint,
    scope: &'f Scope,
    cursor: Option<&'f str>,
}

impl Filled<'_> {
    fn value(&self, slot: &Slot) -> Option<&str> {
        match slot {
            Slot::Cursor => self.cursor,
            Slot::Parent { at, .. } => self.scope.text(at),
        }
    }

    fn wrong(&self, option: &str, why: &str) -> RestError {
        of_table(&self.endpoint.table, option, why)
    }

    /// A text that must be there.
    fn needed(&self, option: &str, template: &Template, into: Into) -> Result<String> {
        let text = template.fill(into, |slot| self.value(slot));
        text.ok_or_else(|| {
            let why =
                "needs a cursor, and the first read has none: `cursor_start` is the value for it";
            self.wrong(option, why)
        })
    }

    fn url(&self, base: &Url) -> Result<Url> {
        let path = self.needed("path", &self.endpoint.path, Into::Path)?;
        if has_dot_segment(&path) {
            return Err(RestError::DotSegment {
                table: self.endpoint.table.clone(),
            });
        }
        let not_valid = "does not make a valid URL";
        let mut url = base
            .join(&path)
            .map_err(|_| self.wrong("path", not_valid))?;
        if path.is_empty() {
            // Without a path of its own the address is the connection's `url` as it was written.
            url.path_segments_mut()
                .map_err(|()| self.wrong("path", not_valid))?
                .pop_if_empty();
        }
        Ok(url)
    }

    /// The parameters; one that needs a cursor is left out of the first read.
    fn params(&self, url: &mut Url) {
        let filled = self.endpoint.params.iter().filter_map(|(name, template)| {
            Some((name, template.fill(Into::Plain, |slot| self.value(slot))?))
        });
        let filled: Vec<_> = filled.collect();
        if !filled.is_empty() {
            url.query_pairs_mut().extend_pairs(filled);
        }
    }

    /// A query with its variables; one that needs a cursor is left out of the first read.
    fn query(&self, text: &str) -> Result<Query> {
        let mut query = Query::new(text);
        for (name, template) in &self.endpoint.params {
            let into = query.form_of(name, template);
            if let Some(value) = template.fill(into, |slot| self.value(slot)) {
                query
                    .set(name, Value::String(value))
                    .map_err(|why| self.wrong("params", &why))?;
            }
        }
        Ok(query)
    }

    fn body(&self) -> Result<Option<Body>> {
        if let Some(query) = &self.endpoint.graphql {
            return Ok(Some(Body::GraphQl(self.query(query)?)));
        }
        let Some(template) = &self.endpoint.body else {
            return Ok(None);
        };
        let text = self.needed("body", template, Into::Json)?;
        Raw::read(&text).map_err(|at| self.wrong("body", &format!("is not JSON: {at}")))?;
        Ok(Some(Body::Json(text)))
    }
}

impl Request {
    /// The first request of a listing, without its page.
    pub(super) fn first(
        base: &Url,
        endpoint: &Endpoint,
        scope: &Scope,
        cursor: Option<&str>,
    ) -> Result<Self> {
        let filled = Filled {
            endpoint,
            scope,
            cursor: cursor.or(endpoint.cursor_start.as_deref()),
        };
        let mut url = filled.url(base)?;
        if endpoint.graphql.is_none() {
            filled.params(&mut url);
        }
        Ok(Self {
            method: endpoint.method.clone(),
            url,
            body: filled.body()?,
            accepts: match endpoint.job.is_some() {
                // The answer that starts a job is not its file.
                true => BodyForm::JSON.accepts(),
                false => endpoint.form.accepts(),
            },
            may_be_promised: endpoint.job.is_some(),
            write: None,
        })
    }

    /// The same with these parameters instead of its own of the same names.
    pub(super) fn with(&self, endpoint: &Endpoint, parameters: Parameters) -> Result<Self> {
        let mut request = self.clone();
        if parameters.is_empty() {
            return Ok(request);
        }
        let wrong = |why: String| of_table(&endpoint.table, "paginate", why);
        match &mut request.body {
            Some(Body::GraphQl(query)) => {
                for (name, value) in parameters {
                    query.set(&name, value).map_err(wrong)?;
                }
            }
            Some(Body::Json(text)) if endpoint.paging.in_body => {
                *text = with_values(text, parameters).map_err(wrong)?;
            }
            _ => request.url = with_parameters(&self.url, &parameters),
        }
        Ok(request)
    }
}

/// A JSON body with these values at their paths.
pub(super) fn with_values(
    body: &str,
    parameters: Parameters,
) -> std::result::Result<String, String> {
    let mut body: Value =
        serde_json::from_str(body).map_err(|error| format!("needs a JSON `body`: {error}"))?;
    for (path, value) in parameters {
        let put = JsonPath::new(&path).put(&mut body, value);
        put.map_err(|why| format!("puts `{path}` into the body, which {why}"))?;
    }
    Ok(body.to_string())
}

/// A URL with these parameters instead of its own of the same names.
fn with_parameters(url: &Url, parameters: &Parameters) -> Url {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| parameters.iter().all(|(other, _)| other != name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let own = parameters.iter().map(|(name, value)| (name, text(value)));
    let mut url = url.clone();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(own);
    url
}
