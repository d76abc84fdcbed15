//! Which page comes next: pure steps from a page to the next request, until the last page.
//!
//! Promise: a page is the last one only where the response shows it: an empty page, an empty cursor, a
//! false `more`. A field that the project names and the response does not have, a response that says
//! there is more, a page or cursor that comes again, and too many pages are errors. A short page is never
//! the end by itself: a server may give fewer records than it was asked for. It sends nothing. Read next:
//! `page.rs` for what a response shows, `paginate_options.rs` for the options.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};

use serde_json::Value;

use super::page::Page;
use super::path::{At, JsonPath};
use super::raw::Raw;
use super::retry::may_pass;

const NOT_SINGLE: &str = "is not a single value";

/// Empty pages that may follow each other where the response says that there are more.
const MOST_EMPTY: u64 = 1_000;

/// How an endpoint gives pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paginate {
    /// Nothing is said: one page, and it names no next one.
    Unsaid,
    /// One page.
    Single,
    /// By numbers of pages, or of records where `by_record` is set.
    Numbered {
        param: String,
        start: u64,
        by_record: bool,
        size: Option<u64>,
        size_param: Option<String>,
        pages: Option<JsonPath>,
    },
    /// By a cursor in the response.
    Cursor { param: String, at: JsonPath },
    /// By a value of the last record.
    LastRecord { param: String, at: JsonPath },
    /// By a URL in the response.
    NextUrl { at: JsonPath },
    /// By a URL in the header `Link`.
    LinkHeader,
}

/// How an endpoint gives pages, and how it says that there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) how: Paginate,
    /// The value that is false on the last page.
    pub(super) more: Option<JsonPath>,
    /// The API leaves `at` and `more` out of the last page.
    pub(super) absent_at_end: bool,
    /// The API answers with this status behind the last page.
    pub(super) end_status: Option<u16>,
    /// A count in the response is of other records: nothing is compared with it.
    pub(super) ignore_count: bool,
    /// The parameters of a page are values in the JSON body.
    pub(super) in_body: bool,
}

/// The parameters of a page: their names, or paths in a body, and their values with the types they have.
pub(super) type Parameters = Vec<(String, Value)>;

/// How a project says that a count is of other records.
pub(super) const IGNORE_COUNT: &str = "if that count is of other records, such as of the whole table where the request asks for a part: `ignore_count: true` in `paginate`";

impl Paging {
    /// True where pages are numbered: a record that changes moves others between them.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.how, Paginate::Numbered { .. })
    }

    /// Parameters of a page as they may be, to see whether there is place for them.
    pub(super) fn sample(&self) -> Parameters {
        let (param, size_param) = match &self.how {
            Paginate::Numbered {
                param, size_param, ..
            } => (param, size_param.as_ref()),
            Paginate::Cursor { param, .. } | Paginate::LastRecord { param, .. } => (param, None),
            _ => return Parameters::new(),
        };
        let params = [param].into_iter().chain(size_param);
        params.map(|param| (param.clone(), Value::Null)).collect()
    }

    /// True where a next page is asked for that no response has named: it may not be there.
    fn asks_unnamed(&self) -> bool {
        self.is_numbered() || matches!(self.how, Paginate::LastRecord { .. })
    }
}

/// What to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: this was the last page.
    End,
    /// The same address with these parameters.
    Parameters(Parameters),
    /// This address, relative to the last one.
    Url(String),
}

/// Why the pages of a listing cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They do not end: a reason in words.
    Endless(String),
    /// A field that an option names is not there, or is not what it must be.
    Field {
        option: &'static str,
        path: String,
        why: &'static str,
    },
    /// The response says here that there are more, and nothing names the next page.
    More { at: String, is_count: bool },
}

/// The pages of one listing.
#[derive(Debug)]
pub(super) struct Pager<'p> {
    paging: &'p Paging,
    most: u64,
    /// Where the API counts all records: the number of those read is compared with it.
    total: Option<&'p JsonPath>,
    /// Pages and records so far.
    pages: u64,
    records: u64,
    /// Empty pages since the last record.
    empty: u64,
    /// The last page had fewer records than were asked for.
    was_short: bool,
    /// How many records there are, as the pages say it, and where they do.
    counted: Option<(String, u64)>,
    /// The last page said that there are more.
    expects_more: bool,
    /// Options whose field was in a page.
    present: HashSet<&'static str>,
    /// Cursors, numbers and addresses that were asked for.
    seen: HashSet<String>,
    /// The identity of the last page.
    last: Option<u64>,
    /// The identities of its records, where pages are numbered.
    last_records: HashSet<u64>,
    /// Records that came on two numbered pages behind each other.
    repeated: u64,
}

impl<'p> Pager<'p> {
    pub(super) fn new(paging: &'p Paging, most: u64, total: Option<&'p JsonPath>) -> Self {
        Self {
            paging,
            most,
            total,
            pages: 0,
            records: 0,
            empty: 0,
            was_short: false,
            counted: None,
            expects_more: false,
            present: HashSet::new(),
            seen: HashSet::new(),
            last: None,
            last_records: HashSet::new(),
            repeated: 0,
        }
    }

    /// Records of all pages so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Records that came on two numbered pages behind each other: the data changed between them, and other
    /// records may have moved to a page that was read before.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// True where a refusal may mean that there is no further page: "not found" behind a short numbered
    /// page, and the status that the project names.
    pub(super) fn may_be_behind_the_end(&self, status: u16) -> bool {
        let is_named = self.paging.end_status == Some(status);
        let is_usual = self.paging.is_numbered() && self.was_short && status == 404;
        self.pages > 0 && !self.expects_more && (is_named || is_usual)
    }

    /// How a project says that this refusal behind a page is the end, where it may be.
    pub(super) fn end_by(&self, status: u16) -> Option<String> {
        let paging = self.paging;
        if self.pages == 0 || !paging.asks_unnamed() || !may_be_the_end(status) {
            return None;
        }
        if self.counts_more().is_some() {
            return Some(IGNORE_COUNT.to_owned());
        }
        let is_open = !self.expects_more && paging.end_status != Some(status);
        is_open.then(|| {
            format!(
                "if the API answers so behind its last page: `end_status: {status}` in `paginate`"
            )
        })
    }

    /// The parameters of the first page.
    pub(super) fn first(&self) -> Parameters {
        match &self.paging.how {
            Paginate::Numbered {
                param,
                start,
                size,
                size_param,
                ..
            } => page_parameters(param, *start, size_param.as_ref(), *size),
            _ => Vec::new(),
        }
    }

    /// The parameters of the pages that will follow by what the last one says, if it says how many there
    /// are. Each is asked for only where `next` leads to it.
    pub(super) fn ahead(&self, page: &Page<'_>, total: Option<&str>) -> Vec<Parameters> {
        let Paginate::Numbered {
            param,
            start,
            by_record,
            size,
            size_param,
            pages,
        } = &self.paging.how
        else {
            return Vec::new();
        };
        let said = pages.as_ref().and_then(|path| path.scalar(page.body));
        let said = said.and_then(|text| text.parse::<u64>().ok());
        // A count of records says how many pages there are only where this one is full.
        let full = size.filter(|size| page.records.len() as u64 == *size && pages.is_none());
        let counted = full.zip(total.and_then(|total| total.parse::<u64>().ok()));
        let counted = counted.map(|(size, total)| total.div_ceil(size));
        let last = said.or(counted).unwrap_or(0).min(self.most);
        let step = if *by_record { size.unwrap_or(1) } else { 1 };
        (self.pages..last)
            .map(|number| {
                let at = start.saturating_add(number.saturating_mul(step));
                page_parameters(param, at, size_param.as_ref(), *size)
            })
            .collect()
    }

    /// What follows a page.
    pub(super) fn next(&mut self, page: &Page<'_>) -> Result<Next, Fault> {
        self.count(page)?;
        if page.is_nothing {
            // Behind other pages there may be nothing only where nobody has said that there is a page.
            let may_end = self.pages == 1 || self.paging.asks_unnamed() && !self.expects_more;
            let at = "the page before".to_owned();
            let is_count = self.counts_more().is_some();
            return match may_end {
                true => Ok(Next::End),
                false => Err(Fault::More { at, is_count }),
            };
        }
        let more = self.says_more(page)?;
        if more == Some(false) {
            return Ok(Next::End);
        }
        match self.step(page, more)? {
            Next::End => match (more, &self.paging.more) {
                (Some(true), Some(path)) => Err(Fault::More {
                    at: format!("`{path}`"),
                    is_count: false,
                }),
                _ => self.end(page),
            },
            next => self.onward(next),
        }
    }

    /// Counts a page; an error when it is the one before it again.
    fn count(&mut self, page: &Page<'_>) -> Result<(), Fault> {
        let count = page.records.len() as u64;
        self.pages += 1;
        self.records += count;
        self.empty = if count == 0 { self.empty + 1 } else { 0 };
        let identity = page.identity();
        // Two pages behind other addresses may hold equal records.
        let repeats_matter = !matches!(
            self.paging.how,
            Paginate::NextUrl { .. } | Paginate::LinkHeader
        );
        if count > 0 && self.last == Some(identity) && repeats_matter {
            return Err(Fault::Endless(format!(
                "page {} has the same records as the one before it",
                self.pages
            )));
        }
        if self.empty > MOST_EMPTY {
            return Err(Fault::Endless(format!(
                "there are more than {MOST_EMPTY} pages without a record behind each other"
            )));
        }
        self.last = Some(identity);
        if self.paging.is_numbered() {
            let records: HashSet<u64> = page.records.iter().copied().map(identity_of).collect();
            self.repeated += records.intersection(&self.last_records).count() as u64;
            self.last_records = records;
        }
        Ok(())
    }

    /// The end, where nothing in the response speaks against it.
    fn end(&self, page: &Page<'_>) -> Result<Next, Fault> {
        if self.total.is_some() {
            return Ok(Next::End);
        }
        let must_agree = match self.paging.how {
            Paginate::Cursor { .. } | Paginate::NextUrl { .. } | Paginate::LinkHeader => true,
            Paginate::Numbered { .. } => page.records.is_empty(),
            Paginate::Unsaid | Paginate::Single | Paginate::LastRecord { .. } => false,
        };
        let named = must_agree.then(|| page.next_page()).flatten();
        let is_count = named.is_none();
        let named = named.map(|(at, _)| at);
        match named.or_else(|| self.counts_more()) {
            Some(at) => Err(Fault::More { at, is_count }),
            None => Ok(Next::End),
        }
    }

    /// Where the pages count more records than were read.
    fn counts_more(&self) -> Option<String> {
        let counted = self.counted.as_ref();
        let (at, _) = counted.filter(|(_, count)| *count > self.records)?;
        Some(at.clone())
    }

    /// The next page, if it was not asked for before and may be asked for.
    fn onward(&mut self, next: Next) -> Result<Next, Fault> {
        if self.pages >= self.most {
            return Err(Fault::Endless(format!(
                "there are more than {} pages (`max_pages`)",
                self.most
            )));
        }
        let name = match &next {
            Next::Url(url) => Some(url.clone()),
            Next::Parameters(list) => list.first().map(|(_, value)| value.to_string()),
            Next::End => None,
        };
        match name.filter(|name| !self.seen.insert(name.clone())) {
            Some(_) => Err(Fault::Endless(format!(
                "page {} leads to a page that was read before",
                self.pages
            ))),
            None => Ok(next),
        }
    }

    /// What `more` says, where the project names it.
    fn says_more(&mut self, page: &Page<'_>) -> Result<Option<bool>, Fault> {
        let paging = self.paging;
        let Some(path) = &paging.more else {
            return Ok(None);
        };
        match self.field("more", path, page)?.as_deref() {
            None | Some("false" | "0") => Ok(Some(false)),
            Some("true" | "1") => Ok(Some(true)),
            Some(_) => Err(Fault::Field {
                option: "more",
                path: path.to_string(),
                why: "is neither true nor false",
            }),
        }
    }

    /// The text of a field that an option names; `None` where it is null or an empty text, and where it
    /// is missing from a last page.
    fn field(
        &mut self,
        option: &'static str,
        path: &JsonPath,
        page: &Page<'_>,
    ) -> Result<Option<String>, Fault> {
        match self.raw_field(option, path, page)? {
            Some(value) if value.is_array() || value.is_object() => Err(Fault::Field {
                option,
                path: path.to_string(),
                why: NOT_SINGLE,
            }),
            value => Ok(value.and_then(Raw::scalar)),
        }
    }

    /// A field that an option names, whatever it is; `None` where it is null, and where it is missing from
    /// a last page.
    fn raw_field<'b>(
        &mut self,
        option: &'static str,
        path: &JsonPath,
        page: &Page<'b>,
    ) -> Result<Option<Raw<'b>>, Fault> {
        let wrong = |why| Fault::Field {
            option,
            path: path.to_string(),
            why,
        };
        let may_be_absent = self.paging.absent_at_end || self.present.contains(option);
        match path.at(page.body) {
            At::Absent if may_be_absent => Ok(None),
            At::Absent => Err(wrong("is not there")),
            At::Null => {
                self.present.insert(option);
                Ok(None)
            }
            At::Value(value) => {
                self.present.insert(option);
                Ok(Some(value))
            }
        }
    }

    /// A value of a response as a parameter of the next page, with the type it has; `None` for an empty
    /// text. Lists and maps are parameters in a body only.
    fn parameter(&self, path: &JsonPath, value: Raw<'_>) -> Result<Option<Value>, Fault> {
        let is_single = !value.is_array() && !value.is_object();
        let value: Option<Value> = serde_json::from_str(value.text()).ok();
        let value = value.filter(|_| is_single || self.paging.in_body);
        match value {
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => Ok(Some(value)),
            None => Err(Fault::Field {
                option: "at",
                path: path.to_string(),
                why: NOT_SINGLE,
            }),
        }
    }

    fn step(&mut self, page: &Page<'_>, more: Option<bool>) -> Result<Next, Fault> {
        let paging = self.paging;
        match &paging.how {
            Paginate::Unsaid | Paginate::Single => Ok(Next::End),
            Paginate::Numbered { .. } => self.numbered(page, more),
            Paginate::Cursor { param, at } => {
                let cursor = self.raw_field("at", at, page)?;
                let cursor = cursor
                    .map(|cursor| self.parameter(at, cursor))
                    .transpose()?;
                Ok(match cursor.flatten() {
                    Some(cursor) => Next::Parameters(vec![(param.clone(), cursor)]),
                    None => Next::End,
                })
            }
            Paginate::LastRecord { param, at } => {
                self.expects_more = more == Some(true) || page.next_page().is_some();
                let Some(last) = page.records.last() else {
                    return Ok(Next::End);
                };
                let value = match at.at(*last) {
                    At::Value(value) => self.parameter(at, value)?,
                    At::Absent | At::Null => None,
                };
                let value = value.ok_or_else(|| Fault::Field {
                    option: "at",
                    path: at.to_string(),
                    why: "is not there or empty in the last record of a page",
                })?;
                Ok(Next::Parameters(vec![(param.clone(), value)]))
            }
            Paginate::NextUrl { at } => {
                Ok(self.field("at", at, page)?.map_or(Next::End, Next::Url))
            }
            Paginate::LinkHeader => Ok(page.link.clone().map_or(Next::End, Next::Url)),
        }
    }

    fn numbered(&mut self, page: &Page<'_>, more: Option<bool>) -> Result<Next, Fault> {
        let paging = self.paging;
        let Paginate::Numbered {
            param,
            start,
            by_record,
            size,
            size_param,
            pages,
        } = &paging.how
        else {
            return Ok(Next::End);
        };
        let count = page.records.len() as u64;
        self.was_short = size.is_none_or(|size| count < size);
        if self.total.is_none() && !paging.ignore_count {
            self.counted = page.counted().or(self.counted.take());
        }
        // What names a page behind an empty one is looked at where the pages end.
        self.expects_more = more == Some(true)
            || pages.is_some()
            || self.counts_more().is_some()
            || count > 0 && page.next_page().is_some();
        // A count that is of the first page alone would end there too.
        let is_count_of_all = self.pages > 1 || size.is_some() && self.was_short;
        let has_all = is_count_of_all && !self.expects_more && self.has_all(page);
        let is_last = match (pages, more) {
            (Some(path), _) => self.pages >= self.number("pages", path, page)?,
            (None, Some(more)) => !more,
            (None, None) => count == 0 || has_all,
        };
        if is_last {
            return Ok(Next::End);
        }
        let done = if *by_record { self.records } else { self.pages };
        let at = start.saturating_add(done);
        // An empty page of records by number would be asked for again.
        if *by_record && count == 0 {
            return Ok(Next::End);
        }
        Ok(Next::Parameters(page_parameters(
            param,
            at,
            size_param.as_ref(),
            *size,
        )))
    }

    /// The API's own count of records is reached.
    fn has_all(&self, page: &Page<'_>) -> bool {
        let total = self.total.and_then(|path| path.scalar(page.body));
        total.and_then(|total| total.parse().ok()) == Some(self.records)
    }

    fn number(
        &mut self,
        option: &'static str,
        path: &JsonPath,
        page: &Page<'_>,
    ) -> Result<u64, Fault> {
        let text = self.field(option, path, page)?.unwrap_or_default();
        text.parse().map_err(|_| Fault::Field {
            option,
            path: path.to_string(),
            why: "is not a whole number",
        })
    }
}

/// True for a refusal that may mean that there is no such page: not one of credentials or limits.
pub(super) fn may_be_the_end(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 401 | 403 | 407) && !may_pass(status)
}

/// A number for a record: equal ones have the same.
fn identity_of(record: Raw<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record.text().as_bytes());
    hasher.finish()
}

/// The parameters of a page by its number.
fn page_parameters(
    param: &str,
    number: u64,
    size_param: Option<&String>,
    size: Option<u64>,
) -> Parameters {
    let number = (param.to_owned(), Value::from(number));
    let size = size_param.cloned().zip(size.map(Value::from));
    [number].into_iter().chain(size).collect()
}
