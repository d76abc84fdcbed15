//! The real clock, random numbers and environment, and secrets that are resolved from the environment.
//!
//! Promise: no other file of the services reads them. Values of secrets are not stored here;
//! `known_secrets.rs` asks for them in order to remove them from what programs print.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use towpath_ports::{Clock, Secrets, System};
use towpath_vocab::{Failure, Remedy, SecretTemplate};

use crate::Result;

/// The clock, environment and secrets of this machine, for a project folder.
#[derive(Debug)]
pub struct LocalSystem {
    started: Instant,
    environment: BTreeMap<String, String>,
    project_dir: PathBuf,
}

impl LocalSystem {
    /// Reads the environment once. Variables that are not UTF-8 are ignored.
    pub fn new(project_dir: PathBuf) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            started: Instant::now(),
            environment: std::env::vars_os().filter_map(text).collect(),
            project_dir,
        }
    }

    /// The values of the secrets that a text names, if they are set.
    pub(crate) fn secrets_in(&self, text: &str) -> Vec<String> {
        let names = named(text, "secret");
        names
            .filter_map(|name| secret(name, &self.environment).ok())
            .collect()
    }

    /// The resolved value of a secret option, and every value that its text names.
    pub(crate) fn values_in(&self, template: &SecretTemplate) -> Vec<String> {
        let text = template.template();
        let whole = substitute(text, &self.environment).ok();
        let variables = named(text, "env").filter_map(|name| self.environment.get(name).cloned());
        let secrets = self.secrets_in(text);
        whole.into_iter().chain(variables).chain(secrets).collect()
    }
}

/// The names in `${KIND:NAME}` of a text.
fn named<'t>(text: &'t str, kind: &'t str) -> impl Iterator<Item = &'t str> {
    text.split("${").skip(1).filter_map(move |behind| {
        let (placeholder, _) = behind.split_once('}')?;
        let (found, name) = placeholder.split_once(':')?;
        (found == kind).then(|| name.split_once(":-").map_or(name, |(name, _)| name))
    })
}

/// Formats a time as RFC 3339 in UTC with whole seconds.
pub fn time_text(at_us: i64) -> String {
    jiff::Timestamp::from_second(at_us.div_euclid(1_000_000))
        .map(|t| t.to_string())
        .unwrap_or_default()
}

#[async_trait]
impl Clock for LocalSystem {
    fn now_us(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl System for LocalSystem {
    fn random(&self) -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().0
    }

    fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    fn project_dir(&self) -> &PathBuf {
        &self.project_dir
    }
}

#[async_trait]
impl Secrets for LocalSystem {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        substitute(template.template(), &self.environment)
    }

    fn variables(&self, begin: &str) -> BTreeMap<String, String> {
        let meant = self.environment.iter();
        meant
            .filter(|(name, _)| name.starts_with(begin))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Replaces `${env:X}`, `${env:X:-default}` and `${secret:X}`. A secret is the variable with its name, or
/// the contents of the file that the variable `NAME_FILE` names.
fn substitute(template: &str, environment: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((placeholder, behind)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        match placeholder.split_once(':') {
            Some(("env", what)) => {
                let (name, default) = what
                    .split_once(":-")
                    .map_or((what, None), |(n, d)| (n, Some(d)));
                match environment.get(name).map(String::as_str).or(default) {
                    Some(value) => out.push_str(value),
                    None => return Err(not_set("variable", name)),
                }
            }
            Some(("secret", name)) => out.push_str(&secret(name, environment)?),
            _ => {
                out.push_str("${");
                out.push_str(placeholder);
                out.push('}');
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn secret(name: &str, environment: &BTreeMap<String, String>) -> Result<String> {
    if let Some(value) = environment.get(name) {
        return Ok(value.clone());
    }
    let Some(path) = environment.get(&format!("{name}_FILE")) else {
        return Err(not_set("secret", name));
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(Failure::new(
            "R0902",
            Remedy::FixConfig,
            format!(
                "the file that `{name}_FILE` names cannot be read: {}",
                error.kind()
            ),
        )),
    }
}

fn not_set(what: &str, name: &str) -> Failure {
    Failure::new(
        "R0901",
        Remedy::FixConfig,
        format!("the {what} `{name}` is not set"),
    )
    .help(format!("set it: export {name}=…"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn placeholders_are_replaced_once() {
        let environment = BTreeMap::from([
            ("USER_NAME".to_owned(), "${env:OTHER}".to_owned()),
            ("PW".to_owned(), "x}y".to_owned()),
        ]);
        let say = |template: &str| substitute(template, &environment);
        assert_eq!(say("a ${env:USER_NAME} b").unwrap(), "a ${env:OTHER} b");
        assert_eq!(say("${secret:PW}").unwrap(), "x}y");
        assert_eq!(say("${env:NONE:-d}").unwrap(), "d");
        assert_eq!(say("${other:x} $ {").unwrap(), "${other:x} $ {");
        let failure = say("${secret:NONE}").unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.contains("NONE")),
            ("R0901", true)
        );
    }
}
