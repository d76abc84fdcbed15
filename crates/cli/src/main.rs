//! `towpath`: arguments in, terminal output and exit codes out.
//!
//! It decides nothing about data: each command calls one use case of `app` and draws its report. Read
//! next: `args.rs` (the surface), `exit.rs` (the exit codes), `commands/`.

#[macro_use]
mod terminal;

mod allocator;
mod args;
mod codes;
mod commands;
mod draw;
mod exit;
mod failpoint;
mod logging;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, LogFormat};
use crate::exit::Exit;

fn main() -> ExitCode {
    allocator::bound();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::usage(&error),
    };
    failpoint::arm();
    terminal::set(terminal::Manners {
        verbose: arguments.verbose,
        quiet: arguments.quiet,
        json: arguments.log_format == LogFormat::Json,
    });
    logging::start(arguments.verbose, arguments.log_format);
    logging::mute_caught_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(Box::pin(commands::dispatch(arguments)));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            exit
        }
        Err(error) => {
            tell!("error: threads cannot be started: {error}");
            Exit::Failed
        }
    };
    terminal::end(exit).into()
}
