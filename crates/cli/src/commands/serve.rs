//! `serve`: runs the scheduled pipelines until it is asked to stop, a line for each run; and the HTTP API.
//!
//! Promise: nothing begins before the API listens. It prints what happens, and decides nothing: schedules are
//! decided in `app/src/serve.rs`, requests answered in the crate `server`. Read next: these two.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_app::{
    CheckReport, Result, RunObserver, RunReport, RunResult, ServeObserver, ServeRequest,
    ServerOpening, is_begun_elsewhere, is_submitted_elsewhere, open_server, schedule_words,
};
use towpath_flow::Progress;
use towpath_orchestrator::{DriveObserver, RunNotification, ScheduledPipeline};
use towpath_ports::{RunRecord, RunState, ScheduledInterval};
use towpath_server::{ListenOptions, listen};
use towpath_vocab::{Diagnostic, Failure, PipelineName, PlannedPipeline, Remedy, RunName};

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::stopped_by;
use crate::args::{ListenArgument, ServeArguments};
use crate::exit::Exit;
use crate::{draw, signals, terminal};

pub(super) async fn run(place: &ProjectArgs, arguments: ServeArguments) -> CommandResult {
    let is_unused = !arguments.hosts.is_empty() || arguments.login_link;
    if is_unused && matches!(arguments.listen, ListenArgument::None) {
        let message = "`--listen none` has no use for `--allow-host` and `--login-link`";
        return Err(Failure::new("R1133", Remedy::FixConfig, message)
            .help("leave them out, or listen: --listen 127.0.0.1:7450"));
    }
    let request = ServeRequest {
        dir: place.dir()?,
        environment: place.env.clone(),
        runs: usize::from(arguments.runs),
        has_api: matches!(arguments.listen, ListenArgument::At(_)),
    };
    let server = match Box::pin(open_server(&request)).await? {
        ServerOpening::Ready(server) => server,
        ServerOpening::InvalidProject(report) => {
            draw::diagnostics(&report.diagnostics, &report.files);
            draw::check_summary(&report);
            return Ok(Exit::Wrong);
        }
    };
    let api = match arguments.listen {
        ListenArgument::None => None,
        ListenArgument::At(address) => {
            let hosts = arguments.hosts;
            let options = ListenOptions { address, hosts };
            Some(listen(options, Arc::clone(server.project())).await?)
        }
    };
    let stop = signals::listen_to_drain()?;
    if let Some(api) = &api {
        say(&format!("API: http://{}/api/v1", api.address()));
        // Logs are read by more people than terminals.
        let may_show = arguments.login_link || std::io::stdout().is_terminal();
        say(&match api.login_code() {
            // What is behind `#` is sent to no server by a browser.
            Some(code) if may_show => format!("Open: http://{}/#code={code}", api.address()),
            Some(_) => format!(
                "Open: http://{}/ (to log in: towpath token create me --scope operate)",
                api.address()
            ),
            None => format!("Open: http://{}/", api.address()),
        });
    }
    // Clients can look on while the last runs end.
    let ended = CancellationToken::new();
    let answers = api.map(|api| tokio::spawn(api.serve(ended.clone())));
    Box::pin(server.serve(Arc::new(Lines), stop)).await;
    ended.cancel();
    if let Some(answers) = answers {
        // A panic of it was printed.
        let _ = answers.await;
    }
    Ok(Exit::Done)
}

/// Prints a line for each thing that happens.
struct Lines;

impl ServeObserver for Lines {
    fn begins(&self, pipelines: &[ScheduledPipeline]) {
        list(pipelines);
        say("Serving. Press Ctrl-C to stop.");
    }

    fn changed(&self, pipelines: &[ScheduledPipeline]) {
        say("The project has changed.");
        list(pipelines);
    }

    fn invalid(&self, report: &CheckReport) {
        errln!(
            "The project has changed and has mistakes. Pipelines with mistakes wait, the others go on."
        );
        draw::diagnostics(&report.diagnostics, &report.files);
    }

    fn run(&self, _interval: &ScheduledInterval) -> Arc<dyn RunObserver> {
        Arc::new(OneRun)
    }

    fn alone(&self, interval: &ScheduledInterval, processes: u64) {
        let at = towpath_app::time_text(interval.interval.end_us);
        errln!(
            "{} due at {at}: {processes} processes in a row have died while they ran it. It is begun once more, \
             with nothing else beside it.",
            interval.pipeline
        );
    }

    fn ended(&self, interval: &ScheduledInterval, ended: &Result<RunResult>) {
        let at = towpath_app::time_text(interval.interval.end_us);
        match ended {
            Ok(RunResult::Report(report)) => ended_run(report),
            Ok(RunResult::InvalidProject(_)) => {
                errln!(
                    "{} due at {at} waits: the project has mistakes; look: towpath check",
                    interval.pipeline
                );
            }
            Ok(RunResult::NothingToRun(why)) => {
                errln!("{} due at {at} waits: {why}", interval.pipeline);
            }
            // Another process was quicker, or runs the pipeline now.
            Err(failure) if is_begun_elsewhere(failure) => {
                tracing::info!(pipeline = %interval.pipeline, reason = failure.message, "not begun");
            }
            Err(failure) => {
                errln!("{} due at {at} waits:", interval.pipeline);
                draw::failure(failure);
            }
        }
    }

    fn submitted(&self, _pipeline: &PipelineName) -> Arc<dyn RunObserver> {
        Arc::new(OneRun)
    }

    fn submitted_alone(&self, run: &RunName, processes: u64) {
        errln!(
            "{run}: {processes} processes in a row have died while they ran it. It goes on once more, with nothing \
             else beside it."
        );
    }

    fn submitted_ended(&self, pipeline: &PipelineName, ended: &Result<RunResult>) {
        match ended {
            Ok(RunResult::Report(report)) => ended_run(report),
            Ok(RunResult::InvalidProject(_)) => errln!(
                "A submitted run of {pipeline} does not begin: the project has mistakes; look: towpath check"
            ),
            Ok(RunResult::NothingToRun(why)) => {
                errln!("A submitted run of {pipeline} does not begin: {why}");
            }
            // Another process was quicker, or runs the pipeline now; the client hears it.
            Err(failure) if is_submitted_elsewhere(failure) => {
                tracing::info!(%pipeline, reason = failure.message, "not begun");
            }
            Err(failure) => {
                errln!("A submitted run of {pipeline} does not begin:");
                draw::failure(failure);
            }
        }
    }

    fn fails(&self, failure: &Failure) {
        draw::failure(failure);
    }
}

fn ended_run(report: &RunReport) {
    say(&format!("{} {}", report.run, state(report)));
    for (task, failure) in &report.failures {
        errln!("  {task}: {} {}", failure.code, failure.message);
    }
}

fn list(pipelines: &[ScheduledPipeline]) {
    for one in pipelines {
        say(&format!("{}: {}", one.pipeline, schedule_words(&one.plan)));
    }
}

fn state(report: &RunReport) -> String {
    let text = match (report.state, &report.stop) {
        (RunState::Succeeded, _) => "succeeded",
        (RunState::Failed, _) => "failed",
        (RunState::Cancelled, Some(stop)) => return stopped_by(stop),
        (RunState::Cancelled, None) => "was stopped and goes on later",
        (RunState::Running | RunState::Superseded, _) => "was taken over",
    };
    text.to_owned()
}

fn say(line: &str) {
    if !terminal::is_quiet() {
        outln!("{line}");
    }
}

/// Watches one run.
struct OneRun;

impl RunObserver for OneRun {
    fn waits(&self, _running: &RunRecord) {}

    fn begins(&self, record: &RunRecord, _pipeline: &PlannedPipeline, _progress: Arc<Progress>) {
        let interval = record.interval.map_or_else(String::new, |interval| {
            let text = towpath_app::time_text;
            format!(
                " ({} to {})",
                text(interval.start_us),
                text(interval.end_us)
            )
        });
        say(&format!("{} begins{interval}", record.name));
    }

    fn drive_observer(&self) -> Arc<dyn DriveObserver> {
        Arc::new(Quiet)
    }

    fn notes(&self, _diagnostics: &[Diagnostic], _files: &BTreeMap<String, String>) {}
}

/// Hears of tasks and prints nothing: `towpath logs` shows them.
struct Quiet;

impl DriveObserver for Quiet {
    fn notify(&self, _notification: RunNotification) {}
}
