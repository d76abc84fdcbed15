//! A fact: something learned about an external system or table, with its source and time.
//!
//! Promise: declared facts win over discovered ones (`schemas/*.yml`), and those over facts that the last
//! run observed. A missing fact makes something `unknown`, which is never an error.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::TableName;

/// The origin of a fact; earlier variants win over later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactSource {
    /// Written by the user.
    Declared,
    /// `schemas/CONNECTION.yml`.
    Discovered,
    /// The last run.
    Observed,
}

/// The columns and the key of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableFact {
    /// Columns in order.
    pub schema: SchemaRef,
    /// Columns of the primary key, if the external table has one.
    #[serde(default)]
    pub key: Vec<String>,
    /// Its origin.
    pub source: FactSource,
    /// When it was read, as RFC 3339 in UTC; empty for declared facts.
    #[serde(default)]
    pub seen_at: String,
}

/// All facts that are known when a project is checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Tables of connections: connection name, then the object's name there.
    pub outside: BTreeMap<String, BTreeMap<String, TableFact>>,
    /// Tables of the lakehouse.
    pub lakehouse: BTreeMap<TableName, TableFact>,
    /// Names of environment variables that are set. Values never enter the planning side this way.
    pub set_variables: BTreeSet<String>,
}
