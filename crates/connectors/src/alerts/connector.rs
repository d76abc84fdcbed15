//! The connectors of alert channels: their options, and how a channel is opened.
//!
//! Promise: opening one reads options and contacts nobody; each option is read in `channel.rs`. They have
//! no tables, so reading, writing and discovery are refused. Read next: `channel.rs`.

use std::sync::Arc;

use towpath_ports::{
    AlertChannel, Connector, ConnectorContext, Destination, Discover, Result, Source,
};
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec,
    OptionUse, Proof, ProvenSystem,
};

use super::channel::HttpChannel;
use super::error::AlertError;

/// What a system wants to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlertForm {
    /// The alert as JSON, signed as the Standard Webhooks specification says.
    Webhook,
    /// A text for an incoming webhook of Slack.
    Slack,
    /// A card for a workflow of Microsoft Teams.
    Teams,
    /// An event of PagerDuty, which a recovery resolves.
    PagerDuty,
    /// An alert of Opsgenie, which a recovery closes.
    Opsgenie,
}

impl AlertForm {
    /// The `type` of its connections.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::PagerDuty => "pagerduty",
            Self::Opsgenie => "opsgenie",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::Webhook => "Alerts as JSON to any program over HTTP, signed.",
            Self::Slack => "Alerts to a channel of Slack, by an incoming webhook.",
            Self::Teams => "Alerts to a channel of Microsoft Teams, by a workflow.",
            Self::PagerDuty => "Alerts as events of PagerDuty; a recovery resolves its incident.",
            Self::Opsgenie => "Alerts of Opsgenie; a recovery closes its alert.",
        }
    }

    fn proven(self) -> Vec<ProvenSystem> {
        let (proof, system) = match self {
            Self::Webhook => (Proof::RealSystem, "HTTP servers of the tests"),
            Self::Slack => (Proof::ProtocolFake, "Slack"),
            Self::Teams => (Proof::ProtocolFake, "Teams"),
            Self::PagerDuty => (Proof::ProtocolFake, "PagerDuty"),
            Self::Opsgenie => (Proof::ProtocolFake, "Opsgenie"),
        };
        ProvenSystem::all(proof, [system])
    }

    /// The address of the service, where there is one for all.
    pub(super) fn default_url(self) -> Option<&'static str> {
        match self {
            Self::PagerDuty => Some("https://events.pagerduty.com/v2/enqueue"),
            Self::Opsgenie => Some("https://api.opsgenie.com/v2/alerts"),
            Self::Webhook | Self::Slack | Self::Teams => None,
        }
    }

    fn options(self) -> Vec<OptionSpec> {
        let url = "The address to which messages are sent. It is a secret where whoever knows it can send.";
        let service = |default: &str| format!("The address of the service. Default `{default}`.");
        let key = match self {
            Self::Slack | Self::Teams => None,
            Self::Webhook => Some((
                "key",
                false,
                "The key of the signature in `webhook-signature`: a text, or `whsec_` and Base64. Without it messages are not signed.",
            )),
            Self::PagerDuty => Some(("key", true, "The integration key of the service.")),
            Self::Opsgenie => Some(("key", true, "The key of the API integration.")),
        };
        let url = match self.default_url() {
            Some(default) => secret("url", false, &service(default)),
            None => secret("url", true, url),
        };
        let key = key.map(|(name, required, doc)| secret(name, required, doc));
        [url].into_iter().chain(key).collect()
    }
}

fn secret(name: &str, required: bool, doc: &str) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        kind: OptionKind::Secret,
        required,
        per_table: false,
        table_only: false,
        used_by: OptionUse::Always,
        doc: doc.to_owned(),
    }
}

/// A kind of alert channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlertConnector(pub(crate) AlertForm);

impl AlertConnector {
    fn no_tables(self, connection: &ConnectionPlan) -> AlertError {
        AlertError::NoTables {
            connection: connection.name.clone(),
            kind: self.0.kind(),
        }
    }
}

impl Connector for AlertConnector {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            kind: self.0.kind().to_owned(),
            doc: self.0.doc().to_owned(),
            objects: ObjectKind::Messages,
            capabilities: vec![Capability::Alert],
            options: self.0.options(),
            limits: Vec::new(),
            reads: Vec::new(),
            needs_cursor: false,
            tells_version: false,
            keeps_text: false,
            writes: Vec::new(),
            guarantee: Guarantee::AtLeastOnce,
            proven: self.0.proven(),
            schemes: Vec::new(),
            endings: Vec::new(),
        }
    }

    fn source(&self, connection: &ConnectionPlan, _: &ConnectorContext) -> Result<Arc<dyn Source>> {
        Err(self.no_tables(connection).into())
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        _: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Err(self.no_tables(connection).into())
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        _: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Err(self.no_tables(connection).into())
    }

    fn alerts(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn AlertChannel>> {
        Ok(Arc::new(HttpChannel::new(
            self.0,
            connection.clone(),
            Arc::clone(&context.secrets),
        )))
    }
}
