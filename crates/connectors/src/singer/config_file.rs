//! The files that a program gets: configuration, catalog and state.
//!
//! Promise: only this user can read them, and they are gone when the program has ended; what a killed process
//! left is removed by the next one. Secrets of the configuration are in no argument, and are removed from
//! everything that the program says. A program has the environment of this process, as commands do. Read
//! next: `../stage.rs`, `program.rs`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use towpath_ports::{Redaction, Secrets};
use towpath_vocab::{SecretTemplate, passwords};

use super::error::{Result, SingerError};
use super::settings::Settings;
use crate::stage::{Stage, private};

/// The folder of one program.
#[derive(Debug)]
pub(super) struct ProgramFiles {
    stage: Stage,
    program: String,
}

/// A configuration with its secrets.
pub(super) struct ResolvedConfig {
    /// As JSON; `None` if the connection has none.
    text: Option<String>,
    /// Removes its secrets from texts.
    pub(super) redaction: Redaction,
}

impl ProgramFiles {
    /// Makes a folder below the project's `.towpath/singer`.
    pub(super) fn new(settings: &Settings, project: &Path) -> Result<Self> {
        let program = settings.program();
        let stage = Stage::make(&project.join(".towpath"), "singer");
        let stage = stage.map_err(|source| SingerError::Files {
            program: program.clone(),
            source,
        })?;
        Ok(Self { stage, program })
    }

    /// The path of a file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.stage.folder().join(name)
    }

    /// What is wrong when a file cannot be written or read.
    pub(super) fn failed(&self, source: std::io::Error) -> SingerError {
        SingerError::Files {
            program: self.program.clone(),
            source,
        }
    }

    /// Writes a file and gives its path.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        let write = || private(&path)?.write_all(text.as_bytes());
        write().map_err(|error| self.failed(error))?;
        Ok(path)
    }

    /// The arguments that name the configuration.
    pub(super) fn config(&self, config: &ResolvedConfig) -> Result<Vec<String>> {
        let Some(text) = &config.text else {
            return Ok(Vec::new());
        };
        let path = self.write("config.json", text)?;
        Ok(vec!["--config".to_owned(), path.display().to_string()])
    }
}

impl ResolvedConfig {
    /// Resolves the secrets of a configuration.
    pub(super) async fn read(settings: &Settings, secrets: &dyn Secrets) -> Result<Self> {
        let Some(template) = &settings.config else {
            return Ok(Self {
                text: None,
                redaction: Redaction::default(),
            });
        };
        // Placeholders stand inside the texts of the JSON, so that a secret may hold any character.
        let parsed = serde_json::from_str::<Value>(template.template());
        let mut config = parsed.map_err(|_| SingerError::Option {
            place: format!("connection `{}`", settings.connection),
            option: "config".to_owned(),
            why: "is not a map".to_owned(),
        })?;
        let mut texts = Vec::new();
        texts_of(&mut config, "", &mut texts);
        let mut known = Vec::new();
        for (name, text) in texts {
            if text.contains("${") {
                for part in placeholders(text) {
                    let part = SecretTemplate::new(part);
                    known.push(secrets.resolve(&part).await.map_err(SingerError::Port)?);
                }
                let template = SecretTemplate::new(text.clone());
                *text = secrets
                    .resolve(&template)
                    .await
                    .map_err(SingerError::Port)?;
                known.push(text.clone());
            } else if passwords::is_literal_password(&name, text) || names_secret(&name) {
                known.push(text.clone());
            }
        }
        Ok(Self {
            text: Some(config.to_string()),
            redaction: Redaction::new(known),
        })
    }
}

/// Whether a member is one that programs keep secret, by its name.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let endings = [
        "secret",
        "token",
        "api_key",
        "apikey",
        "private_key",
        "access_key",
    ];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Each `${…}` of a text.
fn placeholders(text: &str) -> impl Iterator<Item = String> {
    text.split("${").skip(1).filter_map(|behind| {
        let (inner, _) = behind.split_once('}')?;
        Some(format!("${{{inner}}}"))
    })
}

/// All texts of a value, each with the name of its member.
fn texts_of<'v>(value: &'v mut Value, name: &str, texts: &mut Vec<(String, &'v mut String)>) {
    match value {
        Value::String(text) => texts.push((name.to_owned(), text)),
        Value::Array(items) => {
            for item in items {
                texts_of(item, name, texts);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                texts_of(value, name, texts);
            }
        }
        _ => {}
    }
}
