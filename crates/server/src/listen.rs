//! Listens, and serves each connection until the server ends.
//!
//! Promise: an address that other machines reach is refused while there is no token. A connection that sends no
//! request in time, or takes no answer, is closed; there are at most so many. When the server ends, requests that were begun get a
//! moment to end. It does not know what a route does. Read next: `gate.rs`, `routes.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use towpath_app::{KnownRows, LiveProject, Result, Sessions, tokens};
use towpath_vocab::{Failure, Remedy};

use crate::answers::Api;
use crate::gate::router;
use crate::hosts::Hosts;
use crate::openapi::document;
use crate::store_watch::StoreWatch;
use crate::timed::TimedWrites;

/// Where `towpath serve` listens if nothing else is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7450";

/// The most connections at once; others wait.
const CONNECTIONS: usize = 256;

/// The most reads at once; others wait. A state store on a server has four sessions, also for the scheduler.
const READS: usize = 2;

/// The most clients that follow the events.
const STREAMS: usize = 32;

/// The time in which the head of a request must come.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what it is sent.
const WRITE_TIME: Duration = Duration::from_secs(20);

/// The most bytes of the head of a request.
const HEAD_BYTES: usize = 128 << 10;

/// The time that requests have to end when the server ends.
const END_TIME: Duration = Duration::from_secs(3);

/// How long it waits when no connection can be accepted: there are no file handles left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// `--allow-host`: names by which requests may name this server, beside its addresses.
    pub hosts: Vec<String>,
}

/// A server that listens, and answers when `serve` is called.
pub struct ApiServer {
    listener: TcpListener,
    address: SocketAddr,
    options: ListenOptions,
    project: Arc<LiveProject>,
    sessions: Sessions,
    /// The code of the link of the first start.
    code: Option<String>,
}

/// Listens.
///
/// # Errors
/// R1101 for an address beyond this machine without a token, R1102 for one that is taken, R1103 for one that
/// cannot be used.
pub async fn listen(options: ListenOptions, project: Arc<LiveProject>) -> Result<ApiServer> {
    let wanted = options.address;
    let known = tokens(project.services(), &project.plan()).await?;
    let has_token = known.tokens.iter().any(|token| token.revoked_us.is_none());
    if !wanted.ip().is_loopback() {
        if !has_token {
            let message = format!(
                "other machines reach {wanted}, and there is no token: nothing listens there without authentication"
            );
            return Err(Failure::new("R1101", Remedy::Refused, message)
                .help("create one: towpath token create NAME --scope read")
                .help("or listen on this machine only: --listen 127.0.0.1:7450"));
        }
        tracing::warn!(
            address = %wanted,
            "the API is not encrypted: put a proxy with TLS before it, because tokens can be read on the way"
        );
    }
    let listener = TcpListener::bind(wanted)
        .await
        .map_err(|error| unheard(wanted, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| unheard(wanted, &error))?;
    let sessions = Sessions::default();
    let code = (!has_token).then(|| sessions.link(project.services()));
    Ok(ApiServer {
        listener,
        address,
        options,
        project,
        sessions,
        code,
    })
}

fn unheard(address: SocketAddr, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let message = format!("another process listens on {address}");
            Failure::new("R1102", Remedy::Refused, message)
                .help("it may be another `towpath serve`")
                .help("choose another port: --listen 127.0.0.1:7451")
                .help("or serve without the API: --listen none")
        }
        _ => {
            let message = format!("the API cannot listen on {address}: {error}");
            Failure::new("R1103", Remedy::FixConfig, message)
                .help("example: --listen 127.0.0.1:7450")
                .help("or serve without the API: --listen none")
        }
    }
}

impl ApiServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The code of the link that opens a session once, within 15 minutes; nothing when there is a token.
    pub fn login_code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Answers until `stop` fires, and then lets requests end.
    pub async fn serve(self, stop: CancellationToken) {
        let api = Arc::new(Api {
            hosts: Hosts::new(self.address, &self.options.hosts),
            document: document(),
            project: self.project,
            sessions: self.sessions,
            cookie: format!("towpath_session_{}", self.address.port()),
            watch: StoreWatch::default(),
            known_rows: KnownRows::default(),
            reads: Semaphore::new(READS),
            streams: Arc::new(Semaphore::new(STREAMS)),
            stop: stop.clone(),
        });
        let router = router(&api);
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepting = async {
                // It is never closed.
                let permit = Arc::clone(&free).acquire_owned().await.ok();
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = accepting => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let served = connection(stream, router.clone(), stop.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        // What has not ended then is dropped with the set.
        let _ = tokio::time::timeout(END_TIME, ended).await;
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(
            TokioIo::new(TimedWrites::new(stream, WRITE_TIME)),
            TowerToHyperService::new(router),
        );
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
