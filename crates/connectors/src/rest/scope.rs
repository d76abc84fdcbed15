//! What a listing needs of the record it belongs to: values for its address and its new columns.
//!
//! Promise: a value that a listing needs is there and is a text or a number, or the read fails. Two
//! records with the same values make one listing. Read next: `listing.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::error::{RestError, Result};
use super::path::JsonPath;
use super::raw::Raw;
use super::template::Slot;

/// A value as JSON, and as requests write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Passed {
    json: String,
    text: String,
}

/// Values of the record that a listing belongs to, by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Scope(BTreeMap<String, Passed>);

impl Scope {
    /// The values by their paths, as JSON texts.
    pub(super) fn stored(&self) -> Value {
        let values = self.0.iter();
        values
            .map(|(at, value)| (at.clone(), Value::from(value.json.as_str())))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Reads what `stored` gave.
    pub(super) fn read(stored: &Value) -> Option<Self> {
        let values = stored.as_object()?.iter().map(|(at, json)| {
            let json = json.as_str()?.to_owned();
            let text = Raw::read(&json).ok()?.scalar()?;
            Some((at.clone(), Passed { json, text }))
        });
        values.collect::<Option<BTreeMap<_, _>>>().map(Self)
    }

    /// A value as requests write it.
    pub(super) fn text(&self, at: &str) -> Option<&str> {
        self.0.get(at).map(|value| value.text.as_str())
    }
}

/// The columns of `include` with their values as JSON.
pub(super) fn included(endpoint: &Endpoint, scope: &Scope) -> Vec<(String, String)> {
    let columns = endpoint
        .include
        .iter()
        .filter_map(|(name, slot)| match slot {
            Slot::Parent { at, .. } => Some((name.clone(), scope.0.get(at)?.json.clone())),
            Slot::Cursor => None,
        });
    columns.collect()
}

/// The paths of the values that a child needs of each record.
pub(super) struct Needs(Vec<(String, JsonPath)>);

impl Needs {
    pub(super) fn of(child: &Endpoint) -> Self {
        let needs = child.needs();
        let needs = needs.map(|(_, at)| (at.to_owned(), JsonPath::new(at)));
        Self(needs.collect())
    }

    /// The values of a record of `parent`, which has these new columns.
    pub(super) fn scope(
        &self,
        record: Raw<'_>,
        include: &[(String, String)],
        parent: &Endpoint,
    ) -> Result<Scope> {
        let mut scope = BTreeMap::new();
        for (at, path) in &self.0 {
            let own = path
                .find(record)
                .and_then(|value| Some((value.text().to_owned(), value.scalar()?)));
            let passed = || {
                let (_, json) = include.iter().find(|(name, _)| name == at)?;
                Some((json.clone(), Raw::read(json).ok()?.scalar()?))
            };
            let Some((json, text)) = own.or_else(passed) else {
                return Err(RestError::NoParentValue {
                    table: parent.table.clone(),
                    column: at.clone(),
                });
            };
            scope.insert(at.clone(), Passed { json, text });
        }
        Ok(Scope(scope))
    }
}
