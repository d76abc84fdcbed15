//! `Ample`: the services of a connector in most tests, with enough memory and with secrets that need no
//! store.
//!
//! It limits nothing: tests of a budget use their own services. A secret resolves to the text of its
//! template.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{ConnectorContext, Memory, ReservedMemory, Result, Secrets};
use towpath_vocab::SecretTemplate;

/// Memory that is always sufficient, and secrets whose template is their value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ample;

#[async_trait]
impl Memory for Ample {
    fn limit_bytes(&self) -> u64 {
        1 << 30
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        Box::new(())
    }
}

#[async_trait]
impl Secrets for Ample {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }
}

impl Ample {
    /// A context in this project folder.
    pub fn context(project_dir: impl Into<PathBuf>) -> ConnectorContext {
        ConnectorContext {
            project_dir: project_dir.into(),
            secrets: Arc::new(Ample),
            memory: Arc::new(Ample),
        }
    }
}
