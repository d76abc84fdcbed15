//! What a connector can do, as data: `ConnectorSpec`.
//!
//! Promise: the planning side checks a project against it, and the docs and the JSON Schemas are
//! generated from it, without the code of the connector. It does not open connections: that is
//! `ports::Connector`.

use serde::{Deserialize, Serialize};

use crate::{ReadMode, WriteMode};

/// One side of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Face {
    /// Tables can be read.
    Source,
    /// Tables can be written.
    Destination,
    /// Tables can be listed with their types.
    Discover,
}

/// What a system holds under the names that tables are asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// Tables of a database.
    Tables,
    /// Files of a folder: a path can be asked for without a connection of its own.
    Files,
    /// Endpoints: the connection's own `tables` define them, and a plan holds them as its option `tables`.
    Endpoints,
}

/// What a destination promises about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Rows and token commit together.
    ExactlyOnce,
    /// A crash at the wrong moment can repeat rows.
    AtLeastOnce,
    /// One file becomes visible by one rename.
    AtomicFile,
    /// Many files become visible through a manifest; a glob may see them early.
    AtomicManifest,
}

/// What text an option takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A path, relative to the project folder.
    Path,
    /// Resolved only at connect, never logged.
    Secret,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
    /// A list of texts; one text stands for a list of one.
    TextList,
    /// One of these texts.
    OneOf(Vec<String>),
    /// A map of names to texts.
    TextMap,
    /// A map whose `type` says which keys it has. In a connection's options its keys stand beside each
    /// other as `auth.type`, `auth.token`, so that one of them can be a secret.
    Variants(Vec<OptionVariant>),
}

/// One form of an option that is a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionVariant {
    /// The word of `type`.
    pub word: String,
    /// One line of documentation.
    pub doc: String,
    /// Its other keys.
    pub keys: Vec<OptionSpec>,
}

/// One option of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionSpec {
    /// The key in YAML.
    pub name: String,
    /// What it takes.
    pub kind: OptionKind,
    /// Whether a connection must have it.
    pub required: bool,
    /// Whether a table's entry may set it too, over the connection's value.
    pub per_table: bool,
    /// One line of documentation.
    pub doc: String,
}

/// What one kind of connector is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorSpec {
    /// The `type:` of a connection.
    pub kind: String,
    /// One line of documentation.
    pub doc: String,
    /// What it holds.
    pub objects: ObjectKind,
    /// Its sides.
    pub faces: Vec<Face>,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// How it can be read.
    pub reads: Vec<ReadMode>,
    /// Whether an incremental read needs a `cursor`; without one the source tells by itself what is new.
    pub needs_cursor: bool,
    /// Whether `Source::version` tells that there is nothing new to read.
    pub tells_version: bool,
    /// Whether rejected records are kept as the source's own text, which `Source::replay` reads again by
    /// the options of today.
    pub keeps_text: bool,
    /// How it can be written.
    pub writes: Vec<WriteMode>,
    /// What a write promises.
    pub guarantee: Guarantee,
    /// Schemes of URLs that mean this connector: `postgres`, `postgresql`.
    pub schemes: Vec<String>,
    /// Endings of file names that mean this connector: a database that is one file has some.
    pub endings: Vec<String>,
}
