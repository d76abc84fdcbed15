//! The types of the declaration of keys: `Key`, `Kind`, `KeySchema`.
//!
//! Promise: data only. The keys themselves are in `root.rs`, `pipeline.rs` and `table.rs`.

use towpath_vocab::Level;

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any scalar.
    Text,
    /// An SQL expression or query; substitutions become literals.
    Sql,
    /// Text that may hold run-time substitutions, which stay.
    AtRun,
    /// Text that stays a template until connect.
    Secret,
    /// A whole number, not negative.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// `30s`, `10m`, `24h`, `2d`, or seconds.
    Duration,
    /// `256MB`, `4GB`, or bytes.
    Size,
    /// `1%`, a row count, or `{ percent: 1, rows: 10 }`.
    Limit,
    /// A type in the words of the config.
    Type,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One text or a list of texts.
    Texts,
    /// A list of texts.
    TextList,
    /// A list of texts that may hold run-time substitutions.
    AtRunList,
    /// Anything.
    Value,
    /// A map with these keys.
    Map(&'static KeySchema),
    /// A map from names to values of this kind; null stands for an empty value.
    Named(&'static Kind),
    /// A list of values of this kind.
    List(&'static Kind),
    /// The first of these that the value looks like.
    Either(&'static [Kind]),
    /// A connection: `CONNECTION` and the options of its connector.
    Connection,
    /// A step: `STEP`, with the options of its connection's connector in tables.
    Step,
    /// A table: `TABLE` and the per-table options of the connector.
    Table,
    /// One entry of `checks`.
    Check,
}

/// A key that is parsed and checked, and whose engine comes in a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inactive {
    /// An error where rows would differ, a warning elsewhere.
    pub(crate) level: Level,
    /// What to do instead.
    pub(crate) way: &'static str,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) doc: &'static str,
    /// `None` for a key that is obeyed.
    pub(crate) inactive: Option<Inactive>,
    pub(crate) required: bool,
}

impl Key {
    /// Not active; the rows are the same without it.
    pub(super) const fn later(mut self, way: &'static str) -> Self {
        let level = Level::Warning;
        self.inactive = Some(Inactive { level, way });
        self
    }

    /// Not active; rows would differ without it.
    pub(super) const fn refused(mut self, way: &'static str) -> Self {
        let level = Level::Error;
        self.inactive = Some(Inactive { level, way });
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

pub(super) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        doc,
        inactive: None,
        required: false,
    }
}

/// The keys that a map may have.
#[derive(Debug)]
pub(crate) struct KeySchema {
    /// What the map is, for messages: `step`.
    pub(crate) noun: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys of these are allowed too.
    pub(crate) also: &'static [&'static KeySchema],
}

impl KeySchema {
    /// All keys, its own first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .chain(self.also.iter().flat_map(|shape| shape.keys.iter()))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Key> {
        self.all().find(|key| key.name == name)
    }
}
