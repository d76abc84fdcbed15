//! `towpath`: command line, terminal output and exit codes.
//!
//! It contains no logic about data: each command calls one use case of `app` and prints its report. Read
//! next: `ARCHITECTURE.md` (the way from here to the bytes of a table), `args.rs` (the command line), `exit.rs`
//! (the exit codes), `commands/mod.rs`.

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

/// The stack of every thread. A query with a thousand nested parts is planned, typed and traced by
/// recursion of that depth; only the used part of the stack takes memory.
const STACK_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    allocator::bound();
    allocator::give_back_holes();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::usage(&error),
    };
    failpoint::arm();
    terminal::set(terminal::OutputSettings {
        verbose: arguments.verbose,
        quiet: arguments.quiet,
        json: arguments.log_format == LogFormat::Json,
    });
    logging::start(arguments.verbose, arguments.log_format);
    logging::mute_caught_panic();
    // The system chooses the stack of the first thread, so commands run on another one.
    let commands = std::thread::Builder::new()
        .name("towpath".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || run(arguments));
    let exit = match commands {
        Ok(commands) => commands.join().unwrap_or(Exit::Failed),
        Err(error) => without_threads(&error),
    };
    terminal::end(exit).into()
}

fn run(arguments: Arguments) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(Box::pin(commands::dispatch(arguments)));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            exit
        }
        Err(error) => without_threads(&error),
    }
}

fn without_threads(error: &std::io::Error) -> Exit {
    errln!("error: threads cannot be started: {error}");
    Exit::Failed
}
