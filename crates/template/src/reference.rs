//! What a template can refer to: models, source tables, variables.
//!
//! Promise: plain values; the caller resolves them. Read next: `scan.rs`, which finds them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Values of `var()`.
pub type Vars = BTreeMap<String, Json>;

/// The kind of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// `ref('model')`.
    Ref,
    /// `source('name', 'table')`.
    Source,
}

/// One `ref` or `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its function.
    pub kind: ReferenceKind,
    /// Its arguments: a model, a package and a model, or a source and a table.
    pub parts: Vec<String>,
    /// `v=` of `ref`.
    pub version: Option<String>,
    /// Bytes of the call in the template, if it has literal arguments there.
    pub offset: Option<(usize, usize)>,
}

impl Reference {
    /// Its key in `Render::relations`: the parts joined by `.`, and `.vN`.
    pub fn key(&self) -> String {
        match &self.version {
            Some(version) => format!("{}.v{version}", self.parts.join(".")),
            None => self.parts.join("."),
        }
    }
}

/// One `env_var`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// The variable.
    pub name: String,
    /// Its default in the template.
    pub default: Option<String>,
    /// Bytes of the call in the template, if it has a literal name there.
    pub offset: Option<(usize, usize)>,
}
