//! Reads one or two pages of an endpoint by options that are tried.
//!
//! Promise: a page is read by the code that loads it, with the options that would be written down; only GET
//! is sent. It does not know what is worth trying: `pages.rs`.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::rest::client::Client;
use crate::rest::endpoint::Endpoint;
use crate::rest::error::{Address, RestError, Result};
use crate::rest::listing::next_url;
use crate::rest::page::Page;
use crate::rest::paginate::{Next, Pager, Parameters};
use crate::rest::request::Request;
use crate::rest::scope::Scope;

/// The options of a table.
pub(super) type Options = BTreeMap<String, Value>;

/// Pages that a try reads at most.
const MOST_PAGES: u64 = 10;

/// Asks for pages of one endpoint.
pub(super) struct Asker<'a> {
    pub(super) client: &'a Client,
    /// Where the API begins.
    pub(super) base: &'a Url,
    pub(super) table: String,
    /// Requests so far.
    pub(super) sent: AtomicU64,
}

/// A page that was read.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// As JSON.
    pub(super) body: Vec<u8>,
    pub(super) headers: HeaderMap,
    /// The texts of its records.
    pub(super) records: Vec<String>,
}

/// What came of reading pages by options.
#[derive(Debug)]
pub(super) enum Tried {
    /// A first page, and a second one with other records.
    Two(Asked),
    /// A first page, behind which there is nothing.
    One(Asked),
    /// The second page is not there, or has records of the first one.
    No,
}

impl Asker<'_> {
    fn address(&self, request: &Request) -> Address {
        Address::new(request.method.as_str(), &request.url)
    }

    /// A page by its request.
    async fn page(&self, endpoint: &Endpoint, request: &Request) -> Result<(Asked, Url)> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let address = self.address(request);
        let answer = self.client.ask(request).await?;
        let url = answer.url.clone();
        let (answer, _) = self
            .client
            .as_json(answer, &endpoint.form, &address)
            .await?;
        let (body, headers) = (answer.body.clone(), answer.headers.clone());
        let records = match answer.is_nothing {
            true => Vec::new(),
            false => {
                let page = Page::read(&body, &headers, &endpoint.records, &address)?;
                let texts = page.records.iter().map(|record| record.text().to_owned());
                texts.collect()
            }
        };
        let asked = Asked {
            body,
            headers,
            records,
        };
        Ok((asked, url))
    }

    /// The endpoint by these options, and its first request.
    fn begin(&self, options: &Options) -> Result<(Endpoint, Request)> {
        let endpoint = Endpoint::read(&self.table, options)?;
        let request = Request::first(self.base, &endpoint, &Scope::default(), None)?;
        Ok((endpoint, request))
    }

    /// The first page by these options, with more parameters.
    pub(super) async fn first(&self, options: &Options, more: Parameters) -> Result<Asked> {
        let (endpoint, request) = self.begin(options)?;
        let request = request.with(&endpoint, more)?;
        Ok(self.page(&endpoint, &request).await?.0)
    }

    /// The same, where the API may refuse it: `None` then.
    pub(super) async fn first_if_any(
        &self,
        options: &Options,
        more: Parameters,
    ) -> Result<Option<Asked>> {
        unless_refused(self.first(options, more).await)
    }

    /// The status with which the API refuses these parameters.
    pub(super) async fn refusal(&self, options: &Options, more: Parameters) -> Result<Option<u16>> {
        match self.first(options, more).await {
            Err(RestError::Refused { status, .. }) => Ok(Some(status)),
            Err(error) if error.is_of_listing() => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }

    /// Two pages as these options lead to them.
    pub(super) async fn two(&self, options: &Options) -> Result<Tried> {
        Ok(unless_refused(self.pages(options).await)?.unwrap_or(Tried::No))
    }

    async fn pages(&self, options: &Options) -> Result<Tried> {
        let (endpoint, first) = self.begin(options)?;
        let mut pager = Pager::new(&endpoint.paging, MOST_PAGES, None);
        let request = first.with(&endpoint, pager.first())?;
        let (one, url) = self.page(&endpoint, &request).await?;
        let address = self.address(&request);
        let page = Page::read(&one.body, &one.headers, &endpoint.records, &address)?;
        let next = match pager.next(&page) {
            Err(_) => return Ok(Tried::No),
            Ok(Next::End) => return Ok(Tried::One(one)),
            Ok(Next::Parameters(parameters)) => first.with(&endpoint, parameters)?,
            Ok(Next::Url(text)) => next_url(&first, &url, &text, &address)?,
        };
        let (two, _) = self.page(&endpoint, &next).await?;
        let known: HashSet<&String> = one.records.iter().collect();
        let is_known = |record: &String| known.contains(record);
        Ok(match two.records.is_empty() {
            true => Tried::One(one),
            false if two.records.iter().any(is_known) => Tried::No,
            false => Tried::Two(one),
        })
    }
}

/// A failure that says nothing about other requests is an answer too: these options do not work.
fn unless_refused<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_of_listing() => Ok(None),
        Err(error) => Err(error),
    }
}
