//! The size of a value with everything in it, and the filters that write whole values.
//!
//! Promise: a list that contains itself twice, forty times over, is stopped before it is written, compared
//! or walked: with T0411, when it is built. The same holds for widths of `format`, and for `batch`, `slice`,
//! `tojson`, `string` and `pprint`. It does not know steps and texts; see `limits.rs`.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};

use crate::bounds::{MOST_BYTES, MOST_ITEMS, too_deep, too_long, too_many};
use crate::guards::WHOLE;
use crate::session::Session;

/// The deepest nesting of lists in lists.
const DEEPEST: usize = 500;
/// What a number or a separator takes in a text, at least.
const ITEM_BYTES: usize = 4;

/// The size of a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    items: usize,
    texts: usize,
    /// The sum of the depths of all items.
    depths: usize,
}

impl Weight {
    /// The bytes of the value as text, with so many blanks for each level.
    pub(crate) fn bytes(self, indent: usize) -> usize {
        let items = self.items.saturating_mul(ITEM_BYTES);
        let blanks = self.depths.saturating_mul(indent);
        self.texts.saturating_add(items).saturating_add(blanks)
    }
}

/// The size of a value with everything in it.
///
/// # Errors
/// T0411 if it has too many items, too much text, or nests too deeply.
pub(crate) fn weighed(session: &Session, value: &Value) -> Result<Weight, Error> {
    let mut weight = Weight::default();
    let mut open = vec![(value.clone(), 0_usize)];
    while let Some((value, depth)) = open.pop() {
        weight.depths += depth;
        let is_map = match value.kind() {
            ValueKind::String => {
                weight.texts += value.as_str().map_or(0, str::len);
                false
            }
            ValueKind::Map => true,
            ValueKind::Seq | ValueKind::Iterable => false,
            _ => continue,
        };
        if weight.texts > MOST_BYTES {
            return Err(session.raise(too_long()));
        }
        if value.kind() == ValueKind::String {
            continue;
        }
        if depth >= DEEPEST {
            return Err(session.raise(too_deep(DEEPEST)));
        }
        if value.len().is_some_and(|length| length > MOST_ITEMS) {
            return Err(session.raise(too_many()));
        }
        let Ok(items) = value.try_iter() else {
            continue;
        };
        for item in items {
            weight.items += 1;
            if weight.items > MOST_ITEMS {
                return Err(session.raise(too_many()));
            }
            if is_map && let Ok(inner) = value.get_item(&item) {
                open.push((inner, depth + 1));
            }
            open.push((item, depth + 1));
        }
    }
    Ok(weight)
}

/// Fails if the value, written with this indentation, is too long.
fn fits(session: &Session, value: &Value, indent: usize) -> Result<(), Error> {
    match weighed(session, value)?.bytes(indent) {
        bytes if bytes > MOST_BYTES => Err(session.raise(too_long())),
        _ => Ok(()),
    }
}

/// Adds the filters that write whole values.
pub(crate) fn bound(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_filter(WHOLE, move |value: Value| {
        weighed(&own, &value).map(|_| value)
    });
    let own = Arc::clone(session);
    env.add_filter("string", move |state: &State, value: Value| {
        fits(&own, &value, 0)?;
        filters::string(state, &value)
    });
    let own = Arc::clone(session);
    env.add_filter("pprint", move |value: Value| {
        fits(&own, &value, 4)?;
        Ok::<_, Error>(filters::pprint(&value))
    });
    let own = Arc::clone(session);
    env.add_filter(
        "tojson",
        move |value: Value, indent: Option<Value>, kwargs: Kwargs| {
            let given = match &indent {
                Some(indent) => Some(indent.clone()),
                None => kwargs.get::<Option<Value>>("indent")?,
            };
            let blanks = given.and_then(|indent| usize::try_from(indent).ok());
            fits(&own, &value, blanks.unwrap_or(2))?;
            filters::tojson(&value, indent, kwargs)
        },
    );
    lists(env, session);
}

/// Adds the filters that make lists, and `format`.
fn lists(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_filter(
        "batch",
        move |state: &State, value: Value, count: usize, filling: Option<Value>| {
            if count > MOST_ITEMS {
                return Err(own.raise(too_many()));
            }
            filters::batch(state, value, count, filling)
        },
    );
    let own = Arc::clone(session);
    env.add_filter(
        "slice",
        move |state: &State, value: Value, count: usize, filling: Option<Value>| {
            if count > MOST_ITEMS {
                return Err(own.raise(too_many()));
            }
            filters::slice(state, value, count, filling)
        },
    );
    let own = Arc::clone(session);
    env.add_filter(
        "zip",
        move |state: &State, value: Value, others: Rest<Value>| {
            computed(&own, &filters::zip(state, value, others)?)
        },
    );
    let own = Arc::clone(session);
    env.add_filter(
        "chain",
        move |state: &State, value: Value, others: Rest<Value>| {
            computed(&own, &filters::chain(state, value, others)?)
        },
    );
    let own = Arc::clone(session);
    env.add_filter(
        "format",
        move |state: &mut State, text: &Value, args: Rest<ValueOrKwargs>| {
            let values: Vec<Value> = args.0.iter().map(|value| (**value).clone()).collect();
            format_fits(&own, text.as_str().unwrap_or_default(), &values)?;
            filters::format(state, text, args)
        },
    );
}

/// The value with its items computed: those of `zip` and `chain` would be computed again for each read.
fn computed(session: &Session, value: &Value) -> Result<Value, Error> {
    let mut items = Vec::new();
    for item in value.try_iter()? {
        items.push(item);
        if items.len() > MOST_ITEMS {
            return Err(session.raise(too_many()));
        }
    }
    if value.kind() != ValueKind::Map {
        return Ok(Value::from(items));
    }
    let pairs = items.into_iter().map(|key| {
        let inner = value.get_item(&key)?;
        Ok::<_, Error>((key, inner))
    });
    Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, _>>()?))
}

/// Fails if a text of printf, filled with these values, may become too long.
fn format_fits(session: &Session, text: &str, values: &[Value]) -> Result<(), Error> {
    let (mut heaviest, mut widest) = (0, 0);
    for value in values {
        heaviest = weighed(session, value)?.bytes(0).max(heaviest);
        let width = value.as_i64().map_or(0, i64::unsigned_abs);
        widest = usize::try_from(width).unwrap_or(usize::MAX).max(widest);
    }
    let mut bytes = text.len();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '%' {
            let width = width(&mut chars, widest);
            bytes = bytes.saturating_add(width).saturating_add(heaviest);
        }
        if bytes > MOST_BYTES {
            return Err(session.raise(too_long()));
        }
    }
    Ok(())
}

/// The width and precision of one conversion, `%(name)-08.3f`; `*` takes them from a value.
fn width(chars: &mut Peekable<Chars<'_>>, widest: usize) -> usize {
    if chars.peek() == Some(&'(') {
        for c in chars.by_ref() {
            if c == ')' {
                break;
            }
        }
    }
    let (mut total, mut number) = (0_usize, 0_usize);
    while let Some(c) = chars.peek().copied() {
        match c {
            '0'..='9' => {
                let digit = c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                number = number.saturating_mul(10).saturating_add(digit.unwrap_or(0));
            }
            '*' => total = total.saturating_add(widest),
            '-' | '+' | ' ' | '#' | '.' => {
                total = total.saturating_add(std::mem::take(&mut number));
            }
            _ => break,
        }
        chars.next();
    }
    total.saturating_add(number)
}
