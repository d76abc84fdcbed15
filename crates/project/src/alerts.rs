//! `alerts` of a pipeline: which connections get a message, and when.
//!
//! Promise: each name is a connection that takes alerts, or a mistake with its place. A pipeline's own
//! condition replaces that of the defaults; an empty list turns it off. It does not know what a condition
//! means for a run: that is `app/src/alerts/`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use towpath_vocab::{AlertCondition, AlertsPlan, Capability};

use crate::connection::{self, Connection};
use crate::report::{FileRange, Report};
use crate::yaml::Node;

/// The alerts of a pipeline.
pub(crate) fn plan(
    pipeline: &Node,
    root: &Node,
    connections: &IndexMap<String, Connection<'_>>,
    report: &mut Report,
) -> AlertsPlan {
    let defaults = root.get("defaults").and_then(|node| node.get("alerts"));
    let mut plan: BTreeMap<AlertCondition, Vec<(String, FileRange)>> = BTreeMap::new();
    for node in [defaults, pipeline.get("alerts")].into_iter().flatten() {
        for condition in AlertCondition::ALL {
            let Some(said) = node.get(condition.word()).filter(|node| !node.is_null()) else {
                continue;
            };
            let names = said.items().iter().filter_map(|item| {
                let name = item.text()?.to_owned();
                Some((name, item.at))
            });
            plan.insert(condition, names.collect());
        }
    }
    let mut found = AlertsPlan::new();
    for (condition, names) in plan {
        for (name, at) in names {
            if takes_alerts(&name, at, connections, report) {
                let channels = found.entry(condition).or_default();
                if !channels.contains(&name) {
                    channels.push(name);
                }
            }
        }
    }
    found
}

fn takes_alerts(
    name: &str,
    at: FileRange,
    connections: &IndexMap<String, Connection<'_>>,
    report: &mut Report,
) -> bool {
    let Some(connection) = connection::find(connections, name, at, report) else {
        return false;
    };
    if connection.has(Capability::Alert) {
        return true;
    }
    let kind = &connection.plan.kind;
    let message = format!("connection `{name}` of type `{kind}` takes no alerts");
    report
        .error("C0520", at, message)
        .help("to list the types that do: towpath connection types");
    false
}
