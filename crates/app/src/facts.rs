//! The facts that a check may use: what earlier runs observed, and which environment variables are set.
//!
//! Promise: it only reads the state store and the environment. Facts from `discover` are in files of the
//! project, which `project` reads. Read next: `check.rs`.

use std::collections::BTreeMap;

use towpath_ports::{StateStore, System};
use towpath_vocab::{Environment, Facts, TableFact, TableName};

use crate::Result;
use crate::system::LocalSystem;

/// The prefix of an external table's key in the state store: `outside:CONNECTION:OBJECT`.
const OUTSIDE: &str = "outside:";

/// The key of an external table's fact in the state store.
pub(crate) fn external_key(connection: &str, object: &str) -> String {
    format!("{OUTSIDE}{connection}:{object}")
}

/// The facts of one environment; without a state store, before the first run, only the variables.
pub(crate) async fn gather(
    store: Option<&dyn StateStore>,
    environment: &Environment,
    system: &LocalSystem,
) -> Result<Facts> {
    let mut facts = Facts {
        set_variables: system.environment().keys().cloned().collect(),
        ..Facts::default()
    };
    let Some(store) = store else { return Ok(facts) };
    for (key, fact) in store.facts(environment).await? {
        add(&mut facts, &key, fact);
    }
    Ok(facts)
}

fn add(facts: &mut Facts, key: &str, fact: TableFact) {
    let outside = key
        .strip_prefix(OUTSIDE)
        .and_then(|rest| rest.split_once(':'));
    if let Some((connection, object)) = outside {
        let tables: &mut BTreeMap<String, TableFact> =
            facts.outside.entry(connection.to_owned()).or_default();
        tables.insert(object.to_owned(), fact);
    } else if let Ok(table) = key.parse::<TableName>() {
        facts.lakehouse.insert(table, fact);
    }
}
