//! One file per command: arguments to a use case, its report to the terminal, its end to an exit code.

mod check;
mod houses;
mod lineage;
mod quality;
mod quarantine;
mod query;
mod run;
mod runs;

use towpath_vocab::Failure;

use crate::args::{Arguments, Command};
use crate::draw;
use crate::exit::Exit;

pub(crate) use houses::Place;

/// What a command gives: its exit, or the one failure that kept it from its report.
pub(crate) type Ended = Result<Exit, Failure>;

/// Carries out one command.
pub(crate) async fn dispatch(arguments: Arguments) -> Exit {
    let place = Place {
        project: arguments.project,
        env: arguments.env,
    };
    let ended = match arguments.command {
        Command::Check(check) => check::check(&place, check).await,
        Command::Plan(plan) => check::plan(&place, plan).await,
        Command::Run(run) => Box::pin(run::run(&place, run)).await,
        Command::Query(query) => query::query(&place, query).await,
        Command::Lineage(lineage) => lineage::lineage(&place, lineage).await,
        Command::Quality(quality) => quality::quality(&place, quality).await,
        Command::Quarantine(command) => Box::pin(quarantine::quarantine(&place, command)).await,
        Command::Runs(arguments) => runs::runs(&place, arguments).await,
        Command::Logs(arguments) => runs::logs(&place, arguments).await,
        Command::Why(arguments) => runs::why(&place, arguments).await,
    };
    match ended {
        Ok(exit) => exit,
        Err(failure) => {
            draw::failure(&failure);
            Exit::of(&failure)
        }
    }
}

/// Log lines on standard error: warnings, more with `-v`; JSON when it is no terminal.
pub(crate) fn start_logging(verbose: u8) {
    use std::io::IsTerminal;
    let level = match verbose {
        0 => "warn",
        1 => "info,towpath=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("TOWPATH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second logger cannot be set; the first stays.
    let _ = match std::io::stderr().is_terminal() {
        true => lines.with_target(false).try_init(),
        false => lines.json().try_init(),
    };
}
