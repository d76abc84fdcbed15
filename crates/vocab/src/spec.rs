//! What a connector can do, as data: `ConnectorSpec`.
//!
//! Promise: the planning side checks a project against it, and the docs and the JSON Schemas are
//! generated from it, without the code of the connector. It does not open connections: that is
//! `ports::Connector`.

use serde::{Deserialize, Serialize};

use crate::{ReadMode, WriteMode};

/// What a connector can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Tables can be read.
    Source,
    /// Tables can be written.
    Destination,
    /// Tables can be listed with their types.
    Discover,
    /// Alerts can be sent.
    Alert,
    /// SQL of the user can be run.
    Sql,
}

/// The kind of objects that a system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// Tables of a database.
    Tables,
    /// Files of a folder: a path can be read without a connection of its own.
    Files,
    /// None: it takes messages.
    Messages,
    /// Endpoints: the connection's own `tables` define them, and a plan holds them as its option `tables`.
    Endpoints,
}

/// What a destination guarantees about a row.
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

/// What stood at the other end when a connector was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The system itself, or files that its own programs wrote.
    RealSystem,
    /// An emulator of the system, made by others.
    Emulator,
    /// A server of the tests that speaks its protocol.
    ProtocolFake,
}

/// A system that a connector was tested with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenSystem {
    /// Its name and version.
    pub system: String,
    /// What stood at the other end.
    pub proof: Proof,
}

impl ProvenSystem {
    /// The systems of one kind of proof.
    pub fn all<const N: usize>(proof: Proof, systems: [&str; N]) -> Vec<Self> {
        let systems = systems.into_iter().map(str::to_owned);
        systems.map(|system| Self { system, proof }).collect()
    }
}

/// The kind of value of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A path, relative to the project folder.
    Path,
    /// A secret: it is resolved only when the connector connects, and is never logged.
    Secret,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
    /// A list of texts; a single text is a list of one.
    TextList,
    /// One of these texts.
    OneOf(Vec<String>),
    /// A map of names to texts.
    TextMap,
    /// A map of any values, whose texts may contain secrets. In a connection's options it is a secret: its
    /// JSON, in which placeholders are unresolved.
    SecretMap,
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

/// When an option of a connector has an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionUse {
    /// When tables are read, and when they are written.
    #[default]
    Always,
    /// Only when tables are read.
    Reads,
    /// Only when tables are written.
    Writes,
}

/// One option of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionSpec {
    /// The key in YAML.
    pub name: String,
    /// The kind of its value.
    pub kind: OptionKind,
    /// Whether a connection must have it.
    pub required: bool,
    /// Whether a table may set it too; that value wins over the one of the connection.
    pub per_table: bool,
    /// Whether only a table may set it.
    #[serde(default)]
    pub table_only: bool,
    /// When it has an effect.
    #[serde(default)]
    pub used_by: OptionUse,
    /// One line of documentation.
    pub doc: String,
}

/// The description of one kind of connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorSpec {
    /// The `type:` of a connection.
    pub kind: String,
    /// One line of documentation.
    pub doc: String,
    /// The kind of its objects.
    pub objects: ObjectKind,
    /// Its capabilities.
    pub capabilities: Vec<Capability>,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// Keys of a connection's `limits` that have an effect.
    #[serde(default)]
    pub limits: Vec<String>,
    /// The modes in which it can be read.
    pub reads: Vec<ReadMode>,
    /// Whether an incremental read needs a `cursor`; otherwise the source finds new rows itself.
    pub needs_cursor: bool,
    /// Whether `Source::version` says if there is nothing new to read.
    pub tells_version: bool,
    /// Whether rejected records are stored as the text of the source, which `Source::replay` parses again
    /// with the present options.
    pub keeps_text: bool,
    /// The modes in which it can be written.
    pub writes: Vec<WriteMode>,
    /// What a write guarantees.
    pub guarantee: Guarantee,
    /// The systems that it was tested with; what is not in the list was never tried.
    #[serde(default)]
    pub proven: Vec<ProvenSystem>,
    /// Schemes of URLs that mean this connector: `postgres`, `postgresql`.
    pub schemes: Vec<String>,
    /// Endings of file names that mean this connector, for a database in one file.
    pub endings: Vec<String>,
}
