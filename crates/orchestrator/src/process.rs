//! Runs programs on this machine: implements `ports::ProcessRunner`.
//!
//! Promise: a program and everything that it starts end together: when it ends, when its time is over, when
//! the user stops it, when the future is dropped, and when this process is killed. It gets TERM first, and
//! KILL after a grace period. A grandchild that keeps the pipe open delays nothing. It knows nothing of
//! tasks. Read next: `processes/src/tree.rs` (how), `log.rs` (the output).

use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use towpath_ports::{ProcessExit, ProcessRunner, ProcessSpec, Result, System};
use towpath_processes::{Tree, is_left};

use crate::error::RunError;
use crate::log::Log;

/// How long output is read after the program itself has ended.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How often it is looked whether a killed group is gone, and the pause between two looks.
const GONE_LOOKS: u32 = 50;
const GONE_PAUSE: Duration = Duration::from_millis(10);

/// Runs programs as children of this process.
#[derive(Clone)]
pub struct LocalProcesses {
    system: Arc<dyn System>,
    grace: Duration,
    cancel: CancellationToken,
    kill: CancellationToken,
}

impl LocalProcesses {
    /// With `grace` between TERM and KILL.
    pub fn new(system: Arc<dyn System>, grace: Duration) -> Self {
        Self {
            system,
            grace,
            cancel: CancellationToken::new(),
            kill: CancellationToken::new(),
        }
    }

    /// The same, stopped cleanly if `cancel` fires: `run` then returns `ProcessExit::Cancelled`.
    #[must_use]
    pub fn cancelled_by(&self, cancel: CancellationToken) -> Self {
        Self {
            cancel,
            ..self.clone()
        }
    }

    /// The same; what is asked to stop is killed without waiting if `kill` fires.
    #[must_use]
    pub fn killed_by(&self, kill: CancellationToken) -> Self {
        Self {
            kill,
            ..self.clone()
        }
    }
}

#[async_trait]
impl ProcessRunner for LocalProcesses {
    async fn run(&self, spec: ProcessSpec) -> Result<ProcessExit> {
        let Some(program) = spec.argv.first().cloned() else {
            return Err(RunError::NoProgram.into());
        };
        if !tokio::fs::metadata(&spec.directory)
            .await
            .is_ok_and(|folder| folder.is_dir())
        {
            return Err(RunError::NoFolder {
                folder: spec.directory,
            }
            .into());
        }
        let watch = |source| RunError::Watch {
            program: program.clone(),
            source,
        };
        let no_log = |source| RunError::Log {
            log: spec.log.clone(),
            source,
        };
        let mut log = Log::open(&spec.log, spec.redaction.clone())
            .await
            .map_err(no_log)?;
        let tree = Tree::start().await.map_err(watch)?;
        let mut child = spawn(&spec, &program, &tree)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut copying = pin!(log.copy(out, err));
        let mut copied = false;

        let mut exit = tokio::select! {
            biased;
            exit = wait(&mut child, &mut copying, &mut copied) => Some(exit.map_err(|e| e.into_error(watch, no_log))?),
            () = self.cancel.cancelled() => None,
            () = self.limit(spec.timeout) => None,
        };
        let stopped = exit.is_none();
        if stopped {
            tree.terminate();
            tokio::select! {
                biased;
                () = self.kill.cancelled() => {}
                ended = wait(&mut child, &mut copying, &mut copied) => { ended.map_err(|e| e.into_error(watch, no_log))?; }
                () = self.system.sleep(self.grace) => {}
            }
            let by_user = self.cancel.is_cancelled();
            exit = Some(if by_user {
                ProcessExit::Cancelled
            } else {
                ProcessExit::TimedOut
            });
        }
        if !copied && !stopped {
            copied = self.drain(&mut copying).await.map_err(no_log)?;
        }
        let group = tree.id();
        tree.kill().await.map_err(watch)?;
        child.wait().await.map_err(watch)?;
        if stopped {
            self.until_gone(group).await;
        }
        if !copied {
            self.drain(&mut copying).await.map_err(no_log)?;
        }
        Ok(exit.unwrap_or(ProcessExit::Cancelled))
    }
}

impl LocalProcesses {
    async fn limit(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => self.system.sleep(timeout).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until nothing of a killed group is left, but not for ever: where nobody asks about ended processes, they
    /// stay listed.
    async fn until_gone(&self, group: i32) {
        for _ in 0..GONE_LOOKS {
            if !is_left(group) {
                return;
            }
            self.system.sleep(GONE_PAUSE).await;
        }
        tracing::debug!(group, "processes of a killed group are still listed");
    }

    /// Reads what is still in the pipes; true if both have ended.
    async fn drain(
        &self,
        copying: &mut (impl Future<Output = std::io::Result<()>> + Unpin),
    ) -> std::io::Result<bool> {
        tokio::select! {
            biased;
            end = copying => end.map(|()| true),
            () = self.system.sleep(LAST_WORDS) => Ok(false),
        }
    }
}

fn spawn(spec: &ProcessSpec, program: &str, tree: &Tree) -> Result<Child, RunError> {
    Command::new(program)
        .args(spec.argv.iter().skip(1))
        .current_dir(&spec.directory)
        .envs(&spec.env)
        .process_group(tree.id())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => RunError::ProgramNotFound {
                program: program.to_owned(),
            },
            _ => RunError::NotStarted {
                program: program.to_owned(),
                source,
            },
        })
}

/// The part of a running program that failed.
enum Side {
    Process(std::io::Error),
    Log(std::io::Error),
}

impl Side {
    fn into_error(
        self,
        process: impl FnOnce(std::io::Error) -> RunError,
        log: impl FnOnce(std::io::Error) -> RunError,
    ) -> RunError {
        match self {
            Side::Process(error) => process(error),
            Side::Log(error) => log(error),
        }
    }
}

/// Copies output until the program itself ends.
async fn wait(
    child: &mut Child,
    copying: &mut (impl Future<Output = std::io::Result<()>> + Unpin),
    copied: &mut bool,
) -> Result<ProcessExit, Side> {
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return status.map(exit_of).map_err(Side::Process),
            end = &mut *copying, if !*copied => {
                *copied = true;
                end.map_err(Side::Log)?;
            }
        }
    }
}

fn exit_of(status: ExitStatus) -> ProcessExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessExit::Code(code),
        (None, Some(signal)) => ProcessExit::Signal(signal),
        (None, None) => ProcessExit::Code(-1),
    }
}
