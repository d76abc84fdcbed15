//! A process group that ends with this process: everything that an attempt starts belongs to it.
//!
//! A small shell leads the group. It ignores TERM and waits on a pipe that only this process has open. When
//! the pipe closes, because this process was killed, the shell kills the whole group. While the shell
//! lives, the number of the group cannot be reused, so a signal never reaches another process. A program
//! that leaves its group on purpose (a daemon that creates a session) is not stopped.

use std::io;
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

/// The script of the leader: it reports that its traps are set, then waits until the pipe is closed.
const LEADER: &str = "trap '' TERM INT HUP QUIT; echo; read -r _; kill -KILL 0";

/// A group of processes with its leader. Dropping it kills the group.
pub struct Tree {
    group: Pid,
    leader: Child,
    _pipe: Option<ChildStdin>,
}

impl Tree {
    /// Starts the leader of a new group.
    pub async fn start() -> io::Result<Self> {
        let mut leader = Command::new("/bin/sh")
            .args(["-c", LEADER])
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        let id =
            id.ok_or_else(|| io::Error::other("the leader of the process group ended at once"))?;
        let pipe = leader.stdin.take();
        let mut ready = [0_u8; 1];
        if let Some(mut stdout) = leader.stdout.take() {
            stdout.read_exact(&mut ready).await?;
        }
        Ok(Self {
            group: Pid::from_raw(id),
            leader,
            _pipe: pipe,
        })
    }

    /// The group's number, for `Command::process_group`.
    pub fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Asks everything in the group to stop.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills all processes in the group with its leader, and waits for the leader.
    pub async fn kill(mut self) -> io::Result<()> {
        self.signal(Signal::SIGKILL);
        self.leader.wait().await.map(|_| ())
    }

    fn signal(&self, signal: Signal) {
        // After the leader was waited for, its number may belong to another process.
        if self.leader.id().is_none() {
            return;
        }
        match killpg(self.group, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::warn!(%error, group = self.group.as_raw(), "a process group could not be signalled")
            }
        }
    }
}

/// True while a process of a group is listed, also one that has ended and that nobody has asked about.
pub fn is_left(group: i32) -> bool {
    killpg(Pid::from_raw(group), None::<Signal>) != Err(Errno::ESRCH)
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
