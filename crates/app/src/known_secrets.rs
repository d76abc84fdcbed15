//! The values of all secrets that a project names, so that they can be removed from what programs print.
//!
//! Promise: the values are in memory only, and only during the run. A secret that is not set has no value
//! to remove. It does not know where text is shown. Read next: `ports/src/redact.rs`.

use towpath_ports::{Redaction, System as _};
use towpath_vocab::passwords::{is_literal_password, password_arguments, passwords_in};
use towpath_vocab::{Action, Mask, OptionValue, Plan, SecretTemplate, TablePlan};

use crate::system::LocalSystem;

/// Variables that hold the secrets of an object store.
const STORE_SECRETS: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// The values that are removed from the output of a project's programs.
pub(crate) fn redaction(plan: &Plan, system: &LocalSystem) -> Redaction {
    let options = plan.connections.values().flat_map(|c| c.options.values());
    let mut values: Vec<String> = options
        .filter_map(|option| match option {
            OptionValue::Secret(template) => Some(template),
            OptionValue::Plain(_) => None,
        })
        .flat_map(|template| system.values_in(template))
        .collect();
    values.extend(plan.state.iter().flat_map(|state| system.values_in(state)));
    if plan.lakehouse.contains("://") {
        let variables = system.environment();
        let set = STORE_SECRETS.iter().filter_map(|name| variables.get(*name));
        values.extend(set.filter(|value| !value.is_empty()).cloned());
    }
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    for task in tasks {
        match &task.action {
            Action::Command(command) => {
                let texts = command.env.values().chain(&command.argv);
                values.extend(texts.clone().flat_map(|text| system.secrets_in(text)));
                values.extend(texts.flat_map(|text| passwords_in(text)));
                let named = command.env.iter();
                let named = named.filter(|(name, text)| is_literal_password(name, text));
                values.extend(named.map(|(_, text)| text.clone()));
                let arguments = password_arguments(&command.argv).into_iter();
                values.extend(arguments.filter_map(|at| command.argv.get(at).cloned()));
            }
            Action::Load(load) => {
                values.extend(keys(&load.table).flat_map(|key| system.values_in(key)));
            }
            Action::Model(_) | Action::Publish(_) => {}
        }
    }
    Redaction::new(values)
}

fn keys(table: &TablePlan) -> impl Iterator<Item = &SecretTemplate> {
    let masks = table.columns.iter().filter_map(|c| c.mask.as_ref());
    masks.filter_map(|mask| match mask {
        Mask::Hash(key) | Mask::NullSealed(key) => Some(key),
        Mask::Null => None,
    })
}
