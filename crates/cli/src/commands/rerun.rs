//! `rerun`: executes a past run again; its progress and report look like those of a run.
//!
//! It calls `app/src/rerun.rs`. Read next: `commands/run.rs`, which prints the report.

use std::sync::Arc;

use towpath_app::{RerunRequest, RerunScope, rerun as run_again};

use super::project_args::{CommandResult, ProjectArgs};
use super::run::{show_result, wait};
use crate::args::RerunArguments;
use crate::{draw, signals};

pub(super) async fn rerun(place: &ProjectArgs, arguments: RerunArguments) -> CommandResult {
    let part = match (arguments.failed, arguments.from) {
        (true, _) => RerunScope::Failed,
        (false, Some(step)) => RerunScope::From(step),
        (false, None) => RerunScope::All,
    };
    let request = RerunRequest {
        dir: place.dir()?,
        environment: place.env.clone(),
        run: arguments.run,
        part,
        wait: wait(&arguments.wait),
        ..RerunRequest::default()
    };
    let cancel = signals::listen()?;
    let display = Arc::new(draw::RunDisplay::new(arguments.format));
    let ran = Box::pin(run_again(&request, display.as_ref(), cancel)).await;
    display.finish();
    show_result(ran?, arguments.format)
}
