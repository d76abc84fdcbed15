//! All records of an endpoint: its pages, for each record of the endpoint it depends on.
//!
//! Promise: every page is read, in order within a listing, or the read fails; listings run side by side
//! within the limits, one for each parent however often it is given. The number of records is compared
//! with the API's own where the project names it. It does not know what becomes of a record. Read next:
//! `paginate.rs`, `scope.rs`.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use url::Url;

use super::ahead::Ahead;
use super::answer::Answer;
use super::client::Client;
use super::endpoint::{Endpoint, of_table};
use super::error::{Address, RestError, Result};
use super::graphql;
use super::page::{self, Page, Records};
use super::paginate::{Fault, Next, Pager, Paginate};
use super::parents::{Kept, Once};
use super::raw::Raw;
use super::request::Request;
use super::resume::{Begin, MOST_LISTINGS};
use super::scope::{ListingKey, Needs, Scope, included};

/// So many listings may fail alone; then the API is not well, and the read fails.
const MOST_FAILED: usize = 100;

/// One read of an endpoint.
pub(super) struct Listing<'l> {
    pub(super) client: &'l Client,
    /// Where the API begins.
    pub(super) base: &'l Url,
    /// The endpoints it depends on, and itself.
    pub(super) chain: &'l [Endpoint],
    /// Where the records of each of them are, once a response has shown it.
    pub(super) found: Vec<OnceLock<Records>>,
    /// The columns of each of them, where its answers say them once for all records.
    pub(super) columns: Vec<OnceLock<Vec<String>>>,
    /// Records are read by a cursor, from here on.
    pub(super) begin: Option<&'l Begin>,
    /// A listing that fails does not end the read.
    pub(super) keeps_failed: bool,
    pub(super) failed: Mutex<Vec<(Scope, RestError)>>,
    /// The numbers of the listings that were read, and what they are known by.
    pub(super) complete: Mutex<Vec<(usize, ListingKey)>>,
    /// No more records than this, about.
    pub(super) limit: Option<u64>,
    /// No more records of each parent than this, to look at a part.
    pub(super) most_parents: Option<usize>,
    pub(super) at_once: usize,
    /// The server's time when the first of the endpoint's own pages was asked for.
    pub(super) begun: OnceLock<Option<DateTime<Utc>>>,
    /// Records that came on two numbered pages behind each other.
    pub(super) repeated: AtomicU64,
    /// The memory of its parents.
    pub(super) kept: Kept,
}

/// One listing of a read.
struct One {
    number: usize,
    scope: Arc<Scope>,
    /// It failed before, and no parent gives it now.
    is_gone: bool,
}

/// A record that was read.
pub(super) struct Taken<'r> {
    pub(super) record: Raw<'r>,
    /// The record as a line.
    pub(super) line: Vec<u8>,
    /// It is of the first page of all.
    pub(super) is_first_page: bool,
    /// It is of the first page of its listing.
    pub(super) is_first_of_listing: bool,
    /// The number of its listing.
    pub(super) listing: usize,
}

/// What a read gives.
pub(super) enum ListingEvent<'r> {
    Record(Taken<'r>),
    /// All records of this listing were given.
    Complete(usize),
    /// This listing failed: what was given of it does not count.
    Failed(usize),
}

/// What takes records.
pub(super) type RecordConsumer<'s> = dyn FnMut(ListingEvent<'_>) -> Result<()> + Send + 's;

/// Which page a record is of.
#[derive(Clone, Copy)]
pub(super) struct Place {
    is_first_of_all: bool,
    is_first_of_listing: bool,
}

/// What takes the records of a page.
pub(super) type Take<'t> = dyn FnMut(Raw<'_>, Place) -> Result<()> + Send + 't;

/// A file of a job, as a page of its listing.
#[derive(Clone, Copy)]
pub(super) struct PageOf {
    pub(super) is_first_of_listing: bool,
    /// The server's time when its job was started.
    pub(super) begun: Option<DateTime<Utc>>,
}

impl Listing<'_> {
    /// Gives every record to `consumer`.
    pub(super) async fn read(&self, consumer: &mut RecordConsumer<'_>) -> Result<()> {
        let Some(last) = self.chain.len().checked_sub(1) else {
            return Ok(());
        };
        let mut scopes = vec![Arc::new(Scope::default())];
        for parent in 0..last {
            scopes = self.scopes(parent, scopes).await?;
        }
        let known = scopes.len();
        self.add_failed(&mut scopes)?;
        let (consumer, count) = (Mutex::new(consumer), AtomicU64::new(0));
        let (consumer, count) = (&consumer, &count);
        let mut scopes = scopes.into_iter().enumerate().map(|(number, scope)| One {
            number,
            scope,
            is_gone: number >= known,
        });
        // Changes while others are read have a later cursor than what the first page has: it is asked
        // for alone.
        if self.begin.is_some()
            && let Some(first) = scopes.next()
        {
            self.listing(&first, consumer, count).await?;
        }
        let at_once = if self.limit.is_some() {
            1
        } else {
            self.at_once
        };
        stream::iter(scopes)
            .take_while(|_| std::future::ready(!self.is_enough(count)))
            .map(|one| async move { self.listing(&one, consumer, count).await })
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await?;
        let mut failed = self.failed();
        let complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        match complete.is_empty() && !failed.is_empty() {
            true => Err(failed.swap_remove(0).1),
            false => Ok(()),
        }
    }

    /// Adds the listings that failed before and that no parent gives now.
    fn add_failed(&self, scopes: &mut Vec<Arc<Scope>>) -> Result<()> {
        let (Some(begin), Some(endpoint)) = (self.begin, self.chain.last()) else {
            return Ok(());
        };
        if scopes.len() > MOST_LISTINGS {
            return Err(RestError::ManyListings {
                table: endpoint.table.clone(),
                found: scopes.len(),
                most: MOST_LISTINGS,
            });
        }
        if begin.failed.is_empty() {
            return Ok(());
        }
        let given: HashSet<ListingKey> = scopes.iter().map(|scope| scope.key()).collect();
        for failed in &begin.failed {
            if given.contains(&failed.scope.key()) {
                continue;
            }
            if !failed.scope.has_columns_of(endpoint) {
                return Err(RestError::StoredPosition {
                    table: endpoint.table.clone(),
                    what: "a listing that failed does not have the values that `include` needs now",
                });
            }
            scopes.push(Arc::new(failed.scope.clone()));
        }
        Ok(())
    }

    /// The listings that failed.
    pub(super) fn failed(&self) -> MutexGuard<'_, Vec<(Scope, RestError)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One listing of the endpoint itself, which may fail alone.
    async fn listing(
        &self,
        one: &One,
        consumer: &Mutex<&mut RecordConsumer<'_>>,
        count: &AtomicU64,
    ) -> Result<()> {
        let read = self.records(one.number, &one.scope, consumer, count).await;
        // Only what the first one saw was there before all others.
        let _ = self.begun.set(None);
        let mut consumer = consumer.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(()) => {
                if self.begin.is_some() {
                    let complete = self.complete.lock();
                    let mut complete = complete.unwrap_or_else(PoisonError::into_inner);
                    complete.push((one.number, one.scope.key()));
                }
                consumer(ListingEvent::Complete(one.number))
            }
            // Neither its parent nor the listing is there any more. If they come again, it is asked for
            // from its beginning.
            Err(RestError::Refused {
                status: 404 | 410, ..
            }) if one.is_gone => consumer(ListingEvent::Failed(one.number)),
            Err(error) if self.keeps_failed && error.is_of_listing() => {
                let mut failed = self.failed();
                if failed.len() >= MOST_FAILED {
                    return Err(error);
                }
                tracing::warn!(
                    code = error.code(),
                    "a listing failed, the next run asks for it: {error}"
                );
                failed.push((one.scope.as_ref().clone(), error));
                consumer(ListingEvent::Failed(one.number))
            }
            Err(error) => Err(error),
        }
    }

    /// The records of one listing of the endpoint itself.
    async fn records(
        &self,
        listing: usize,
        scope: &Scope,
        consumer: &Mutex<&mut RecordConsumer<'_>>,
        count: &AtomicU64,
    ) -> Result<()> {
        let Some((endpoint, parents)) = self.chain.split_last() else {
            return Ok(());
        };
        let include = included(endpoint, scope);
        let mut take = |record: Raw<'_>, place: Place| {
            if self.is_enough(count) {
                return Ok(());
            }
            count.fetch_add(1, Ordering::Relaxed);
            let line = page::line(record, &include).ok_or_else(|| {
                let why = "names a column that the records have already";
                of_table(&endpoint.table, "include", why)
            })?;
            let mut consumer = consumer.lock().unwrap_or_else(PoisonError::into_inner);
            consumer(ListingEvent::Record(Taken {
                record,
                line,
                is_first_page: place.is_first_of_all,
                is_first_of_listing: place.is_first_of_listing,
                listing,
            }))
        };
        self.pages(parents.len(), scope, &mut take, &|| self.is_enough(count))
            .await
    }

    fn is_enough(&self, count: &AtomicU64) -> bool {
        let count = count.load(Ordering::Relaxed);
        self.limit.is_some_and(|limit| count >= limit)
    }

    /// For each record of a parent, what listings of its child need of it: once, also when it comes again.
    async fn scopes(&self, parent: usize, above: Vec<Arc<Scope>>) -> Result<Vec<Arc<Scope>>> {
        let pair = self.chain.get(parent).zip(self.chain.get(parent + 1));
        let Some((endpoint, child)) = pair else {
            return Ok(Vec::new());
        };
        let needs = Needs::of(child);
        let needs = &needs;
        let most = self.most_parents.unwrap_or(usize::MAX);
        let listings = stream::iter(above).map(|scope| async move {
            let include = included(endpoint, &scope);
            let found = Mutex::new(Once::default());
            let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
            let mut take = |record: Raw<'_>, _: Place| {
                let scope = Arc::new(needs.scope(record, &include, endpoint)?);
                if lock().add(Arc::clone(&scope)) {
                    self.kept.add(&scope);
                }
                Ok(())
            };
            let is_enough = || lock().len() >= most;
            self.pages(parent, &scope, &mut take, &is_enough).await?;
            self.kept.remove(&scope);
            let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
            Ok::<_, RestError>(found.first(most))
        });
        let mut listings = pin!(listings.buffered(self.at_once));
        let mut once = Once::default();
        while let Some(found) = listings.try_next().await? {
            for scope in found {
                if !once.add(Arc::clone(&scope)) {
                    self.kept.remove(&scope);
                }
            }
        }
        Ok(once.first(most))
    }

    /// The pages of one listing.
    async fn pages(
        &self,
        level: usize,
        scope: &Scope,
        take: &mut Take<'_>,
        is_enough: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let Some(endpoint) = self.chain.get(level) else {
            return Ok(());
        };
        if let Some(job) = &endpoint.job {
            return self.exported(level, endpoint, (job, scope), take).await;
        }
        let first = self.request(level, endpoint, scope)?;
        let address = Address::new(first.method.as_str(), &first.url);
        let fault = |fault| faulty(fault, &address);
        let counted = endpoint.total.as_ref();
        let mut pager = Pager::new(&endpoint.paging, endpoint.most_pages, counted);
        let mut request = first.with(endpoint, pager.first())?;
        let (mut total, mut is_nothing) = (None, false);
        let (mut before, mut ahead) = (None::<Request>, Ahead::default());
        loop {
            self.kept.reserve(self.client).await?;
            let answer = match (ahead.ask(self.client, &request).await, &before) {
                (Err(RestError::Refused { status, .. }), Some(before))
                    if pager.may_be_behind_the_end(status) =>
                {
                    // The end, if the page before it is still there.
                    self.client.ask(before).await?;
                    break;
                }
                (answer, _) => answer.map_err(|error| behind(error, &pager))?,
            };
            let answer = self.as_json(level, endpoint, answer, &address).await?;
            let page = self.page(level, endpoint, &answer, &address)?;
            let is_own = level + 1 == self.chain.len();
            let place = Place {
                is_first_of_all: is_own && self.begun.set(answer.server_time).is_ok(),
                is_first_of_listing: before.is_none(),
            };
            for record in &page.records {
                take(*record, place)?;
            }
            is_nothing |= page.is_nothing;
            if let Some(path) = &endpoint.total {
                total = path.scalar(page.body).or(total);
            }
            if is_enough() {
                return Ok(());
            }
            let is_second = before.replace(request).is_none();
            request = match pager.next(&page).map_err(fault)? {
                Next::End => break,
                Next::Parameters(parameters) => first.with(endpoint, parameters)?,
                Next::Url(url) => next_url(&first, &answer.url, &url, &address)?,
            };
            if is_second {
                let ahead_of = pager.ahead(&page, total.as_deref());
                let requests = ahead_of.into_iter().map(|of| first.with(endpoint, of));
                let requests = requests.collect::<Result<_>>()?;
                ahead = Ahead::new(self.client, requests, self.pages_at_once(&answer));
            }
        }
        self.repeated.fetch_add(pager.repeated(), Ordering::Relaxed);
        let is_none = is_nothing && total.is_none() && pager.records() == 0;
        match &endpoint.total {
            Some(path) if !is_none && total.as_deref() != Some(&pager.records().to_string()) => {
                Err(RestError::Total {
                    request: address,
                    path: path.to_string(),
                    found: pager.records(),
                    total: total.unwrap_or_else(|| "nothing".to_owned()),
                })
            }
            _ => Ok(()),
        }
    }

    /// The records of a file of a job; gives their number.
    pub(super) async fn file(
        &self,
        level: usize,
        endpoint: &Endpoint,
        (request, of): (&Request, PageOf),
        take: &mut Take<'_>,
    ) -> Result<u64> {
        let address = Address::new(request.method.as_str(), &request.url);
        let answer = self.client.ask(request).await?;
        let answer = self.as_json(level, endpoint, answer, &address).await?;
        let page = self.page(level, endpoint, &answer, &address)?;
        let is_own = level + 1 == self.chain.len();
        let place = Place {
            is_first_of_all: is_own && self.begun.set(of.begun).is_ok(),
            is_first_of_listing: of.is_first_of_listing,
        };
        for record in &page.records {
            take(*record, place)?;
        }
        Ok(page.records.len() as u64)
    }

    /// An answer with its body as JSON. One of other columns than the first one has is no further page.
    async fn as_json(
        &self,
        level: usize,
        endpoint: &Endpoint,
        answer: Answer,
        address: &Address,
    ) -> Result<Answer> {
        let form = &endpoint.form;
        let (answer, columns) = self.client.as_json(answer, form, address).await?;
        if let (Some(columns), Some(known)) = (columns, self.columns.get(level))
            && *known.get_or_init(|| columns.clone()) != columns
        {
            return Err(RestError::Unreadable {
                request: address.clone(),
                form: form.word(),
                why: "its header is not the one of the first answer".to_owned(),
            });
        }
        Ok(answer)
    }

    /// How many pages of this size may wait to be read: a small part of the memory.
    fn pages_at_once(&self, page: &Answer) -> usize {
        if self.limit.is_some() {
            return 1;
        }
        let bytes = (page.body.len() as u64).max(64 << 10);
        let most = self.client.memory_bytes() / 8 / bytes;
        self.at_once
            .min(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// The page of an answer, with its records where those of the first one were.
    fn page<'a>(
        &self,
        level: usize,
        endpoint: &Endpoint,
        answer: &'a Answer,
        address: &Address,
    ) -> Result<Page<'a>> {
        if answer.is_nothing {
            return Ok(Page::nothing());
        }
        let found = self.found.get(level);
        let records = found.and_then(OnceLock::get).unwrap_or(&endpoint.records);
        if endpoint.graphql.is_some()
            && let Some(message) = graphql::error_of(&answer.body)
        {
            return Err(RestError::GraphQl {
                request: address.clone(),
                message: self.client.excerpt(message.as_bytes()),
            });
        }
        let mut page = Page::read(&answer.body, &answer.headers, records, address)?;
        if let (Some(at), Some(found)) = (page.found_at.take(), found) {
            let known = found.get_or_init(|| at.clone());
            if *known != at {
                // Another listing came first, and has its records elsewhere.
                page = Page::read(&answer.body, &answer.headers, known, address)?;
            }
        }
        if endpoint.graphql.is_some()
            && !endpoint.keeps_first_inside
            && let Some(at) = page
                .records
                .iter()
                .find_map(|one| graphql::more_inside(*one))
        {
            return Err(RestError::MoreInside {
                request: address.clone(),
                at,
            });
        }
        if endpoint.paging.how != Paginate::Unsaid {
            return Ok(page);
        }
        match page.more_than_this() {
            None => Ok(page),
            Some((at, proposal)) => Err(RestError::NextPage {
                request: address.clone(),
                at,
                proposal,
            }),
        }
    }

    /// The first request of a listing, without its page.
    pub(super) fn request(
        &self,
        level: usize,
        endpoint: &Endpoint,
        scope: &Scope,
    ) -> Result<Request> {
        // The cursor is of the endpoint itself: of its parents all records are listed.
        let is_own = level + 1 == self.chain.len();
        let cursor = self.begin.filter(|_| is_own);
        let cursor = cursor.and_then(|begin| begin.of(scope));
        Request::first(self.base, endpoint, scope, cursor)
    }
}

/// The request of a page by its URL, which may be relative to the page before it.
pub(super) fn next_url(
    first: &Request,
    before: &Url,
    url: &str,
    address: &Address,
) -> Result<Request> {
    let url = before.join(url).map_err(|_| RestError::Endless {
        request: address.clone(),
        why: "the address of the next page is not valid".to_owned(),
    })?;
    Ok(Request {
        url,
        ..first.clone()
    })
}

/// A failure of the request for the next page, with how the project says that it is the end.
fn behind(mut error: RestError, pager: &Pager<'_>) -> RestError {
    if let RestError::Refused { status, end, .. } = &mut error {
        *end = pager.end_by(*status);
    }
    error
}

fn faulty(fault: Fault, request: &Address) -> RestError {
    let request = request.clone();
    match fault {
        Fault::Endless(why) => RestError::Endless { request, why },
        Fault::More { at, is_count } => RestError::More {
            request,
            at,
            is_count,
        },
        Fault::Field { option, path, why } => RestError::Field {
            request,
            option,
            path,
            why,
        },
    }
}
