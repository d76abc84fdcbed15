//! A tap: asked for its catalog, and started for one stream.
//!
//! Promise: each program has files of its own, which are gone with it. Without `discover` a tap gets neither
//! a catalog nor the argument for it. Read next: `catalog.rs`, `program.rs`, `feed.rs`.

use std::sync::Arc;

use towpath_ports::ConnectorContext;

use super::catalog::Catalog;
use super::config_file::{ProgramFiles, ResolvedConfig};
use super::error::{Result, SingerError};
use super::program::{Call, LineEnd, Program};
use super::settings::{CatalogFrom, Settings, StreamOptions};

/// The largest catalog.
const MOST_CATALOG_BYTES: usize = 256 << 20;

/// A tap of a connection.
#[derive(Clone)]
pub(super) struct Tap {
    pub(super) settings: Arc<Settings>,
    pub(super) context: ConnectorContext,
}

/// What a tap is started for.
pub(super) struct StreamCall<'s> {
    /// The id of the stream.
    pub(super) stream: &'s str,
    pub(super) options: &'s StreamOptions,
    /// Where it goes on, as the tap has said it.
    pub(super) state: Option<&'s str>,
    pub(super) is_full: bool,
}

/// A program with the files that it reads.
pub(super) struct Started {
    pub(super) program: Program,
    pub(super) files: ProgramFiles,
}

impl Tap {
    /// The catalog; `None` if the connection says that the tap has none.
    pub(super) async fn catalog(&self) -> Result<Option<Catalog>> {
        let program = self.settings.program();
        match &self.settings.catalog {
            CatalogFrom::Nobody => Ok(None),
            CatalogFrom::File(path) => {
                let text = tokio::fs::read(path).await;
                let text = text.map_err(|source| SingerError::CatalogFile {
                    path: path.clone(),
                    source,
                })?;
                Catalog::read(&program, &text).map(Some)
            }
            CatalogFrom::Discovery => {
                let text = self.discovered().await?;
                Catalog::read(&program, &text).map(Some)
            }
        }
    }

    /// What the tap prints with `--discover`.
    async fn discovered(&self) -> Result<Vec<u8>> {
        let files = ProgramFiles::new(&self.settings, &self.context.project_dir)?;
        let config = self.config().await?;
        let mut arguments = files.config(&config)?;
        arguments.push("--discover".to_owned());
        let mut program = self.start(arguments, &config, MOST_CATALOG_BYTES).await?;
        let (mut text, mut line) = (Vec::new(), Vec::new());
        while program.next_line(&mut line).await? != LineEnd::None {
            text.extend_from_slice(&line);
            text.push(b'\n');
            if text.len() > MOST_CATALOG_BYTES {
                return Err(SingerError::Catalog {
                    program: program.name().to_owned(),
                    why: format!("has more than {MOST_CATALOG_BYTES} bytes"),
                });
            }
        }
        program.ended().await?;
        Ok(text)
    }

    /// Starts the tap for one stream.
    pub(super) async fn read(
        &self,
        catalog: Option<&Catalog>,
        call: StreamCall<'_>,
    ) -> Result<Started> {
        let files = ProgramFiles::new(&self.settings, &self.context.project_dir)?;
        let config = self.config().await?;
        let mut arguments = files.config(&config)?;
        if let Some(catalog) = catalog {
            let text = catalog.selecting(call.stream, call.options, call.is_full);
            let path = files.write("catalog.json", &text)?;
            arguments.push(self.settings.catalog_argument.clone());
            arguments.push(path.display().to_string());
        }
        if let Some(state) = call.state {
            let path = files.write("state.json", state)?;
            arguments.extend(["--state".to_owned(), path.display().to_string()]);
        }
        let most = self.settings.max_record_bytes;
        let program = self.start(arguments, &config, most).await?;
        Ok(Started { program, files })
    }

    async fn config(&self) -> Result<ResolvedConfig> {
        ResolvedConfig::read(&self.settings, self.context.secrets.as_ref()).await
    }

    async fn start(
        &self,
        arguments: Vec<String>,
        config: &ResolvedConfig,
        most: usize,
    ) -> Result<Program> {
        let call = Call {
            settings: &self.settings,
            arguments,
            project: &self.context.project_dir,
            redaction: config.redaction.clone(),
            most,
            has_input: false,
        };
        Program::start(call).await
    }
}
