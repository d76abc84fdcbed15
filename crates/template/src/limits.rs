//! The limits of a template: steps, text, items.
//!
//! Promise: a template that doubles its text, or nests loops, stops within seconds and some megabytes, with
//! T0410 (too many steps) or T0411 (too much text or too many items). It does not know where the limits are
//! checked; see `guards.rs`.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, Value};

use crate::bounds::{MOST_BYTES, MOST_ITEMS, MOST_STEPS, too_long, too_many};
use crate::guards::{SMALL, TIMES};
use crate::problem::Raised;
use crate::segments::{Kind, Segment, segments};
use crate::session::Session;
use crate::weight::{self, weighed};

/// The least number of allowed steps, for any length of a loop's text.
const LEAST_STEPS: u64 = 50_000;
/// The most characters of padding or indentation.
pub(crate) const WIDEST: usize = 10_000;

/// The most bytes of a tag on one path through its brackets, outside quotes and between two commas, because
/// a chain of operators is parsed and compiled by recursion.
const LONGEST_CHAIN: usize = 10_000;

/// Measures the longest chain of a tag, byte by byte: a comma ends an item of its bracket, and a bracket
/// counts as much as the longest of its items.
#[derive(Default)]
struct Chain {
    quote: Option<u8>,
    escaped: bool,
    length: usize,
    /// For each open bracket: the length before it, and the longest item in it so far.
    open: Vec<(usize, usize)>,
}

impl Chain {
    /// The length of the chain after one more byte.
    fn after(&mut self, byte: u8) -> usize {
        if let Some(quote) = self.quote {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                _ if byte == quote => self.quote = None,
                _ => {}
            }
            return self.length;
        }
        match byte {
            b'\'' | b'"' => self.quote = Some(byte),
            b'(' | b'[' | b'{' => {
                self.length += 1;
                self.open.push((self.length, self.length));
            }
            b',' => match self.open.last_mut() {
                Some((before, longest)) => {
                    *longest = self.length.max(*longest);
                    self.length = *before;
                }
                None => self.length = 0,
            },
            b')' | b']' | b'}' => {
                let longest = self.open.pop().map_or(0, |(_, longest)| longest);
                self.length = self.length.max(longest) + 1;
            }
            _ => self.length += 1,
        }
        self.length
    }
}

/// The first tag of a template with a chain of operators that is too long for the stack.
pub(crate) fn too_long_chain(source: &str) -> Option<Range<usize>> {
    let chains = |part: &Segment| {
        let mut chain = Chain::default();
        let inner = source.get(part.inner.clone()).unwrap_or_default();
        inner.bytes().any(|byte| chain.after(byte) > LONGEST_CHAIN)
    };
    let is_tag = |part: &Segment| match part.kind {
        Kind::Expression | Kind::Block => true,
        // A tag that is not closed is parsed up to where the text ends.
        Kind::Text => source.get(part.inner.clone()).is_some_and(is_unclosed),
        Kind::Comment => false,
    };
    let parts = segments(source);
    let mut tags = parts.iter().filter(|part| !part.raw && is_tag(part));
    tags.find(|part| chains(part))
        .map(|part| part.inner.clone())
}

fn is_unclosed(text: &str) -> bool {
    text.starts_with("{{") || text.starts_with("{%")
}

/// The mistake of a template with such a chain.
pub(crate) fn chains_too_much() -> Raised {
    let message = format!(
        "template syntax: one tag has more than {LONGEST_CHAIN} characters without a comma"
    );
    Raised::new("M0320", message)
        .help("split it: give parts of it a name with `{% set name = … %}`")
}

/// The number of steps of a template: fewer if a loop writes much text in each step.
pub(crate) fn steps(sources: &[&str]) -> u64 {
    let longest = sources.iter().map(|source| longest_repeated(source)).max();
    let bytes = u64::try_from(longest.unwrap_or(0).max(1)).unwrap_or(u64::MAX);
    (256 * (1 << 20) / bytes).clamp(LEAST_STEPS, MOST_STEPS)
}

/// The longest text inside a loop or a macro.
fn longest_repeated(source: &str) -> usize {
    let (mut depth, mut longest) = (0_usize, 0);
    for part in segments(source) {
        match part.kind {
            Kind::Block => match part.keyword(source) {
                "for" | "macro" => depth += 1,
                "endfor" | "endmacro" => depth = depth.saturating_sub(1),
                _ => {}
            },
            Kind::Text if depth > 0 => longest = longest.max(part.inner.len()),
            Kind::Text | Kind::Comment | Kind::Expression => {}
        }
    }
    longest
}

/// The size of a value, and whether it is in bytes.
fn size(value: &Value) -> Option<(usize, bool)> {
    match value.kind() {
        ValueKind::String => value.as_str().map(|text| (text.len(), true)),
        ValueKind::Seq | ValueKind::Iterable => value.len().map(|length| (length, false)),
        _ => None,
    }
}

fn check(session: &Session, value: &Value) -> Result<(), Error> {
    match size(value) {
        Some((length, true)) if length > MOST_BYTES => Err(session.raise(too_long())),
        Some((length, false)) if length > MOST_ITEMS => Err(session.raise(too_many())),
        Some((_, true)) => Ok(()),
        _ => weighed(session, value).map(drop),
    }
}

/// A chain of `*`: the repeated value, and how often it is repeated.
#[derive(Clone, Copy, Debug, Default)]
struct Product {
    repeated: Option<(usize, bool)>,
    times: f64,
}

impl Product {
    fn with(mut self, value: &Value, unknown: bool) -> Self {
        match size(value) {
            Some(size) => self.repeated = Some(size),
            None => {
                let factor = value.to_string().parse::<f64>().unwrap_or(1.0);
                self.times *= if unknown {
                    f64::MAX
                } else {
                    factor.abs().max(1.0)
                };
            }
        }
        self
    }

    fn problem(self) -> Option<Raised> {
        let (length, is_text) = self.repeated?;
        // Both are far below where a double loses whole numbers, or far above the bound.
        let made = length as f64 * self.times;
        let most = if is_text { MOST_BYTES } else { MOST_ITEMS } as f64;
        (made > most).then(|| if is_text { too_long() } else { too_many() })
    }
}

/// Adds the limits to a template engine.
pub(crate) fn bound(env: &mut Environment<'static>, session: &Arc<Session>, sources: &[&str]) {
    env.set_fuel(Some(steps(sources)));
    let own = Arc::clone(session);
    env.add_filter(SMALL, move |value: Value| {
        check(&own, &value).map(|()| value)
    });
    let own = Arc::clone(session);
    let open: Mutex<Vec<Product>> = Mutex::default();
    env.add_filter(TIMES, move |value: Value, place: &str, unknown: bool| {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let product = match place {
            "first" => Product {
                repeated: None,
                times: 1.0,
            },
            _ => open.pop().unwrap_or(Product {
                repeated: None,
                times: 1.0,
            }),
        };
        let product = product.with(&value, unknown);
        if place != "last" {
            open.push(product);
        }
        drop(open);
        match product.problem() {
            Some(raised) => Err(own.raise(raised)),
            None => Ok(value),
        }
    });
    filters(env, session);
    weight::bound(env, session);
    let own = Arc::clone(session);
    env.set_formatter(move |out, state, value| {
        let length = match size(value) {
            Some((length, true)) => length,
            _ => weighed(&own, value)?.bytes(0),
        };
        own.write(length).map_err(|()| own.raise(too_long()))?;
        minijinja::escape_formatter(out, state, value)
    });
}

/// Adds filters whose result can be larger than their input.
fn filters(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_filter("replace", move |text: String, from: String, to: String| {
        replaced(&own, &text, &from, &to, usize::MAX)
    });
    let own = Arc::clone(session);
    env.add_filter("join", move |items: Value, separator: Option<String>| {
        joined(&own, &items, &separator.unwrap_or_default())
    });
    let own = Arc::clone(session);
    env.add_filter(
        "indent",
        move |text: String,
              width: Option<usize>,
              first: Option<bool>,
              blank: Option<bool>,
              kwargs: Kwargs| {
            let width = match width {
                Some(width) => width,
                None => kwargs.get::<Option<usize>>("width")?.unwrap_or(4),
            };
            let first = match first {
                Some(first) => first,
                None => kwargs.get::<Option<bool>>("first")?.unwrap_or(false),
            };
            let blank = match blank {
                Some(blank) => blank,
                None => kwargs.get::<Option<bool>>("blank")?.unwrap_or(false),
            };
            kwargs.assert_all_used()?;
            if width > WIDEST {
                return Err(own.raise(too_long()));
            }
            Ok::<_, Error>(indented(&text, width, first, blank))
        },
    );
}

fn indented(text: &str, width: usize, first: bool, blank: bool) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let indent = " ".repeat(width);
    let line = |(at, line): (usize, &str)| {
        let empty = line.is_empty() || line == "\r";
        let moved = (at > 0 || first) && (blank || !empty);
        if moved {
            format!("{indent}{line}")
        } else {
            line.to_owned()
        }
    };
    text.split('\n')
        .enumerate()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Replaces parts of a text, unless the result would be too long.
pub(crate) fn replaced(
    session: &Session,
    text: &str,
    from: &str,
    to: &str,
    count: usize,
) -> Result<String, Error> {
    let grows = to.len() > from.len();
    if grows {
        let matches = text.matches(from).count().min(count);
        if matches.saturating_mul(to.len()).saturating_add(text.len()) > MOST_BYTES {
            return Err(session.raise(too_long()));
        }
    }
    Ok(text.replacen(from, to, count))
}

/// Joins items to one text, unless the result would be too long.
pub(crate) fn joined(session: &Session, items: &Value, separator: &str) -> Result<String, Error> {
    let mut out = String::new();
    for (at, item) in items.try_iter()?.enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        match item.as_str() {
            Some(text) => out.push_str(text),
            None => {
                weighed(session, &item)?;
                out.push_str(&item.to_string());
            }
        }
        if out.len() > MOST_BYTES {
            return Err(session.raise(too_long()));
        }
    }
    Ok(out)
}
