//! How the pages of an endpoint follow each other: what the first one says, then what is tried.
//!
//! Promise: a `paginate` is proposed only after two pages with different records were read by it; where the
//! second one is empty, it is a guess. Read next: `asker.rs`, and `paginate.rs` for what the options mean.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::asker::{Asked, Asker, Options, Tried};
use super::signs::{self, Signs};
use crate::rest::error::Result;
use crate::rest::paginate::{Parameters, may_be_the_end};
use crate::rest::path::JsonPath;
use crate::rest::raw::Raw;

/// Parameters of the number of a page.
const PAGES: [&str; 4] = ["page", "page_number", "pageNumber", "p"];

/// Parameters of the number of a record, with those of the size of a page.
const OFFSETS: [(&str, &str); 6] = [
    ("offset", "limit"),
    ("skip", "limit"),
    ("start", "limit"),
    ("startAt", "maxResults"),
    ("from", "size"),
    ("$skip", "$top"),
];

/// Parameters of the last record.
const LAST: [&str; 6] = [
    "starting_after",
    "after",
    "since_id",
    "after_id",
    "last_id",
    "start_after",
];

/// Parameters of a cursor, beside those that are made of its name.
const CURSORS: [&str; 8] = [
    "cursor",
    "after",
    "page_token",
    "pageToken",
    "next_token",
    "token",
    "continuation",
    "page",
];

/// Parameters of the size of a page.
const SIZES: [&str; 9] = [
    "limit",
    "per_page",
    "page_size",
    "pageSize",
    "size",
    "maxResults",
    "$top",
    "count",
    "take",
];

/// A page that is far behind the last one.
const FAR_PAGE: u64 = 1_000_000;
const FAR_RECORD: u64 = 100_000_000;

/// The size of a page that is proposed where the API's own is not known.
const SIZE: u64 = 100;

/// How pages follow each other.
#[derive(Debug)]
pub(super) struct Paging {
    pub(super) paginate: Value,
    pub(super) why: String,
    pub(super) is_guess: bool,
}

/// How an answer changes with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// Not, or it is refused.
    None,
    /// There are no records.
    Empty,
    /// There are other records.
    Others,
}

/// Looks for the pages of one endpoint.
pub(super) struct Finder<'f> {
    pub(super) asker: &'f Asker<'f>,
    pub(super) options: &'f Options,
    /// The page that the endpoint gives without parameters of pages.
    pub(super) first: &'f Asked,
    pub(super) signs: &'f Signs,
}

/// Options with this `paginate`.
fn with(options: &Options, paginate: &Value) -> Options {
    let mut options = options.clone();
    options.insert("paginate".to_owned(), paginate.clone());
    options
}

fn read_by(why: &str) -> String {
    format!("{why}; page 2 was read by it")
}

/// Adds a key.
fn put(paginate: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = paginate.as_object_mut() {
        map.insert(key.to_owned(), value.into());
    }
}

impl Finder<'_> {
    /// How pages follow each other, if two of them show it.
    pub(super) async fn find(&self) -> Result<Option<Paging>> {
        if let Some(found) = self.named().await? {
            return Ok(Some(found));
        }
        if self.first.records.is_empty() {
            return Ok(None);
        }
        if self.signs.more.as_ref().is_some_and(|(_, more)| *more)
            && let Some(found) = self.by_last_record().await?
        {
            return Ok(Some(found));
        }
        if let Some(found) = self.by_page().await? {
            return Ok(Some(found));
        }
        if let Some(found) = self.by_offset(None).await? {
            return Ok(Some(found));
        }
        self.by_last_record().await
    }

    /// The same with pages of one record, where one page holds them all now.
    pub(super) async fn find_with_small_pages(&self) -> Result<Option<Paging>> {
        if self.first.records.len() < 2 {
            return Ok(None);
        }
        for param in SIZES {
            let more: Parameters = vec![(param.to_owned(), json!(1))];
            let Some(small) = self.asker.first_if_any(self.options, more).await? else {
                continue;
            };
            if small.records.len() != 1 || small.records.first() != self.first.records.first() {
                continue;
            }
            let mut options = self.options.clone();
            let params = options
                .entry("params".to_owned())
                .or_insert_with(|| json!({}));
            put(params, param, "1");
            let records = signs::records_path(&options);
            let signs = Signs::of(&small, records.as_ref());
            let finder = Finder {
                asker: self.asker,
                options: &options,
                first: &small,
                signs: &signs,
            };
            let named = finder.named().await?;
            let found = match named {
                Some(found) => Some(found),
                None => finder.by_any_number(param).await?,
            };
            return Ok(found.map(|found| Paging {
                why: format!(
                    "one page has all records now; with `{param}=1`: {}",
                    found.why
                ),
                is_guess: true,
                ..found
            }));
        }
        Ok(None)
    }

    /// Pages by number, of a size that this parameter says.
    async fn by_any_number(&self, size_param: &str) -> Result<Option<Paging>> {
        if let Some(found) = self.by_page().await? {
            return Ok(Some(found));
        }
        if let Some(mut found) = self.by_offset(Some(size_param)).await? {
            put(&mut found.paginate, "size", SIZE);
            return Ok(Some(found));
        }
        self.by_last_record().await
    }

    /// Pages that the first one names.
    async fn named(&self) -> Result<Option<Paging>> {
        let signs = self.signs;
        if signs.has_link {
            let why = "the header `Link` names the next page";
            return self.tried(json!({ "type": "link_header" }), why).await;
        }
        if let Some(at) = &signs.url {
            let why = format!("`{at}` is the URL of the next page");
            let paginate = json!({ "type": "next_url", "at": at.to_string() });
            return self.tried(paginate, &why).await;
        }
        let Some((at, value)) = &signs.cursor else {
            return Ok(None);
        };
        for param in cursor_params(at) {
            if self.reaction(&param, value).await? != Reaction::Others {
                continue;
            }
            let mut paginate = json!({ "type": "cursor", "at": at.to_string(), "param": param });
            self.says_more(&mut paginate);
            let why = format!("`{at}` is a cursor, and `{param}` takes it");
            if let Some(found) = self.tried(paginate, &why).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Numbered pages.
    async fn by_page(&self) -> Result<Option<Paging>> {
        for param in PAGES {
            let reaction = self.reaction(param, &json!(2)).await?;
            // One name is not enough to take an empty answer for an empty page.
            if reaction == Reaction::None || reaction == Reaction::Empty && param != "page" {
                continue;
            }
            for start in [1, 0] {
                let mut paginate = json!({ "type": "page", "param": param });
                if start == 0 {
                    put(&mut paginate, "start", 0);
                }
                let tried = self.asker.two(&with(self.options, &paginate)).await?;
                let (one, is_guess, seen) = match tried {
                    Tried::Two(one) => (one, false, "gives other records"),
                    Tried::One(one) => (one, true, "is empty now"),
                    Tried::No => continue,
                };
                if one.records != self.first.records {
                    continue;
                }
                let second = start + 1;
                self.ends(&mut paginate, (param, FAR_PAGE)).await?;
                let why = format!("`{param}={start}` is the first page; `{param}={second}` {seen}");
                return Ok(Some(Paging {
                    paginate,
                    why,
                    is_guess,
                }));
            }
        }
        Ok(None)
    }

    /// Records by number.
    async fn by_offset(&self, size_param: Option<&str>) -> Result<Option<Paging>> {
        let size = self.first.records.len();
        for (param, usual) in OFFSETS {
            if self.reaction(param, &json!(size)).await? != Reaction::Others {
                continue;
            }
            let mut paginate = json!({
                "type": "offset", "param": param, "size": size,
                "size_param": size_param.unwrap_or(usual),
            });
            let tried = self.asker.two(&with(self.options, &paginate)).await?;
            if let Tried::Two(one) = tried
                && one.records == self.first.records
            {
                self.ends(&mut paginate, (param, FAR_RECORD)).await?;
                let why = format!("`{param}={size}` gives the records behind the first {size}");
                return Ok(Some(Paging {
                    paginate,
                    why,
                    is_guess: false,
                }));
            }
        }
        Ok(None)
    }

    /// Pages behind a record.
    async fn by_last_record(&self) -> Result<Option<Paging>> {
        let last = self.first.records.last();
        let last = last.and_then(|text| JsonPath::key("id").scalar(Raw::read(text).ok()?));
        let Some(last) = last else {
            return Ok(None);
        };
        for param in LAST {
            if self.reaction(param, &json!(last)).await? != Reaction::Others {
                continue;
            }
            let mut paginate = json!({ "type": "last_record", "param": param });
            self.says_more(&mut paginate);
            let why = format!("`{param}` takes the `id` of the last record");
            if let Some(found) = self.tried(paginate, &why).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What the first page gives with this parameter.
    async fn reaction(&self, param: &str, value: &Value) -> Result<Reaction> {
        let more = vec![(param.to_owned(), value.clone())];
        let Some(asked) = self.asker.first_if_any(self.options, more).await? else {
            return Ok(Reaction::None);
        };
        let known: HashSet<&String> = self.first.records.iter().collect();
        let is_known = |record: &String| known.contains(record);
        Ok(match asked.records.is_empty() {
            true => Reaction::Empty,
            false if asked.records.iter().any(is_known) => Reaction::None,
            false => Reaction::Others,
        })
    }

    /// This `paginate`, if two pages are read by it.
    async fn tried(&self, paginate: Value, why: &str) -> Result<Option<Paging>> {
        let options = with(self.options, &paginate);
        Ok(match self.asker.two(&options).await? {
            Tried::Two(..) => Some(Paging {
                paginate,
                why: read_by(why),
                is_guess: false,
            }),
            Tried::One(_) | Tried::No => None,
        })
    }

    /// The flag that is false on the last page.
    fn says_more(&self, paginate: &mut Value) {
        if let Some((at, true)) = &self.signs.more {
            put(paginate, "more", at.to_string());
        }
    }

    /// How numbered pages end: by the number of pages, by a flag, or by a refusal behind them.
    async fn ends(&self, paginate: &mut Value, (param, far): (&str, u64)) -> Result<()> {
        let is_page = far == FAR_PAGE;
        if let Some(at) = self.signs.pages.as_ref().filter(|_| is_page) {
            put(paginate, "pages", at.to_string());
            return Ok(());
        }
        if self.signs.more.as_ref().is_some_and(|(_, more)| *more) {
            self.says_more(paginate);
            return Ok(());
        }
        let more = vec![(param.to_owned(), json!(far))];
        let status = self.asker.refusal(self.options, more).await?;
        if let Some(status) = status.filter(|status| may_be_the_end(*status)) {
            put(paginate, "end_status", status);
        }
        Ok(())
    }
}

/// Parameters that may take a cursor with this name, the most probable first.
fn cursor_params(at: &JsonPath) -> Vec<String> {
    let name = at.keys().last().cloned().unwrap_or_default();
    let mut params = Vec::new();
    if let Some(rest) = name.strip_prefix("next_") {
        params.push(rest.to_owned());
    } else if let Some(rest) = name.strip_prefix("next") {
        let mut letters = rest.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        params.extend(first.map(|first| first.to_string() + letters.as_str()));
    }
    params.push(name);
    for usual in CURSORS {
        if !params.iter().any(|param| param == usual) {
            params.push(usual.to_owned());
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cursor_says_its_parameter() {
        let first = |name: &str| cursor_params(&JsonPath::new(name)).remove(0);
        assert_eq!(first("meta.next_cursor"), "cursor");
        assert_eq!(first("nextPageToken"), "pageToken");
        assert_eq!(first("next_page"), "page");
        assert_eq!(first("paging.next.after"), "after");
    }
}
