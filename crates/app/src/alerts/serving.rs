//! The alerts of a server: begins the sender, gives it the rules of a changed project, and ends it.
//!
//! Promise: the sender ends after the last run, when it has sent what that run left, or after some seconds.
//! Read next: `sender.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath_ports::Alert;
use towpath_vocab::{Failure, Plan};

use super::rules::AlertRules;
use super::sender::{AlertSender, SenderEvents};
use crate::serve::ServeObserver;
use crate::services::ProjectServices;

/// How long the end of a server waits for the last messages.
const LAST_MESSAGES: Duration = Duration::from_secs(20);

/// The alerts of a server.
pub(crate) struct ServedAlerts {
    services: Arc<ProjectServices>,
    observer: Arc<dyn ServeObserver>,
    sender: Arc<AlertSender>,
    rules: watch::Sender<Arc<AlertRules>>,
    over: CancellationToken,
    sending: JoinHandle<()>,
}

struct Reports(Arc<dyn ServeObserver>);

impl SenderEvents for Reports {
    fn sent(&self, channel: &str, alert: &Alert) {
        tracing::info!(channel, id = alert.id, title = alert.title, "alert sent");
    }

    fn fails(&self, failure: &Failure) {
        self.0.fails(failure);
    }
}

impl ServedAlerts {
    /// Begins to send the alerts of a plan. The runs that begin afterwards are told.
    pub(crate) async fn begin(
        services: Arc<ProjectServices>,
        plan: &Plan,
        observer: Arc<dyn ServeObserver>,
    ) -> Self {
        let sender = Arc::new(AlertSender::new(
            Arc::clone(&services.store),
            Arc::clone(&services.system) as _,
            plan.environment.clone(),
            plan.name.clone(),
            Arc::new(Reports(Arc::clone(&observer))),
        ));
        let first = AlertRules::new(&services, plan).unwrap_or_else(|failure| {
            observer.fails(&failure);
            AlertRules::default()
        });
        // The sender tries it again.
        if let Err(failure) = sender.subscribe(&first).await {
            observer.fails(&failure);
        }
        let (rules, received) = watch::channel(Arc::new(first));
        let over = CancellationToken::new();
        let (sends, ends) = (Arc::clone(&sender), over.clone());
        Self {
            services,
            observer,
            sender,
            rules,
            over,
            sending: tokio::spawn(sends.serve(received, ends)),
        }
    }

    /// Sends the alerts of this plan from now on.
    pub(crate) fn replace(&self, plan: &Plan) {
        match AlertRules::new(&self.services, plan) {
            Ok(rules) => {
                self.rules.send_replace(Arc::new(rules));
            }
            Err(failure) => self.observer.fails(&failure),
        }
    }

    /// Sends what waits, and ends.
    pub(crate) async fn end(self) {
        self.over.cancel();
        // A channel that does not answer keeps its alerts for the next server, which need not wait for the duty; a
        // store that is away cannot be told.
        let _ = tokio::time::timeout(LAST_MESSAGES, self.sending).await;
        let _ = self.sender.give_back().await;
    }
}
