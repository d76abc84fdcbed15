//! A server whose runs end in a panic: it is reported once, and not tried again at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use towpath_orchestrator::ScheduledPipeline;
use towpath_ports::ScheduledInterval;
use towpath_vocab::{Failure, PipelineName, RunName};

use super::{ServeObserver, ServeRequest, ServerOpening, StopSignals, open_server};
use crate::Result;
use crate::check::CheckReport;
use crate::run::{RunObserver, RunResult};

#[derive(Default)]
struct Panics {
    tried: AtomicUsize,
    reported: Mutex<Vec<Failure>>,
}

impl ServeObserver for Panics {
    fn begins(&self, _pipelines: &[ScheduledPipeline]) {}

    fn changed(&self, _pipelines: &[ScheduledPipeline]) {}

    fn invalid(&self, _report: &CheckReport) {}

    fn run(&self, _interval: &ScheduledInterval) -> Arc<dyn RunObserver> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        panic!("a fault of this test");
    }

    fn alone(&self, _interval: &ScheduledInterval, _processes: u64) {}

    fn ended(&self, _interval: &ScheduledInterval, ended: &Result<RunResult>) {
        let failure = ended.as_ref().err().unwrap();
        self.reported.lock().unwrap().push(failure.clone());
    }

    fn submitted(&self, _pipeline: &PipelineName) -> Arc<dyn RunObserver> {
        panic!("nobody submits a run");
    }

    fn submitted_alone(&self, _run: &RunName, _processes: u64) {}

    fn submitted_ended(&self, _pipeline: &PipelineName, _ended: &Result<RunResult>) {}

    fn fails(&self, failure: &Failure) {
        self.reported.lock().unwrap().push(failure.clone());
    }
}

#[tokio::test]
async fn a_run_that_panics_is_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("towpath.yml", "towpath: 1\nname: often\nid: 5f0c2a1e\n");
    let pipeline = "schedule: { every: 1s }\nsteps: { s: { command: [sh, -c, exit] } }\n";
    write("pipelines/often.yml", pipeline);
    let request = ServeRequest {
        dir: folder.path().to_owned(),
        environment: None,
        runs: 2,
        has_api: false,
    };
    let (observer, stop) = (Arc::new(Panics::default()), StopSignals::default());
    let drain = stop.drain.clone();
    let watch: Arc<dyn ServeObserver> = Arc::clone(&observer) as _;
    let ServerOpening::Ready(server) = open_server(&request).await.unwrap() else {
        panic!("the project has mistakes");
    };
    let server = tokio::spawn(server.serve(watch, stop));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(observer.tried.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    drain.cancel();
    server.await.unwrap();
    assert_eq!(observer.tried.load(Ordering::SeqCst), 2);
    let reported = observer.reported.lock().unwrap();
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!(reported[0].code, "R0709");
    assert!(reported[0].message.contains("a fault of this test"));
}
