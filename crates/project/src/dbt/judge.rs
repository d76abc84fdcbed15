//! Checks the keys of dbt's files against their declaration.
//!
//! Promise: each key of an entry or a `config` has an effect, is a description, or is reported: as an error
//! where rows or guarantees would differ, otherwise as a warning. An unknown key is an error with the
//! nearest name. It looks only at whether a value is set. Read next: `keys.rs`.

use serde_json::Value as Json;
use towpath_template::MacroFile;

use super::keys::{DbtKeys, Effect};
use crate::parsed::TextFile;
use crate::report::{FileRange, Report};
use crate::yaml::Node;

/// A key with its value and its position.
pub(crate) struct Setting<'a> {
    pub(crate) key: &'a str,
    pub(crate) at: FileRange,
    pub(crate) value: Json,
    /// True in YAML, where Jinja is not rendered in this version.
    pub(crate) is_yaml: bool,
}

/// The texts of a project's templates, in which config keys of their own are found.
pub(crate) struct ConfigReaders<'a>(Vec<&'a str>);

impl<'a> ConfigReaders<'a> {
    pub(crate) fn of(models: &[TextFile<'a>], macros: &'a [MacroFile]) -> Self {
        let models = models.iter().map(|file| file.text);
        let all = models.chain(macros.iter().map(|file| file.text.as_str()));
        Self(all.filter(|text| text.contains("config.")).collect())
    }

    /// True if a template contains `config.get('key')` or `config.require('key')`.
    fn names(&self, key: &str) -> bool {
        let calls = ["get('", "get(\"", "require('", "require(\""];
        let calls = calls.map(|call| format!("config.{call}{key}"));
        self.0
            .iter()
            .any(|text| calls.iter().any(|call| text.contains(call)))
    }
}

/// Checks the keys of a `config`.
pub(crate) fn config<'a>(
    settings: impl IntoIterator<Item = Setting<'a>>,
    keys: &DbtKeys,
    asked: &ConfigReaders<'_>,
    report: &mut Report,
) {
    for setting in settings {
        if keys.find(setting.key).is_some() || !asked.names(setting.key) {
            one(&setting, keys, report);
        }
    }
}

/// Checks the keys of an entry in YAML.
pub(crate) fn entry(node: &Node, keys: &DbtKeys, report: &mut Report) {
    for (key, entry) in node.entries() {
        let setting = Setting {
            key,
            at: entry.key_at,
            value: entry.value.json(),
            is_yaml: true,
        };
        one(&setting, keys, report);
    }
}

fn one(setting: &Setting<'_>, keys: &DbtKeys, report: &mut Report) {
    let Setting { key, at, value, .. } = setting;
    let Some(known) = keys.find(key) else {
        report
            .error(
                "P0102",
                *at,
                format!("unknown key `{key}` in the {}", keys.noun),
            )
            .suggest(key, keys.names(), &format!("keys of the {}", keys.noun));
        return;
    };
    let message = || format!("`{key}` is not supported in this version");
    match known.effect {
        Effect::Describes => {}
        Effect::Obeyed => {
            if setting.is_yaml && value.as_str().is_some_and(|text| text.contains("{{")) {
                report
                    .error("M0340", *at, format!("the value of `{key}` is a template"))
                    .help("Jinja is rendered in models and macros, not in YAML: write the value itself");
            }
        }
        Effect::Refused(_) | Effect::Warned(_) if is_unset(key, value) => {}
        Effect::Refused(why) => {
            report.error("P0115", *at, message()).help(why);
        }
        Effect::Warned(why) => {
            report.warning("P0115", *at, message()).help(why);
        }
    }
}

/// True for a value that sets nothing: null, false, an empty text, list or map; a contract that is not
/// enforced.
pub(crate) fn is_unset(key: &str, value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.trim().is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) if key == "contract" => map
            .get("enforced")
            .is_none_or(|enforced| *enforced == Json::Bool(false)),
        Json::Object(map) => map.is_empty(),
        Json::Bool(true) | Json::Number(_) => false,
    }
}
