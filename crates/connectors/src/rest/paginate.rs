//! Which page comes next: pure steps from a page to the next request, until the last page.
//!
//! Promise: every kind of pagination ends: an empty page, a missing cursor, or a false `more` is the end;
//! a page or cursor that comes again, or too many pages, is an error. A short page is the end only where a
//! full one came before: a server may give fewer records than it was asked for. It sends nothing.

use std::collections::HashSet;

use serde_json::Value;

use super::page::Page;
use super::path::JsonPath;

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

/// What to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: this was the last page.
    End,
    /// The same address with these parameters.
    Parameters(Vec<(String, String)>),
    /// This address, relative to the last one.
    Url(String),
}

/// The pages of one listing.
#[derive(Debug)]
pub(super) struct Pager<'p> {
    how: &'p Paginate,
    more: Option<&'p JsonPath>,
    most: u64,
    /// Pages and records so far.
    pages: u64,
    records: u64,
    /// A page had as many records as were asked for.
    had_full: bool,
    /// The last page had fewer.
    was_short: bool,
    /// Cursors, numbers and addresses that were asked for.
    seen: HashSet<String>,
    /// The identity of the last page.
    last: Option<u64>,
}

impl<'p> Pager<'p> {
    pub(super) fn new(how: &'p Paginate, more: Option<&'p JsonPath>, most: u64) -> Self {
        Self {
            how,
            more,
            most,
            pages: 0,
            records: 0,
            had_full: false,
            was_short: false,
            seen: HashSet::new(),
            last: None,
        }
    }

    /// Records of all pages so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// True where "not found" means that there is no further page: some servers say so behind the last.
    pub(super) fn may_be_behind_the_end(&self) -> bool {
        matches!(self.how, Paginate::Numbered { .. }) && self.pages > 0 && self.was_short
    }

    /// The parameters of the first page.
    pub(super) fn first(&self) -> Vec<(String, String)> {
        match self.how {
            Paginate::Numbered {
                param,
                start,
                size,
                size_param,
                ..
            } => {
                let number = (param.clone(), start.to_string());
                let size = size_param.clone().zip(size.map(|size| size.to_string()));
                [number].into_iter().chain(size).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What follows a page; the error is a reason in words why there is no end.
    pub(super) fn next(&mut self, page: &Page<'_>) -> Result<Next, String> {
        let count = page.records.len() as u64;
        self.pages += 1;
        self.records += count;
        let identity = page.identity();
        if count > 0 && self.last == Some(identity) && self.repeats_matter() {
            return Err(format!(
                "page {} has the same records as the one before it",
                self.pages
            ));
        }
        self.last = Some(identity);
        let next = self.step(page, count);
        if next == Next::End || self.is_said_to_end(page) {
            return Ok(Next::End);
        }
        if self.pages >= self.most {
            return Err(format!(
                "there are more than {} pages (`max_pages`)",
                self.most
            ));
        }
        let name = match &next {
            Next::Url(url) => Some(url.clone()),
            Next::Parameters(list) => list.first().map(|(_, value)| value.clone()),
            Next::End => None,
        };
        match name.filter(|name| !self.seen.insert(name.clone())) {
            Some(_) => Err(format!(
                "page {} leads to a page that was read before",
                self.pages
            )),
            None => Ok(next),
        }
    }

    /// Whether the same records twice mean that a parameter has no effect. Two pages with other cursors
    /// may hold equal records.
    fn repeats_matter(&self) -> bool {
        matches!(
            self.how,
            Paginate::Numbered { .. } | Paginate::LastRecord { .. } | Paginate::Cursor { .. }
        )
    }

    fn is_said_to_end(&self, page: &Page<'_>) -> bool {
        let more = self.more.and_then(|path| path.find(page.body));
        more.is_some_and(|more| matches!(more.text(), "false" | "null" | "0"))
    }

    fn step(&mut self, page: &Page<'_>, count: u64) -> Next {
        match self.how {
            Paginate::Unsaid | Paginate::Single => Next::End,
            Paginate::Numbered {
                param,
                start,
                by_record,
                size,
                size_param,
                pages,
            } => {
                let all = pages.as_ref().and_then(|path| path.scalar(page.body));
                let all = all.and_then(|text| text.parse::<u64>().ok());
                self.had_full |= size.is_some_and(|size| count >= size);
                self.was_short = size.is_none_or(|size| count < size);
                let is_last = match all {
                    Some(all) => self.pages >= all,
                    None => count == 0 || self.had_full && self.was_short,
                };
                if is_last {
                    return Next::End;
                }
                let done = if *by_record { self.records } else { self.pages };
                let number = (param.clone(), start.saturating_add(done).to_string());
                let size = size_param.clone().zip(size.map(|size| size.to_string()));
                Next::Parameters([number].into_iter().chain(size).collect())
            }
            Paginate::Cursor { param, at } => match at.scalar(page.body) {
                Some(cursor) => Next::Parameters(vec![(param.clone(), cursor)]),
                None => Next::End,
            },
            Paginate::LastRecord { param, at } => {
                let last = page.records.last().and_then(|record| at.scalar(*record));
                last.map_or(Next::End, |last| {
                    Next::Parameters(vec![(param.clone(), last)])
                })
            }
            Paginate::NextUrl { at } => at.scalar(page.body).map_or(Next::End, Next::Url),
            Paginate::LinkHeader => page.link.clone().map_or(Next::End, Next::Url),
        }
    }
}

/// Reads `paginate` of a table; the error is what is wrong with it.
pub(super) fn read(value: Option<&Value>) -> Result<(Paginate, Option<JsonPath>), String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok((Paginate::Unsaid, None));
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let path = |key: &str| text(key).map(|text| JsonPath::new(&text));
    let needed = |key: &str| path(key).ok_or_else(|| format!("has no `{key}`"));
    let number = |key: &str| match value.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| format!("has `{key}: {value}`, which is not a whole number")),
    };
    let size = || match number("size") {
        Ok(Some(0)) => Err("has `size: 0`".to_owned()),
        size => size,
    };
    let how = match text("type").as_deref() {
        Some("single") => Paginate::Single,
        Some("page") => {
            let (size, size_param) = (size()?, text("size_param"));
            if size_param.is_some() && size.is_none() {
                return Err("has `size_param` without `size`".to_owned());
            }
            Paginate::Numbered {
                param: text("param").unwrap_or_else(|| "page".to_owned()),
                start: number("start")?.unwrap_or(1),
                by_record: false,
                size,
                size_param,
                pages: path("pages"),
            }
        }
        Some("offset") => Paginate::Numbered {
            param: text("param").unwrap_or_else(|| "offset".to_owned()),
            start: 0,
            by_record: true,
            size: Some(size()?.ok_or("has no `size`")?),
            size_param: Some(text("size_param").unwrap_or_else(|| "limit".to_owned())),
            pages: None,
        },
        Some("cursor") => Paginate::Cursor {
            param: text("param").unwrap_or_else(|| "cursor".to_owned()),
            at: needed("at")?,
        },
        Some("last_record") => Paginate::LastRecord {
            param: text("param").ok_or("has no `param`")?,
            at: path("at").unwrap_or_else(|| JsonPath::new("id")),
        },
        Some("next_url") => Paginate::NextUrl { at: needed("at")? },
        Some("link_header") => Paginate::LinkHeader,
        other => {
            return Err(format!(
                "has the type `{}`, which is not known",
                other.unwrap_or_default()
            ));
        }
    };
    Ok((how, path("more")))
}
