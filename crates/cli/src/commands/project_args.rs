//! `--project` and `--env`: finds the project folder, checks the project and opens its services.
//!
//! Promise: a command that only reads opens the project with `open_to_read`, which works in a project with
//! mistakes; other commands get a valid project or print its mistakes. Read next: `dispatch.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use towpath_app::{
    CheckReport, CheckRequest, ProjectServices, check, check_connected, find_project,
};
use towpath_vocab::{Failure, Plan, Remedy};

use crate::draw::plural;
use crate::exit::Exit;
use crate::terminal;

/// The most mistakes in the failure of a command that needs a project without mistakes.
const NAMED: usize = 3;

/// The result of a command: its exit, or the failure because of which it has no report.
pub(crate) type CommandResult = Result<Exit, Failure>;

/// `--project` and `--env`.
#[derive(Clone, Debug)]
pub(crate) struct ProjectArgs {
    pub(crate) project: Option<PathBuf>,
    pub(crate) env: Option<String>,
}

impl ProjectArgs {
    /// The project folder.
    pub(crate) fn dir(&self) -> Result<PathBuf, Failure> {
        match &self.project {
            Some(dir) => find_project(dir),
            None => find_project(&PathBuf::from(".")),
        }
    }

    /// Whether the command runs in a project, or with `--project`.
    pub(crate) fn is_in_project(&self) -> bool {
        self.project.is_some() || self.dir().is_ok()
    }

    /// The checked project.
    pub(crate) async fn check(
        &self,
        params: Vec<(String, String)>,
    ) -> Result<CheckReport, Failure> {
        check(&self.request(params)?).await
    }

    /// The checked project, compared with the live systems.
    pub(crate) async fn check_connected(
        &self,
        params: Vec<(String, String)>,
    ) -> Result<CheckReport, Failure> {
        check_connected(&self.request(params)?).await
    }

    fn request(&self, params: Vec<(String, String)>) -> Result<CheckRequest, Failure> {
        Ok(CheckRequest {
            dir: self.dir()?,
            environment: self.env.clone(),
            params: params.into_iter().collect(),
            ..CheckRequest::default()
        })
    }

    /// The services of a project for a command that only reads: mistakes of the project do not stop it, but
    /// a line names them.
    pub(crate) async fn open_to_read(&self) -> Result<(Arc<ProjectServices>, Plan), Failure> {
        let report = self.check(Vec::new()).await?;
        let plan = match (&report.plan, &report.partial) {
            (Some(plan), _) => plan.clone(),
            (None, None) => return Err(mistakes(&report)),
            (None, Some(plan)) => {
                if !terminal::is_quiet() {
                    let failure = mistakes(&report);
                    errln!(
                        "note: {}; the answer uses the files that can be read",
                        failure.message
                    );
                    failure.help.iter().for_each(|line| errln!("  = {line}"));
                }
                plan.clone()
            }
        };
        let services = ProjectServices::of_plan(&self.dir()?, &plan, report.memory_bytes)?;
        Ok((Arc::new(services), plan))
    }

    /// The services of a project without mistakes, and its plan.
    pub(crate) async fn open(&self) -> Result<(Arc<ProjectServices>, Plan), Failure> {
        let dir = self.dir()?;
        let report = self.check(Vec::new()).await?;
        let Some(plan) = report.plan.clone() else {
            return Err(mistakes(&report));
        };
        let services = ProjectServices::of_plan(&dir, &plan, report.memory_bytes)?;
        Ok((Arc::new(services), plan))
    }
}

/// The failure of a project with mistakes, with the first of them.
fn mistakes(report: &CheckReport) -> Failure {
    let errors = || report.diagnostics.iter().filter(|d| d.is_error());
    let message = format!(
        "the project has {}",
        plural(errors().count() as u64, "mistake")
    );
    let failure = Failure::new("R0990", Remedy::FixConfig, message);
    errors()
        .take(NAMED)
        .map(|d| {
            let place = d.span.as_ref();
            let place = place.map_or_else(String::new, |s| format!("{}:{}: ", s.file, s.line));
            format!("{place}{} [{}]", d.message, d.code)
        })
        .fold(failure, Failure::help)
        .help("look: towpath check")
}

/// The working folder of the command.
pub(crate) fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::new(
            "R0997",
            Remedy::FixConfig,
            format!("the current folder cannot be determined: {error}"),
        )
    })
}
