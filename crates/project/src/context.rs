//! The context of the check of steps and models: the bound project and all facts.
//!
//! Promise: facts are found by the name that the user writes; discovered facts come before observed ones.
//! It makes no plan. Read next: `load.rs`, `publish.rs`, `command.rs`, `models/mod.rs`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use towpath_vocab::{
    FactSource, Facts, Naming, OptionValue, RetryPlan, SecretTemplate, TableFact, TableName,
};

use crate::bound::Bound;
use crate::columns::Known;
use crate::connection::Connection;
use crate::schemas::{self, ReadOptions};
use crate::value;
use crate::yaml::Node;

/// The context in which steps are checked.
pub(crate) struct StepContext<'a> {
    pub(crate) root: &'a Node,
    pub(crate) connections: &'a IndexMap<String, Connection<'a>>,
    pub(crate) facts: &'a Facts,
    /// Tables of `schemas/*.yml`, by connection.
    pub(crate) discovered: BTreeMap<String, BTreeMap<String, TableFact>>,
    /// The options with which those were discovered.
    seen_with: BTreeMap<String, BTreeMap<String, ReadOptions>>,
    pub(crate) names: Naming,
    pub(crate) mask_key: Option<SecretTemplate>,
    pub(crate) retry: RetryPlan,
}

impl<'a> StepContext<'a> {
    pub(crate) fn new(
        bound: &'a Bound<'a>,
        facts: &'a Facts,
        discovered: BTreeMap<String, BTreeMap<String, TableFact>>,
    ) -> Self {
        let root = &bound.root;
        let names = match root.get_text("names") {
            Some("exact") => Naming::Exact,
            _ => Naming::Snake,
        };
        let mask_key = root.get_text("mask_key").map(SecretTemplate::new);
        let retry = retry(root.get("defaults"), RetryPlan::default());
        Self {
            root,
            connections: &bound.connections,
            facts,
            discovered,
            seen_with: bound
                .schemas
                .iter()
                .map(|(name, node)| (name.clone(), schemas::options(node)))
                .collect(),
            names,
            mask_key,
            retry,
        }
    }

    /// The known objects of a connection, discovered ones first.
    pub(crate) fn objects(&self, connection: &str) -> BTreeMap<&str, &TableFact> {
        let mut objects = BTreeMap::new();
        for (name, fact) in self.facts.outside.get(connection).into_iter().flatten() {
            objects.insert(name.as_str(), fact);
        }
        for (name, fact) in self.discovered.get(connection).into_iter().flatten() {
            let declared = objects
                .get(name.as_str())
                .is_some_and(|known| known.source == FactSource::Declared);
            if !declared {
                objects.insert(name.as_str(), fact);
            }
        }
        objects
    }

    /// The known columns of an object, by its name, or by its name in the connection's schema.
    pub(crate) fn known(&self, connection: &Connection<'_>, object: &str) -> Option<Known<'_>> {
        let name = &connection.plan.name;
        let schema = connection.plan.text("schema");
        let qualified = schema.map(|schema| format!("{schema}.{object}"));
        let fact = self
            .fact(name, object)
            .or_else(|| self.fact(name, qualified.as_deref()?))?;
        if fact.schema.fields().is_empty() {
            return None;
        }
        Some(Known {
            fact,
            object: object.to_owned(),
            origin: origin(name, fact),
        })
    }

    /// The options with which an object was discovered; `None` for one that was not discovered.
    pub(crate) fn seen_with(&self, connection: &str, object: &str) -> Option<&ReadOptions> {
        self.seen_with.get(connection)?.get(object)
    }

    fn fact(&self, connection: &str, object: &str) -> Option<&TableFact> {
        let observed = self
            .facts
            .outside
            .get(connection)
            .and_then(|tables| tables.get(object));
        if observed.is_some_and(|fact| fact.source == FactSource::Declared) {
            return observed;
        }
        self.discovered
            .get(connection)
            .and_then(|tables| tables.get(object))
            .or(observed)
    }

    /// The last observed columns of a lakehouse table.
    pub(crate) fn lakehouse(&self, table: &TableName) -> Option<&TableFact> {
        self.facts.lakehouse.get(table)
    }

    /// The project's `state`.
    pub(crate) fn state(&self) -> Option<OptionValue> {
        let text = self.root.get_text("state")?;
        Some(match text.contains("${") || text.contains("://") {
            true => OptionValue::Secret(SecretTemplate::new(text)),
            false => OptionValue::Plain(serde_json::Value::from(text)),
        })
    }
}

fn origin(connection: &str, fact: &TableFact) -> String {
    let day = fact.seen_at.get(..10).unwrap_or(&fact.seen_at);
    let seen = if day.is_empty() {
        String::new()
    } else {
        format!(", seen {day}")
    };
    match fact.source {
        FactSource::Declared => "as declared".to_owned(),
        FactSource::Discovered => format!("schemas/{connection}.yml{seen}"),
        FactSource::Observed => format!("the last run{seen}"),
    }
}

/// Retries and timeout of a step or of defaults; they win over the earlier ones.
pub(crate) fn retry(node: Option<&Node>, before: RetryPlan) -> RetryPlan {
    let Some(node) = node else {
        return before;
    };
    let backoff_ms = node
        .get_text("backoff")
        .and_then(value::duration_ms)
        .unwrap_or(before.backoff_ms);
    RetryPlan {
        retries: node
            .get_text("retries")
            .and_then(|text| text.parse().ok())
            .unwrap_or(before.retries),
        backoff_ms,
        backoff_max_ms: before.backoff_max_ms.max(backoff_ms),
        timeout_ms: node
            .get_text("timeout")
            .and_then(value::duration_ms)
            .or(before.timeout_ms),
        reconnect_ms: node
            .get_text("reconnect")
            .and_then(value::duration_ms)
            .unwrap_or(before.reconnect_ms),
    }
}
