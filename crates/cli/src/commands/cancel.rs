//! `cancel`: stops a run that any process carries out.
//!
//! It calls `app/src/cancel.rs` and prints how the run ended.

use towpath_app::{CancelRequest, cancel as stop};
use towpath_ports::RunState;

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::word;
use crate::args::{CancelArguments, Format};
use crate::exit::Exit;
use crate::{draw, terminal};

pub(super) async fn cancel(place: &ProjectArgs, arguments: CancelArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let request = CancelRequest {
        run: arguments.run,
        at_once: arguments.now,
    };
    let asked = |run: &towpath_vocab::RunName| {
        if !terminal::is_quiet() {
            errln!("{run} is asked to stop.");
        }
    };
    let ended = stop(&services, &plan, &request, &asked).await?;
    if arguments.format == Format::Json {
        draw::json(&ended)?;
        return Ok(Exit::Done);
    }
    let run = &ended.run;
    match (ended.state, ended.process_unreachable) {
        (RunState::Cancelled, true) => {
            outln!(
                "{run} is cancelled. Its process could not be reached: it has died, or does not renew its lease."
            );
        }
        (RunState::Cancelled, false) => outln!("{run} is cancelled."),
        (state, _) => outln!(
            "{run} had ended before it could be stopped: {}.",
            word(&state)
        ),
    }
    Ok(Exit::Done)
}
