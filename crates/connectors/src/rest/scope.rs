//! What a listing needs of the record it belongs to: values for its address and its new columns.
//!
//! Promise: a value that a listing needs is there and is a text or a number, or the read fails. Two
//! records with the same values make one listing. A listing is known in later runs by what makes its
//! request; the values of its columns may change. Read next: `listing.rs`, `resume.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

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

/// Values by their paths.
type Values = BTreeMap<String, Passed>;

/// Values of the record that a listing belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// What makes the request: a listing is known by it.
    request: Values,
    /// What becomes columns of its rows.
    include: Values,
}

/// What a listing is known by in all runs: a hash of what makes its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ListingKey(pub(super) String);

impl Scope {
    /// What the listing is known by.
    pub(super) fn key(&self) -> ListingKey {
        let values = self.request.iter();
        let values = values.flat_map(|(at, value)| [at.as_str(), value.text.as_str()]);
        let hash = Sha256::digest(values.collect::<Value>().to_string());
        let half = hash.iter().take(16);
        ListingKey(half.map(|byte| format!("{byte:02x}")).collect())
    }

    /// The memory it takes, about.
    pub(super) fn bytes(&self) -> i64 {
        const EACH: usize = 128;
        let values = self.request.iter().chain(&self.include);
        let values =
            values.map(|(at, value)| EACH + at.len() + value.json.len() + value.text.len());
        i64::try_from(EACH + values.sum::<usize>()).unwrap_or(i64::MAX)
    }

    /// The values by their paths, as JSON texts: those of the request, and those of the columns.
    pub(super) fn stored(&self) -> (Value, Value) {
        let stored = |values: &Values| {
            let values = values.iter();
            values
                .map(|(at, value)| (at.clone(), Value::from(value.json.as_str())))
                .collect::<Map<_, _>>()
                .into()
        };
        (stored(&self.request), stored(&self.include))
    }

    /// Reads what `stored` gave, for an endpoint as it is now; `None` when a value of its request is not
    /// there. An earlier version stored all values as one.
    pub(super) fn read(
        request: &Value,
        include: Option<&Value>,
        endpoint: &Endpoint,
    ) -> Option<Self> {
        let mut values = values(request)?;
        if let Some(include) = include {
            values.extend(self::values(include)?);
        }
        let found = |(_, at): (&str, &str)| Some((at.to_owned(), values.get(at)?.clone()));
        Some(Self {
            request: endpoint.request_needs().map(found).collect::<Option<_>>()?,
            include: endpoint.include_needs().filter_map(found).collect(),
        })
    }

    /// True when it has the values of all columns.
    pub(super) fn has_columns_of(&self, endpoint: &Endpoint) -> bool {
        let mut needs = endpoint.include_needs();
        needs.all(|(_, at)| self.include.contains_key(at))
    }

    /// A value as requests write it.
    pub(super) fn text(&self, at: &str) -> Option<&str> {
        self.request.get(at).map(|value| value.text.as_str())
    }
}

fn values(stored: &Value) -> Option<Values> {
    let values = stored.as_object()?.iter().map(|(at, json)| {
        let json = json.as_str()?.to_owned();
        let text = Raw::read(&json).ok()?.scalar()?;
        Some((at.clone(), Passed { json, text }))
    });
    values.collect()
}

/// The columns of `include` with their values as JSON.
pub(super) fn included(endpoint: &Endpoint, scope: &Scope) -> Vec<(String, String)> {
    let columns = endpoint
        .include
        .iter()
        .filter_map(|(name, slot)| match slot {
            Slot::Parent { at, .. } => Some((name.clone(), scope.include.get(at)?.json.clone())),
            Slot::Cursor => None,
        });
    columns.collect()
}

/// The paths of the values that a child needs of each record.
pub(super) struct Needs {
    request: Vec<(String, JsonPath)>,
    include: Vec<(String, JsonPath)>,
}

impl Needs {
    pub(super) fn of(child: &Endpoint) -> Self {
        let path = |(_, at): (&str, &str)| (at.to_owned(), JsonPath::new(at));
        Self {
            request: child.request_needs().map(path).collect(),
            include: child.include_needs().map(path).collect(),
        }
    }

    /// The values of a record of `parent`, which has these new columns.
    pub(super) fn scope(
        &self,
        record: Raw<'_>,
        include: &[(String, String)],
        parent: &Endpoint,
    ) -> Result<Scope> {
        let value = |(at, path): &(String, JsonPath)| {
            let own = path
                .find(record)
                .and_then(|value| Some((value.text().to_owned(), value.scalar()?)));
            let passed = || {
                let (_, json) = include.iter().find(|(name, _)| name == at)?;
                Some((json.clone(), Raw::read(json).ok()?.scalar()?))
            };
            match own.or_else(passed) {
                Some((json, text)) => Ok((at.clone(), Passed { json, text })),
                None => Err(RestError::NoParentValue {
                    table: parent.table.clone(),
                    column: at.clone(),
                }),
            }
        };
        Ok(Scope {
            request: self.request.iter().map(value).collect::<Result<_>>()?,
            include: self.include.iter().map(value).collect::<Result<_>>()?,
        })
    }
}
