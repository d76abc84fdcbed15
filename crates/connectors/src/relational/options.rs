//! Options that connections to database servers have in common.
//!
//! Promise: a URL stays a secret until it is resolved, and a limit is a positive number or refused. What a
//! URL means is each database's own matter: `postgres/settings.rs`, `mysql/settings.rs`.

use towpath_vocab::{ConnectionPlan, OptionValue, SecretTemplate};

/// The option with the most connections.
pub(crate) const CONNECTIONS: &str = "limits.connections";

/// The URL of the server.
pub(crate) fn url(plan: &ConnectionPlan) -> Option<SecretTemplate> {
    match plan.options.get("url") {
        Some(OptionValue::Secret(template)) => Some(template.clone()),
        Some(OptionValue::Plain(serde_json::Value::String(text))) => {
            Some(SecretTemplate::new(text.clone()))
        }
        _ => None,
    }
}

/// How many connections may be open at once; the error is what is wrong with the option.
pub(crate) fn connections(plan: &ConnectionPlan, default: usize) -> Result<usize, String> {
    let Some(value) = plan
        .plain("limits")
        .and_then(|limits| limits.get("connections"))
    else {
        return Ok(default);
    };
    match value.as_u64().and_then(|count| usize::try_from(count).ok()) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(format!("is `{value}`, but must be a whole number from 1")),
    }
}
