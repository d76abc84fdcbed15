//! `copy --option K=V`: options of the source's connector.
//!
//! Promise: an option is one that a table of this connector may set, and its value has the declared kind;
//! anything else is refused with the nearest name. It opens nothing. Read next: `copy.rs`.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_project::nearest;
use towpath_vocab::{ConnectorSpec, Failure, OptionKind, OptionSpec, OptionUse, Remedy};

use crate::Result;

/// The options of a source of this kind.
pub(super) fn read(
    said: &[(String, String)],
    kind: &str,
    specs: &[ConnectorSpec],
) -> Result<BTreeMap<String, Value>> {
    let spec = specs.iter().find(|spec| spec.kind == kind);
    let known: Vec<&OptionSpec> = spec
        .into_iter()
        .flat_map(|spec| spec.options.iter().filter(|option| is_read(option)))
        .collect();
    let mut options = BTreeMap::new();
    for (name, text) in said {
        let Some(option) = known.iter().find(|option| option.name == *name) else {
            return Err(unknown(name, kind, &known));
        };
        let value = value(option, text)?;
        if options.insert(name.clone(), value).is_some() {
            return Err(wrong(format!("--option {name} is given twice")));
        }
    }
    Ok(options)
}

/// Whether it is an option of a table that is read.
fn is_read(option: &OptionSpec) -> bool {
    option.per_table && option.used_by != OptionUse::Writes
}

fn unknown(name: &str, kind: &str, known: &[&OptionSpec]) -> Failure {
    let names: Vec<&str> = known.iter().map(|option| option.name.as_str()).collect();
    let failure = wrong(format!("a source of type `{kind}` has no option `{name}`"));
    match (nearest(name, names.iter().copied()), names.is_empty()) {
        (Some(near), _) => failure.help(format!("did you mean `{near}`?")),
        (None, true) => failure.help("it takes no --option"),
        (None, false) => failure.help(format!("it takes: {}", names.join(", "))),
    }
}

fn value(option: &OptionSpec, text: &str) -> Result<Value> {
    let json = || serde_json::from_str::<Value>(text).ok();
    let name = &option.name;
    let must = |what: &str| wrong(format!("--option {name}={text}: write {what}"));
    match &option.kind {
        OptionKind::Boolean => json()
            .filter(Value::is_boolean)
            .ok_or_else(|| must("true or false")),
        OptionKind::Integer => json()
            .filter(Value::is_u64)
            .ok_or_else(|| must("a whole number")),
        OptionKind::TextList => Ok(json()
            .filter(Value::is_array)
            .unwrap_or_else(|| Value::from(text))),
        OptionKind::TextMap | OptionKind::Variants(_) => json()
            .filter(Value::is_object)
            .ok_or_else(|| must("a map in JSON")),
        OptionKind::OneOf(words) if !words.iter().any(|word| word == text) => {
            Err(must(&format!("one of {}", words.join(", "))))
        }
        _ => Ok(Value::from(text)),
    }
}

fn wrong(message: String) -> Failure {
    Failure::new("R0919", Remedy::FixConfig, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::services::connector_specs;

    #[test]
    fn every_option_of_a_source_is_read_or_refused() {
        let specs = connector_specs();
        let said = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        for spec in &specs {
            for option in &spec.options {
                let good = match &option.kind {
                    OptionKind::Boolean => "true",
                    OptionKind::Integer => "7",
                    OptionKind::OneOf(words) => words.first().unwrap(),
                    OptionKind::TextMap | OptionKind::Variants(_) => "{}",
                    _ => "x",
                };
                let read = |text: &str| read(&said(&option.name, text), &spec.kind, &specs);
                assert_eq!(read(good).is_ok(), is_read(option), "{}", option.name);
                if matches!(
                    option.kind,
                    OptionKind::Boolean
                        | OptionKind::Integer
                        | OptionKind::OneOf(_)
                        | OptionKind::TextMap
                        | OptionKind::Variants(_)
                ) {
                    assert!(read("nonsense").is_err(), "{}", option.name);
                }
            }
        }
        let slip = read(&said("delimeter", ";"), "files", &specs).unwrap_err();
        assert!(slip.help[0].contains("delimiter"), "{slip:?}");
        let twice = [said("delimiter", ";"), said("delimiter", ",")].concat();
        assert!(read(&twice, "files", &specs).is_err());
        let list = read(&said("null_values", "[\"NA\",\"-\"]"), "files", &specs).unwrap();
        assert_eq!(list["null_values"], serde_json::json!(["NA", "-"]));
    }
}
