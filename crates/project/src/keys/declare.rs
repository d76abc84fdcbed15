//! The types of the declaration of keys: `Key`, `Kind`, `KeySchema`, and the bounds that several keys take.
//!
//! Promise: data only. The keys themselves are in `root.rs`, `pipeline.rs` and `table.rs`, those of rules and
//! checks in `rules.rs` and `checks/kinds.rs`.

use towpath_vocab::Level;

/// The kind of value of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any scalar.
    Text,
    /// An SQL expression or query; substitutions become literals.
    Sql,
    /// Text with run-time substitutions, which stay.
    AtRun,
    /// Text that stays a template until the connector connects.
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
    /// A list of texts with run-time substitutions.
    AtRunList,
    /// SQL statements, one or a list; values of the run become literals when they run.
    Statements,
    /// Anything, whose texts may have run-time substitutions.
    AtRunValue,
    /// Anything.
    Value,
    /// A map with these keys.
    Map(&'static KeySchema),
    /// A map from names to values of this kind; null means an empty value.
    Named(&'static Kind),
    /// A list of values of this kind.
    List(&'static Kind),
    /// The first of these kinds that fits the value.
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

/// A key that is parsed and checked, but has no effect in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inactive {
    /// An error if rows would differ, otherwise a warning.
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
    /// `None` for a key that has an effect.
    pub(crate) inactive: Option<Inactive>,
    pub(crate) required: bool,
}

impl Key {
    /// Marks a key as not supported; the rows are the same without it.
    pub(super) const fn later(mut self, way: &'static str) -> Self {
        let level = Level::Warning;
        self.inactive = Some(Inactive { level, way });
        self
    }

    /// Marks a key as not supported; rows would differ without it.
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

pub(crate) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
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
    /// The name of the map in messages: `step`.
    pub(crate) noun: &'static str,
    pub(crate) keys: &'static [Key],
    /// The keys of these are allowed too.
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

/// A smallest and a largest value.
pub(crate) static BOUNDS: KeySchema = KeySchema {
    noun: "bounds",
    keys: &[
        key("min", Kind::Text, "At least."),
        key("max", Kind::Text, "At most."),
    ],
    also: &[],
};
