//! All records of an endpoint: its pages, for each record of the endpoint it depends on.
//!
//! Promise: every page is read, in order within a listing, or the read fails; listings run side by side
//! within the limits. The number of records is compared with the API's own where the project names it.
//! It does not know what becomes of a record.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use url::Url;

use super::client::{Answer, Client, Request};
use super::endpoint::Endpoint;
use super::error::{Address, RestError, Result};
use super::page::{self, Page};
use super::paginate::{Next, Pager, Paginate};
use super::path::JsonPath;
use super::raw::Raw;
use super::template::{Into, Slot};

/// Values of the record that a listing belongs to, by their paths: as JSON, and as requests write them.
type Scope = BTreeMap<String, (String, Option<String>)>;

/// One read of an endpoint.
pub(super) struct Listing<'l> {
    pub(super) client: &'l Client,
    /// Where the API begins.
    pub(super) base: &'l Url,
    /// The endpoints it depends on, and itself.
    pub(super) chain: &'l [Endpoint],
    /// Where the last read ended.
    pub(super) cursor: Option<&'l str>,
    /// No more records than this, about.
    pub(super) limit: Option<u64>,
    pub(super) at_once: usize,
}

/// What takes records: the record, and its line.
pub(super) type Sink<'s> = dyn FnMut(Raw<'_>, &[u8]) -> Result<()> + Send + 's;

impl Listing<'_> {
    /// Gives every record to `sink`.
    pub(super) async fn read(&self, sink: &mut Sink<'_>) -> Result<()> {
        let Some((last, parents)) = self.chain.split_last() else {
            return Ok(());
        };
        let mut scopes = vec![Scope::new()];
        for (index, parent) in parents.iter().enumerate() {
            let Some(child) = self.chain.get(index + 1) else {
                break;
            };
            scopes = self.scopes(parent, child, scopes).await?;
        }
        let (sink, count) = (Mutex::new(sink), AtomicU64::new(0));
        let (sink, count) = (&sink, &count);
        let listings = stream::iter(scopes).map(|scope| async move {
            let include = included(last, &scope)?;
            let mut take = |record: Raw<'_>| {
                if self.is_enough(count.load(Ordering::Relaxed)) {
                    return Ok(());
                }
                count.fetch_add(1, Ordering::Relaxed);
                let line = page::line(record, &include).ok_or_else(|| RestError::Option {
                    place: format!("table `{}`", last.table),
                    option: "include".to_owned(),
                    why: "names a column that the records have already".to_owned(),
                })?;
                let mut sink = match sink.lock() {
                    Ok(sink) => sink,
                    Err(poisoned) => poisoned.into_inner(),
                };
                sink(record, &line)
            };
            let is_enough = || self.is_enough(count.load(Ordering::Relaxed));
            self.pages(last, &scope, &mut take, &is_enough).await
        });
        listings
            .buffer_unordered(self.at_once)
            .try_collect::<()>()
            .await
    }

    fn is_enough(&self, count: u64) -> bool {
        self.limit.is_some_and(|limit| count >= limit)
    }

    /// For each record of `parent`, what listings of `child` need of it.
    async fn scopes(
        &self,
        parent: &Endpoint,
        child: &Endpoint,
        above: Vec<Scope>,
    ) -> Result<Vec<Scope>> {
        let needs: Vec<(String, JsonPath)> = child
            .needs()
            .map(|(_, at)| (at.to_owned(), JsonPath::new(at)))
            .collect();
        let needs = &needs;
        let listings = stream::iter(above).map(|scope| async move {
            let include = included(parent, &scope)?;
            let mut found = Vec::new();
            let mut take = |record: Raw<'_>| {
                found.push(scope_of(record, needs, &include, parent)?);
                Ok(())
            };
            self.pages(parent, &scope, &mut take, &|| false).await?;
            Ok(found)
        });
        let found: Vec<Vec<Scope>> = listings.buffered(self.at_once).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The pages of one listing.
    async fn pages(
        &self,
        endpoint: &Endpoint,
        scope: &Scope,
        take: &mut (dyn FnMut(Raw<'_>) -> Result<()> + Send),
        is_enough: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let first = self.request(endpoint, scope)?;
        let address = Address::new(first.method.as_str(), &first.url);
        let mut pager = Pager::new(
            &endpoint.paginate,
            endpoint.more.as_ref(),
            endpoint.most_pages,
        );
        let mut request = with_parameters(&first, pager.first());
        let mut total = None;
        loop {
            let answer = match self.client.ask(&request).await {
                Err(RestError::Refused { status: 404, .. }) if pager.may_be_behind_the_end() => {
                    break;
                }
                answer => answer?,
            };
            let page = Page::read(&answer.body, &answer.headers, &endpoint.records, &address)?;
            if endpoint.paginate == Paginate::Unsaid
                && let Some((at, proposal)) = page.next_page()
            {
                return Err(RestError::NextPage {
                    request: address,
                    at,
                    proposal,
                });
            }
            for record in &page.records {
                take(*record)?;
            }
            if let Some((path, _)) = &endpoint.total {
                total = path.scalar(page.body).or(total);
            }
            if is_enough() {
                return Ok(());
            }
            let endless = |why| RestError::Endless {
                request: address.clone(),
                why,
            };
            request = match pager.next(&page).map_err(endless)? {
                Next::End => break,
                Next::Parameters(parameters) => with_parameters(&first, parameters),
                Next::Url(url) => next_url(&first, &answer, &url, &address)?,
            };
        }
        match (&endpoint.total, total) {
            (Some((_, path)), total) if total.as_deref() != Some(&pager.records().to_string()) => {
                Err(RestError::Total {
                    request: address,
                    path: path.clone(),
                    found: pager.records(),
                    total: total.unwrap_or_else(|| "nothing".to_owned()),
                })
            }
            _ => Ok(()),
        }
    }

    /// The first request of a listing, without its page.
    fn request(&self, endpoint: &Endpoint, scope: &Scope) -> Result<Request> {
        let value = |slot: &Slot| match slot {
            Slot::Cursor => self.cursor,
            Slot::Parent { at, .. } => scope.get(at).and_then(|(_, text)| text.as_deref()),
        };
        let wrong = |option: &str, why: &str| RestError::Option {
            place: format!("table `{}`", endpoint.table),
            option: option.to_owned(),
            why: why.to_owned(),
        };
        let path = endpoint.path.fill(Into::Path, value);
        let path =
            path.ok_or_else(|| wrong("path", "needs a cursor, and the first read has none"))?;
        let mut url = self
            .base
            .join(&path)
            .map_err(|_| wrong("path", "does not make a valid URL"))?;
        let filled = endpoint.params.iter();
        let filled: Vec<(&str, String)> = filled
            .filter_map(|(name, template)| {
                Some((name.as_str(), template.fill(Into::Plain, value)?))
            })
            .collect();
        if !filled.is_empty() {
            url.query_pairs_mut().extend_pairs(filled);
        }
        let body =
            match &endpoint.body {
                None => None,
                Some(body) => {
                    let text = body.fill(Into::Json, value);
                    Some(text.ok_or_else(|| {
                        wrong("body", "needs a cursor, and the first read has none")
                    })?)
                }
            };
        Ok(Request {
            method: endpoint.method.clone(),
            url,
            body,
        })
    }
}

/// A request with these parameters instead of its own of the same names.
fn with_parameters(first: &Request, parameters: Vec<(String, String)>) -> Request {
    let mut request = first.clone();
    if parameters.is_empty() {
        return request;
    }
    let kept: Vec<(String, String)> = first
        .url
        .query_pairs()
        .filter(|(name, _)| parameters.iter().all(|(other, _)| other != name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    request
        .url
        .query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(parameters);
    request
}

fn next_url(first: &Request, answer: &Answer, url: &str, address: &Address) -> Result<Request> {
    let url = answer.url.join(url).map_err(|_| RestError::Endless {
        request: address.clone(),
        why: "the address of the next page is not valid".to_owned(),
    })?;
    Ok(Request {
        url,
        ..first.clone()
    })
}

/// The columns of `include` with their values as JSON.
fn included(endpoint: &Endpoint, scope: &Scope) -> Result<Vec<(String, String)>> {
    let columns = endpoint
        .include
        .iter()
        .filter_map(|(name, slot)| match slot {
            Slot::Parent { at, .. } => Some((name, scope.get(at)?)),
            Slot::Cursor => None,
        });
    Ok(columns
        .map(|(name, (json, _))| (name.clone(), json.clone()))
        .collect())
}

fn scope_of(
    record: Raw<'_>,
    needs: &[(String, JsonPath)],
    include: &[(String, String)],
    parent: &Endpoint,
) -> Result<Scope> {
    let mut scope = Scope::new();
    for (at, path) in needs {
        let own = path
            .find(record)
            .map(|value| (value.text().to_owned(), value.scalar()));
        let passed = || {
            let (_, json) = include.iter().find(|(name, _)| name == at)?;
            Some((json.clone(), Raw::read(json).ok()?.scalar()))
        };
        match own.or_else(passed) {
            Some((json, Some(text))) => scope.insert(at.clone(), (json, Some(text))),
            _ => {
                return Err(RestError::NoParentValue {
                    table: parent.table.clone(),
                    column: at.clone(),
                });
            }
        };
    }
    Ok(scope)
}
