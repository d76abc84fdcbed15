//! Which pages a listing has had, by what the request for the next one says.
//!
//! Promise: a page of objects or a continuation that comes a second time in one listing is noticed, and so is a
//! listing that goes on without objects; a request that is only sent again is not taken for that. A prefix may
//! come on many pages: services repeat it as long as they pass over its objects. What it remembers
//! is bounded: of more listings at once than it holds, the oldest are followed unchecked for repetition.
//! It reads no page: see `listing.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::page::Page;

/// Pages that are remembered to lead on.
const MOST: usize = 4_096;
/// Pages without a name that may follow each other.
const MOST_EMPTY: usize = 1_000;
/// Pages without an object that may follow each other: each of them has prefixes, which may be the same one.
const MOST_OF_PREFIXES: usize = 100_000;

/// What all requests of a listing have in common, and what the request for the next page says.
type Request = (String, String);

/// A page that is not the last, and those before it.
#[derive(Debug)]
struct Passed {
    before: Option<Arc<Passed>>,
    /// The key of its first object.
    first: Option<String>,
    next: String,
    /// Pages without a name, in a row.
    empty: usize,
    /// Pages without an object, in a row.
    of_prefixes: usize,
}

impl Drop for Passed {
    /// One after the other: a long listing would need too much stack otherwise.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut passed) = next.and_then(Arc::into_inner) {
            next = passed.before.take();
        }
    }
}

/// What is remembered of listings that go on.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    passed: HashMap<Request, Arc<Passed>>,
    order: VecDeque<Request>,
}

impl Chains {
    /// Takes note of a page; `listing` is what all requests of the listing have in common, `token` what led to
    /// this page.
    ///
    /// # Errors
    /// In words, when the page cannot be the next one.
    pub(crate) fn note(
        &self,
        listing: &str,
        token: Option<&str>,
        page: &Page,
    ) -> Result<(), String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = token.and_then(|token| {
            let request = (listing.to_owned(), token.to_owned());
            open.passed.get(&request).cloned()
        });
        let mut earlier = before.as_ref();
        while let Some(passed) = earlier {
            if passed.first.is_some() && passed.first.as_deref() == page.first_key() {
                return Err("a page of it came twice".to_owned());
            }
            if Some(&passed.next) == page.next.as_ref() {
                return Err("it leads back to an earlier page".to_owned());
            }
            earlier = passed.before.as_ref();
        }
        let Some(next) = page.next.clone() else {
            return Ok(());
        };
        let earlier = before.as_ref();
        let empty = match page.has_names() {
            true => 0,
            false => 1 + earlier.map_or(0, |before| before.empty),
        };
        let of_prefixes = match page.first_key() {
            Some(_) => 0,
            None => 1 + earlier.map_or(0, |before| before.of_prefixes),
        };
        for (pages, most, what) in [
            (empty, MOST_EMPTY, "a name"),
            (of_prefixes, MOST_OF_PREFIXES, "an object"),
        ] {
            if pages > most {
                return Err(format!("{most} pages without {what} followed each other"));
            }
        }
        let passed = Passed {
            before,
            first: page.first_key().map(str::to_owned),
            next: next.clone(),
            empty,
            of_prefixes,
        };
        open.keep((listing.to_owned(), next), Arc::new(passed));
        Ok(())
    }
}

impl Open {
    fn keep(&mut self, request: Request, passed: Arc<Passed>) {
        if self.passed.insert(request.clone(), passed).is_none() {
            self.order.push_back(request);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.passed.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::page::ListedObject;

    fn page(first: Option<&str>, next: Option<&str>) -> Page {
        let object = |key: &str| ListedObject {
            key: key.to_owned(),
            ..ListedObject::default()
        };
        Page {
            objects: first.map(object).into_iter().collect(),
            next: next.map(str::to_owned),
            is_truncated: Some(next.is_some()),
            ..Page::default()
        }
    }

    #[test]
    fn a_page_may_be_asked_for_again_but_not_come_again() {
        let chains = Chains::default();
        for _ in 0..2 {
            chains.note("l", None, &page(Some("a"), Some("1"))).unwrap();
            chains
                .note("l", Some("1"), &page(Some("b"), Some("2")))
                .unwrap();
            chains.note("l", Some("2"), &page(None, Some("3"))).unwrap();
            chains.note("l", Some("3"), &page(Some("c"), None)).unwrap();
        }
        for (first, next) in [("b", "4"), ("a", "4"), ("d", "2"), ("d", "1")] {
            let repeated = page(Some(first), Some(next));
            assert!(chains.note("l", Some("2"), &repeated).is_err(), "{first}");
        }
        // Another listing has its own pages.
        chains
            .note("m", Some("2"), &page(Some("a"), Some("1")))
            .unwrap();
    }

    #[test]
    fn a_listing_without_names_ends() {
        let chains = Chains::default();
        let mut token = None;
        for at in 0..=MOST_EMPTY {
            let next = at.to_string();
            let noted = chains.note("l", token.as_deref(), &page(None, Some(&next)));
            assert_eq!(noted.is_err(), at == MOST_EMPTY, "{at}");
            token = Some(next);
        }
    }

    #[test]
    fn a_prefix_may_come_on_many_pages() {
        let of_prefix = |next: Option<&str>| Page {
            prefixes: vec!["d/".to_owned()],
            ..page(None, next)
        };
        let chains = Chains::default();
        let mut token = None;
        for at in 0..2 * MOST_EMPTY {
            let next = at.to_string();
            chains
                .note("l", token.as_deref(), &of_prefix(Some(&next)))
                .unwrap();
            token = Some(next);
        }
        // A continuation may not.
        let back = of_prefix(Some("1"));
        assert!(chains.note("l", token.as_deref(), &back).is_err());
        chains
            .note("l", token.as_deref(), &of_prefix(None))
            .unwrap();
    }

    #[test]
    fn a_long_listing_is_dropped_without_much_stack() {
        let mut last: Option<Arc<Passed>> = None;
        for at in 0..1_000_000 {
            last = Some(Arc::new(Passed {
                before: last.take(),
                first: None,
                next: String::new(),
                empty: 0,
                of_prefixes: at,
            }));
        }
        drop(last);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let chains = Chains::default();
        for at in 0..MOST + 10 {
            let listing = at.to_string();
            chains
                .note(&listing, None, &page(Some("a"), Some("1")))
                .unwrap();
        }
        let open = chains.open.lock().unwrap();
        assert_eq!((open.passed.len(), open.order.len()), (MOST, MOST));
    }
}
