//! A model during the check, and the context that the phases share.
//!
//! Promise: data only. Read next: `check.rs`.

use std::collections::{BTreeMap, HashMap};

use towpath_template::{MacroFile, Scan};
use towpath_vocab::{Action, Materialized, TableName};

use super::properties::Properties;
use crate::checks::Reference;
use crate::context::StepContext;
use crate::dbt::{ConfigReaders, DbtProject};
use crate::inputs::CheckInputs;
use crate::parsed::TextFile;
use crate::report::FileRange;
use crate::yaml::Node;

/// A model whose file was read.
pub(crate) struct Draft<'a> {
    pub(crate) name: String,
    pub(crate) table: TableName,
    pub(crate) file: TextFile<'a>,
    pub(crate) scan: Scan,
    pub(crate) materialized: Materialized,
    /// Its entry in a YAML file.
    pub(crate) properties: Option<Node>,
    /// The tables of `ref` and `source`, by key.
    pub(crate) references: BTreeMap<String, TableName>,
    /// Models it refers to, by index.
    pub(crate) parents: Vec<usize>,
    /// False if a mistake in it was already reported.
    pub(crate) sound: bool,
}

/// A checked model or seed, which a `models` step can select.
pub(crate) struct Model {
    pub(crate) name: String,
    /// The file, relative to the project folder.
    pub(crate) file: String,
    pub(crate) table: TableName,
    /// What its task does.
    pub(crate) action: Action,
    /// Tables it reads, also through ephemeral models.
    pub(crate) reads: Vec<TableName>,
    pub(crate) references: Vec<Reference>,
    pub(crate) at: FileRange,
}

/// All models and seeds of the project.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) list: Vec<Model>,
    /// Tables by their name in `ref`.
    pub(crate) refs: HashMap<String, TableName>,
}

impl Models {
    /// The number of models, without seeds.
    pub(crate) fn models(&self) -> usize {
        let is_model = |one: &&Model| matches!(one.action, Action::Model(_));
        self.list.iter().filter(is_model).count()
    }
}

/// The context in which models are read.
pub(crate) struct ModelContext<'a> {
    pub(crate) inputs: &'a CheckInputs<'a>,
    pub(crate) context: &'a StepContext<'a>,
    pub(crate) environment: &'a str,
    pub(crate) macros: Vec<MacroFile>,
    pub(crate) macro_files: &'a [TextFile<'a>],
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    pub(crate) properties: &'a Properties,
    pub(crate) project: &'a DbtProject,
    /// The templates in which the project's own config keys are found.
    pub(crate) asked: &'a ConfigReaders<'a>,
    /// Tables of seeds by their name in `ref`.
    pub(crate) seeds: HashMap<String, TableName>,
    /// Loaded tables by connection and object, which are sources without a declaration.
    pub(crate) loaded: HashMap<(String, String), TableName>,
}
