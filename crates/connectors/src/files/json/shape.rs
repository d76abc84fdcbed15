//! What the values of a JSON column are, and the type that comes of them: a scalar, a list or a struct.
//!
//! Promise: the type keeps every value that was looked at; the order of values and chunks does not matter.
//! Objects are structs and arrays are lists where all values agree; where they do not, or where the keys
//! look like data, that place is JSON text, and a note says so. It keeps no values, and a limited number of
//! names. Scalars are judged by `../infer.rs`; values are read by `../nested.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};

use super::skim::{Skim, key_of, unescape};
use crate::files::cells::{Cells, Nulls, Span};
use crate::files::infer::{Guess, Hint, InferOptions, Verdict};

/// Objects with more members than this have data as keys.
const MOST_MEMBERS: usize = 200;
/// So do objects whose members are, on average, in fewer than one of so many.
const RAREST: u64 = 10;
/// Lists and objects nested deeper than this are text.
const DEEPEST: usize = 16;
/// Members of all nested columns of a table that are kept in memory.
pub(crate) const MOST_NAMES: usize = 20_000;
/// Places that a note names.
const SHOWN: usize = 3;

/// Why lists or objects are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Mixed,
    Empty,
    Deep,
    Names,
    Twice,
    Data,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::Mixed => "its values are of different kinds",
            Self::Empty => "its objects have no members",
            Self::Deep => "it is nested too deep",
            Self::Names => "its members have no name, or names that differ only in case",
            Self::Twice => "some of its objects have a member twice",
            Self::Data => "its objects have too many different members",
        }
    }
}

/// What is known of a column, or of a part of its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Values that are neither lists nor objects; with `is_text`, all values.
    scalars: Guess,
    /// Lists and objects are not looked into.
    is_text: bool,
    parts: Option<Box<Parts>>,
}

/// The parts of lists and objects.
#[derive(Clone, Debug, Default)]
struct Parts {
    lists: u64,
    objects: u64,
    item: Shape,
    members: Vec<Member>,
    places: HashMap<String, usize>,
    /// An object has a member twice.
    has_repeats: bool,
    /// They are text whatever else comes: nothing more is kept.
    given_up: Option<Why>,
}

#[derive(Clone, Debug)]
struct Member {
    name: String,
    /// How many objects have it, and the last one.
    seen: u64,
    last: u64,
    shape: Shape,
}

fn is_nested(bytes: &[u8], value: Span) -> bool {
    !value.is_quoted() && matches!(value.text(bytes).first(), Some(b'{' | b'['))
}

impl From<Guess> for Shape {
    fn from(scalars: Guess) -> Self {
        Self {
            scalars,
            ..Self::default()
        }
    }
}

impl Shape {
    /// A column whose lists and objects are text.
    pub(crate) fn text() -> Self {
        Self {
            is_text: true,
            ..Self::default()
        }
    }

    /// What its values show that are neither lists nor objects.
    pub(crate) fn scalars(&self) -> &Guess {
        &self.scalars
    }

    /// Looks at a value; `room` is for how many names there is memory.
    #[inline]
    pub(crate) fn see(
        &mut self,
        bytes: &[u8],
        value: Span,
        infer: &InferOptions<'_>,
        room: &mut usize,
    ) {
        if self.is_text || !is_nested(bytes, value) {
            return self.see_scalars(bytes, &[value], infer);
        }
        self.look_into(value.text(bytes), infer, room, 1);
    }

    fn see_scalars(&mut self, bytes: &[u8], spans: &[Span], infer: &InferOptions<'_>) {
        let nulls = Nulls::default();
        let cells = Cells {
            bytes,
            spans,
            width: 1,
            column: 0,
            nulls: &nulls,
            unescape: &unescape,
        };
        self.scalars.see(&cells, infer);
    }

    fn look_into(&mut self, text: &[u8], infer: &InferOptions<'_>, room: &mut usize, depth: usize) {
        let parts = self.parts.get_or_insert_with(Box::default);
        let is_list = text.first() == Some(&b'[');
        match is_list {
            true => parts.lists += 1,
            false => parts.objects += 1,
        }
        if parts.given_up.is_some() {
            return;
        }
        let looked = match (depth > DEEPEST, is_list) {
            (true, _) => Err(Why::Deep),
            (_, true) => parts.list(text, infer, room, depth),
            (_, false) => parts.object(text, infer, room, depth),
        };
        if let Err(why) = looked {
            parts.give_up(why, room);
        }
    }

    /// Adds what another part of the input showed.
    pub(crate) fn merge(&mut self, other: Shape, room: &mut usize) {
        self.scalars.merge(other.scalars);
        self.is_text |= other.is_text;
        if let Some(parts) = other.parts {
            let own = self.parts.get_or_insert_with(Box::default);
            own.merge(*parts, room);
        }
    }

    /// The same where one value stands for a list of one, and text alone for an object with this member:
    /// as in XML.
    pub(crate) fn with_single_items(mut self, text: &str, room: &mut usize) -> Self {
        let Some(parts) = self.parts.as_deref_mut() else {
            return self;
        };
        let members = std::mem::take(&mut parts.members).into_iter();
        parts.members = members
            .map(|member| Member {
                shape: member.shape.with_single_items(text, room),
                ..member
            })
            .collect();
        if parts.lists > 0 {
            let single = Shape {
                scalars: std::mem::take(&mut self.scalars),
                is_text: false,
                parts: parts.take_objects(),
            };
            parts.item.merge(single, room);
            let item = std::mem::take(&mut parts.item);
            parts.item = item.with_single_items(text, room);
        } else if self.scalars.has_values() && parts.objects > 0 && parts.given_up.is_none() {
            let scalars = std::mem::take(&mut self.scalars);
            parts.add_text(text, scalars, room);
        }
        self
    }

    fn names(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.names())
    }

    /// The type that keeps every value. `fixed`: as in `Guess::verdict`, for the column itself.
    pub(crate) fn verdict(&self, column: &str, hint: Hint, fixed: bool) -> Verdict {
        if self.parts.is_none() {
            return self.scalars.verdict(column, hint, fixed);
        }
        let mut notes = Vec::new();
        let data_type = self.data_type(column, &mut notes);
        let more = match notes.len().checked_sub(SHOWN) {
            None | Some(0) => String::new(),
            Some(more) => format!("; and {more} more"),
        };
        notes.truncate(SHOWN);
        Verdict {
            data_type,
            note: (!notes.is_empty()).then(|| notes.join("; ") + &more),
            has_no_values: false,
        }
    }

    fn data_type(&self, place: &str, notes: &mut Vec<String>) -> DataType {
        let Some(parts) = &self.parts else {
            return self.leaf();
        };
        if let Some(why) = parts.why(&self.scalars) {
            notes.push(format!("`{place}` is read as JSON text: {}", why.words()));
            return DataType::Utf8;
        }
        if parts.lists > 0 {
            let item = parts.item.data_type(&format!("{place}[]"), notes);
            return DataType::List(Arc::new(Field::new("item", item, true)));
        }
        let members = parts.members.iter();
        let fields = members.map(|member| Arc::new(member.field(place, notes)));
        DataType::Struct(fields.collect::<Fields>())
    }

    /// The type of a scalar inside a list or an object. Dates of an order that only the whole column
    /// shows are text there.
    fn leaf(&self) -> DataType {
        match self.scalars.is_local() {
            true => DataType::Utf8,
            false => self.scalars.verdict("", Hint::default(), false).data_type,
        }
    }

    /// A type that also keeps these values, with the members they add at the end, where the one known from
    /// before does not keep them; `None` where it stays.
    pub(crate) fn wider(&self, before: &DataType, hint: Hint, fixed: bool) -> Option<DataType> {
        match (before, self.parts.as_deref()) {
            (DataType::List(item), Some(parts)) => {
                let wider = parts.item.wider(item.data_type(), hint, fixed)?;
                let item = Field::clone(item).with_data_type(wider);
                Some(DataType::List(Arc::new(item)))
            }
            (DataType::Struct(fields), Some(parts)) => parts.wider(fields, hint, fixed),
            (DataType::List(_) | DataType::Struct(_), None) => None,
            _ => self.scalars.wider(before, hint, fixed),
        }
    }
}

impl Member {
    fn field(&self, place: &str, notes: &mut Vec<String>) -> Field {
        let inner = format!("{place}.{}", self.name);
        Field::new(&self.name, self.shape.data_type(&inner, notes), true)
    }
}

impl Parts {
    fn list(
        &mut self,
        text: &[u8],
        infer: &InferOptions<'_>,
        room: &mut usize,
        depth: usize,
    ) -> Result<(), Why> {
        let mut items = Vec::new();
        // The record is valid, so only its depth can be refused here.
        let listed = Skim::new(text, 0).items(&mut items);
        listed.map_err(|_| Why::Deep)?;
        if !items.iter().any(|item| is_nested(text, *item)) {
            self.item.see_scalars(text, &items, infer);
            return Ok(());
        }
        for item in items {
            match is_nested(text, item) {
                true => self.item.look_into(item.text(text), infer, room, depth + 1),
                false => self.item.see_scalars(text, &[item], infer),
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        text: &[u8],
        infer: &InferOptions<'_>,
        room: &mut usize,
        depth: usize,
    ) -> Result<(), Why> {
        let mut members = Vec::new();
        let listed = Skim::new(text, 0).object(&mut members);
        listed.map_err(|_| Why::Deep)?;
        let mut expected = 0;
        for (key, value) in members {
            let at = self.place(text, key, expected, room)?;
            expected = at + 1;
            let Some(member) = self.members.get_mut(at) else {
                continue;
            };
            self.has_repeats |= member.last == self.objects;
            member.seen += u64::from(member.last != self.objects);
            member.last = self.objects;
            match is_nested(text, value) {
                true => member
                    .shape
                    .look_into(value.text(text), infer, room, depth + 1),
                false => member.shape.see_scalars(text, &[value], infer),
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        text: &[u8],
        key: Span,
        expected: usize,
        room: &mut usize,
    ) -> Result<usize, Why> {
        let is_expected = |member: &Member| member.name.as_bytes() == key.text(text);
        if !key.is_escaped() && self.members.get(expected).is_some_and(is_expected) {
            return Ok(expected);
        }
        let name = key_of(text, key);
        match self.places.get(&name) {
            Some(at) => Ok(*at),
            None => self.add(name, room),
        }
    }

    fn add(&mut self, name: String, room: &mut usize) -> Result<usize, Why> {
        if self.members.len() >= MOST_MEMBERS || *room == 0 {
            return Err(Why::Data);
        }
        *room -= 1;
        self.places.insert(name.clone(), self.members.len());
        self.members.push(Member {
            name,
            seen: 0,
            last: 0,
            shape: Shape::default(),
        });
        Ok(self.members.len() - 1)
    }

    /// Its objects without its lists, if there are some.
    fn take_objects(&mut self) -> Option<Box<Parts>> {
        (self.objects > 0).then(|| {
            Box::new(Parts {
                objects: std::mem::take(&mut self.objects),
                members: std::mem::take(&mut self.members),
                places: std::mem::take(&mut self.places),
                has_repeats: self.has_repeats,
                given_up: self.given_up,
                ..Parts::default()
            })
        })
    }

    /// Values that are the text of objects with nothing else.
    fn add_text(&mut self, name: &str, scalars: Guess, room: &mut usize) {
        let at = match self.places.get(name) {
            Some(at) => Ok(*at),
            None => self.add(name.to_owned(), room),
        };
        match at {
            Err(why) => self.give_up(why, room),
            Ok(at) => {
                if let Some(member) = self.members.get_mut(at) {
                    member.seen += 1;
                    member.shape.merge(Shape::from(scalars), room);
                }
            }
        }
    }

    fn names(&self) -> usize {
        let members = self.members.iter();
        let inner: usize = members.map(|member| 1 + member.shape.names()).sum();
        inner + self.item.names()
    }

    fn give_up(&mut self, why: Why, room: &mut usize) {
        *room += self.names();
        self.given_up = self.given_up.max(Some(why));
        self.members = Vec::new();
        self.places = HashMap::new();
        self.item = Shape::default();
    }

    fn merge(&mut self, other: Parts, room: &mut usize) {
        self.lists += other.lists;
        self.objects += other.objects;
        self.has_repeats |= other.has_repeats;
        if let Some(why) = self.given_up.max(other.given_up) {
            return self.give_up(why, room);
        }
        self.item.merge(other.item, room);
        for member in other.members {
            let at = match self.places.get(&member.name) {
                Some(at) => Ok(*at),
                None => self.add(member.name, room),
            };
            match at {
                Ok(at) => {
                    if let Some(own) = self.members.get_mut(at) {
                        own.seen += member.seen;
                        own.shape.merge(member.shape, room);
                    }
                }
                Err(why) => return self.give_up(why, room),
            }
        }
    }

    /// Why the values are neither lists nor structs.
    fn why(&self, scalars: &Guess) -> Option<Why> {
        if let Some(why) = self.given_up {
            return Some(why);
        }
        if scalars.has_values() || self.lists > 0 && self.objects > 0 {
            return Some(Why::Mixed);
        }
        if self.lists > 0 {
            return None;
        }
        let mut names = HashSet::new();
        let mut names_differ =
            |member: &Member| !member.name.is_empty() && names.insert(member.name.to_lowercase());
        match self.members.is_empty() {
            true => Some(Why::Empty),
            false if self.has_repeats => Some(Why::Twice),
            false if self.has_rare_members() => Some(Why::Data),
            false if !self.members.iter().all(&mut names_differ) => Some(Why::Names),
            false => None,
        }
    }

    /// Whether the members are so different from object to object that their names are data.
    fn has_rare_members(&self) -> bool {
        let seen: u64 = self.members.iter().map(|member| member.seen).sum();
        let all = self.objects.saturating_mul(self.members.len() as u64);
        seen.saturating_mul(RAREST) < all
    }

    fn wider(&self, fields: &Fields, hint: Hint, fixed: bool) -> Option<DataType> {
        if self.given_up.is_some() {
            return None;
        }
        let mut is_changed = false;
        let known = fields.iter().map(|field| {
            let at = self.places.get(field.name());
            let member = at.and_then(|at| self.members.get(*at));
            let wider = member.and_then(|m| m.shape.wider(field.data_type(), hint, fixed));
            is_changed |= wider.is_some();
            match wider {
                Some(wider) => Arc::new(Field::clone(field).with_data_type(wider)),
                None => Arc::clone(field),
            }
        });
        let mut all: Vec<FieldRef> = known.collect();
        if !self.has_rare_members() {
            let mut names: HashSet<String> = all
                .iter()
                .map(|field| field.name().to_lowercase())
                .collect();
            for member in &self.members {
                let is_new = !member.name.is_empty() && names.insert(member.name.to_lowercase());
                if is_new && all.len() < MOST_MEMBERS {
                    all.push(Arc::new(member.field("", &mut Vec::new())));
                    is_changed = true;
                }
            }
        }
        is_changed.then(|| DataType::Struct(all.into()))
    }
}

/// The members that one type has and an earlier one does not, by their places in the column.
pub(crate) fn new_members(before: &DataType, after: &DataType, place: &str) -> Vec<String> {
    match (before, after) {
        (DataType::List(before), DataType::List(after)) => {
            new_members(before.data_type(), after.data_type(), &format!("{place}[]"))
        }
        (DataType::Struct(before), DataType::Struct(after)) => {
            let of = |field: &FieldRef| {
                let inner = format!("{place}.{}", field.name());
                match before.find(field.name()) {
                    Some((_, before)) => new_members(before.data_type(), field.data_type(), &inner),
                    None => vec![inner],
                }
            };
            after.iter().flat_map(of).collect()
        }
        _ => Vec::new(),
    }
}
