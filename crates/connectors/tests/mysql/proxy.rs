//! A way to the server that loses, answers or holds back what is sent at a COMMIT.
//!
//! Promise: only the first COMMIT of the first connection is touched; what the server does is real.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};

/// The packet with a COMMIT.
const COMMIT: &[u8] = b"\x07\0\0\0\x03COMMIT";

/// What becomes of the first COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it is passed on.
    None,
    /// The client gets an error for an answer; the server gets the COMMIT or not.
    Error { reaches: bool },
    /// The connection breaks; the server gets the COMMIT or not. Others can be opened or not.
    Break { reaches: bool, opens: bool },
}

/// The proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    fault: Fault,
    server: u16,
    /// A COMMIT was touched.
    done: AtomicBool,
    /// Nothing is passed on any more, and no connection is closed.
    silent: AtomicBool,
    pings: AtomicUsize,
    /// What happens between a COMMIT and the moment when the client sees that the connection is broken.
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Replaces these bytes of what the client sends.
    replace: Option<(&'static [u8], &'static [u8])>,
}

impl Proxy {
    pub(crate) async fn start(
        server: u16,
        fault: Fault,
        replace: Option<(&'static [u8], &'static [u8])>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            fault,
            server,
            done: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            pings: AtomicUsize::new(0),
            meanwhile: Mutex::new(None),
            replace,
        });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { port, state }
    }

    /// Something happens before the client sees a `Fault::Break`, and after the server did.
    pub(crate) async fn meanwhile(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.state.meanwhile.lock().await = Some(Box::pin(work));
    }

    /// The network breaks without a word.
    pub(crate) fn be_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// How often the client said that it is there.
    pub(crate) fn pings(&self) -> usize {
        self.state.pings.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let closed = matches!(state.fault, Fault::Break { opens: false, .. });
        if closed && state.done.load(Ordering::SeqCst) {
            return;
        }
        tokio::spawn(pass(client, Arc::clone(&state)));
    }
}

/// The way back to the client of one connection.
struct Back {
    client: Mutex<OwnedWriteHalf>,
    /// Answers are swallowed.
    swallows: AtomicBool,
    swallowed: Notify,
}

async fn pass(client: TcpStream, state: Arc<State>) {
    let server = TcpStream::connect(("127.0.0.1", state.server)).await;
    let (mut from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.unwrap().into_split();
    let back = Arc::new(Back {
        client: Mutex::new(to_client),
        swallows: AtomicBool::new(false),
        swallowed: Notify::new(),
    });
    let (way, quiet) = (Arc::clone(&back), Arc::clone(&state));
    let answering = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if way.swallows.load(Ordering::SeqCst) {
                way.swallowed.notify_one();
            } else if !quiet.silent.load(Ordering::SeqCst) {
                let _ = way.client.lock().await.write_all(&buffer[..read]).await;
            }
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        if state.silent.load(Ordering::SeqCst) {
            // Nobody hears that the other end is there, or gone.
            std::future::pending::<()>().await;
        }
        let data = &mut buffer[..read];
        if data.ends_with(b"\x01\0\0\0\x0E") {
            state.pings.fetch_add(1, Ordering::SeqCst);
        }
        if let Some((from, to)) = state.replace
            && let Some(at) = data.windows(from.len()).position(|part| part == from)
        {
            data[at..at + to.len()].copy_from_slice(to);
        }
        // What goes before it has no answer.
        let before = data.strip_suffix(COMMIT).map(<[u8]>::len);
        let before = before.filter(|_| state.fault != Fault::None);
        if let Some(before) = before
            && !state.done.swap(true, Ordering::SeqCst)
        {
            to_server.write_all(&data[..before]).await.unwrap();
            let data = &data[before..];
            match state.fault {
                Fault::None => {}
                Fault::Error { reaches } => {
                    if reaches {
                        back.swallows.store(true, Ordering::SeqCst);
                        to_server.write_all(data).await.unwrap();
                        back.swallowed.notified().await;
                        back.swallows.store(false, Ordering::SeqCst);
                    }
                    answer_with_an_error(&back).await;
                    continue;
                }
                Fault::Break { reaches, .. } => {
                    answering.abort();
                    let _ = answering.await;
                    if reaches {
                        to_server.write_all(data).await.unwrap();
                    }
                    drop(to_server);
                    let work = state.meanwhile.lock().await.take();
                    if let Some(work) = work {
                        work.await;
                    }
                    return;
                }
            }
        }
        if to_server.write_all(data).await.is_err() {
            return;
        }
    }
}

/// What a server says that stopped a COMMIT.
async fn answer_with_an_error(back: &Back) {
    let mut error = b"\0\0\0\x01\xFF".to_vec();
    error.extend_from_slice(&1213_u16.to_le_bytes());
    error.extend_from_slice(b"#40001Deadlock found when trying to get lock");
    error[0] = u8::try_from(error.len() - 4).unwrap();
    back.client.lock().await.write_all(&error).await.unwrap();
}
