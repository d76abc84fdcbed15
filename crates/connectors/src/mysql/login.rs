//! The beginning of a connection: the server's greeting, encryption, the user and the password.
//!
//! Promise: a password goes out only as a digest, or over an encrypted connection where the server needs it
//! as it is; `sslmode: require` and above never speak to a server without encryption. It knows no SQL:
//! `session.rs` does. Source: MySQL's manual of the client/server protocol, "Connection Phase".

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::packet::{Channel, Fields, ServerError, malformed, server_error};
use super::settings::Address;
use crate::relational::tls::{SslMode, client_config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed after about two minutes, however long a query takes.
const SILENCE: Duration = Duration::from_secs(60);
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

const LONG_PASSWORD: u32 = 1;
/// A row that an update finds counts, also when it has its values already.
const FOUND_ROWS: u32 = 1 << 1;
const LONG_FLAG: u32 = 1 << 2;
const WITH_DATABASE: u32 = 1 << 3;
/// The server may ask for the rows of a `LOAD DATA LOCAL`.
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const LONGEST_PACKET: u32 = 1 << 30;
/// `utf8mb4_general_ci`, which every server knows.
const UTF8MB4: u8 = 45;

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";

/// Why there is no session.
pub(super) enum Refusal {
    Unreachable(String),
    Tls(String),
    Denied(String),
    Server(ServerError),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            io::ErrorKind::InvalidData => "this is not a MySQL or MariaDB server".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// What the server says first.
struct Greeting {
    version: String,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

/// Logs in; gives the channel and the server's version. `prefer` does without encryption where a server
/// offers none, or only what is too old.
pub(super) async fn log_in(
    address: &Address,
    purpose: Purpose,
) -> Result<(Channel, String), Refusal> {
    let encryption = &address.encryption;
    if encryption.ssl == SslMode::Disable {
        return attempt(address, purpose, None).await;
    }
    let config = Arc::new(client_config(encryption).map_err(Refusal::Tls)?);
    match attempt(address, purpose, Some(config)).await {
        Err(Refusal::Tls(_)) if encryption.ssl == SslMode::Prefer => {
            attempt(address, purpose, None).await
        }
        answer => answer,
    }
}

async fn attempt(
    address: &Address,
    purpose: Purpose,
    config: Option<Arc<ClientConfig>>,
) -> Result<(Channel, String), Refusal> {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let begun = tokio::time::timeout(CONNECT_TIMEOUT, async {
        let stream = connecting.await?;
        stream.set_nodelay(true)?;
        let probes = TcpKeepalive::new().with_time(SILENCE);
        let probes = probes.with_interval(PROBE_INTERVAL).with_retries(PROBES);
        SockRef::from(&stream).set_tcp_keepalive(&probes)?;
        Box::pin(begin(Channel::new(stream), address, purpose, config)).await
    });
    begun
        .await
        .map_err(|_| Refusal::Unreachable("it did not answer within 10 seconds".to_owned()))?
}

async fn begin(
    mut channel: Channel,
    address: &Address,
    purpose: Purpose,
    config: Option<Arc<ClientConfig>>,
) -> Result<(Channel, String), Refusal> {
    let packet = channel.receive().await?;
    if let Some(error) = server_error(&packet) {
        return Err(Refusal::Server(error));
    }
    let greeting = greeting(&packet).ok_or_else(malformed)?;
    let mut flags = LONG_PASSWORD
        | LONG_FLAG
        | PROTOCOL_41
        | TRANSACTIONS
        | SECURE_CONNECTION
        | PLUGIN_AUTH
        | WITH_DATABASE;
    if purpose == Purpose::Write {
        flags |= FOUND_ROWS | LOCAL_FILES;
    }
    if greeting.capabilities & PROTOCOL_41 == 0 {
        return Err(malformed().into());
    }
    let offered = greeting.capabilities & SSL != 0;
    let encrypted = config.is_some();
    if let Some(config) = config {
        if !offered {
            let reason = "the server does not offer encryption".to_owned();
            return Err(Refusal::Tls(reason));
        }
        flags |= SSL;
        channel.send(&opening(flags)).await?;
        channel = Box::pin(encrypt(channel, address, config)).await?;
    }
    let password = address.password.as_bytes();
    let plugin = match greeting.plugin.as_str() {
        CACHING => CACHING,
        _ => NATIVE,
    };
    let answer = scramble(plugin, password, &greeting.nonce);
    let mut response = opening(flags);
    response.extend_from_slice(address.user.as_bytes());
    response.push(0);
    response.push(u8::try_from(answer.len()).map_err(|_| malformed())?);
    response.extend_from_slice(&answer);
    response.extend_from_slice(address.database.as_bytes());
    response.push(0);
    response.extend_from_slice(plugin.as_bytes());
    response.push(0);
    channel.send(&response).await?;
    authenticate(&mut channel, password, encrypted).await?;
    Ok((channel, greeting.version))
}

/// What a response and a request for encryption begin with.
fn opening(flags: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(96);
    packet.extend_from_slice(&flags.to_le_bytes());
    packet.extend_from_slice(&LONGEST_PACKET.to_le_bytes());
    packet.push(UTF8MB4);
    packet.extend_from_slice(&[0; 23]);
    packet
}

async fn encrypt(
    channel: Channel,
    address: &Address,
    config: Arc<ClientConfig>,
) -> Result<Channel, Refusal> {
    let name = ServerName::try_from(address.host.clone()).map_err(|_| {
        Refusal::Tls("the host is not a name that a certificate can have".to_owned())
    })?;
    let (stream, sequence) = channel.into_stream()?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    let stream = connecting
        .await
        .map_err(|error| Refusal::Tls(address.encryption.refusal(&error.to_string())))?;
    let mut channel = Channel::new(stream);
    channel.continue_from(sequence);
    Ok(channel)
}

/// Answers what the server asks until it lets us in.
async fn authenticate(
    channel: &mut Channel,
    password: &[u8],
    encrypted: bool,
) -> Result<(), Refusal> {
    loop {
        let packet = channel.receive().await?;
        if let Some(error) = server_error(&packet) {
            return Err(Refusal::Server(error));
        }
        let mut fields = Fields(&packet);
        match fields.u8() {
            Some(0x00) => return Ok(()),
            Some(0xFE) if packet.len() > 1 => {
                let plugin = String::from_utf8_lossy(fields.terminated()).into_owned();
                if plugin != NATIVE && plugin != CACHING {
                    return Err(Refusal::Denied(format!(
                        "the user logs in by `{plugin}`, which is not supported; `{NATIVE}` and `{CACHING}` are"
                    )));
                }
                let nonce = fields.0.strip_suffix(b"\0").unwrap_or(fields.0);
                channel.send(&scramble(&plugin, password, nonce)).await?;
            }
            // The server knows the digest of the password already.
            Some(0x01) if fields.0 == [3] => {}
            Some(0x01) if fields.0 == [4] && encrypted => {
                let mut plain = password.to_vec();
                plain.push(0);
                channel.send(&plain).await?;
            }
            Some(0x01) if fields.0 == [4] => {
                return Err(Refusal::Denied(
                    "the server asks for the password as it is, and the connection is not encrypted"
                        .to_owned(),
                ));
            }
            _ => {
                return Err(Refusal::Denied(
                    "the server asks for a login that is not supported".to_owned(),
                ));
            }
        }
    }
}

/// A password as a plugin sends it.
fn scramble(plugin: &str, password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let (one, other) = if plugin == CACHING {
        let once = digest(&SHA256, password);
        let twice = digest(&SHA256, once.as_ref());
        (once, digest(&SHA256, &[twice.as_ref(), nonce].concat()))
    } else {
        let of = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        let once = of(password);
        let twice = of(once.as_ref());
        (once, of(&[nonce, twice.as_ref()].concat()))
    };
    let pairs = one.as_ref().iter().zip(other.as_ref());
    pairs.map(|(one, other)| one ^ other).collect()
}

fn greeting(packet: &[u8]) -> Option<Greeting> {
    let mut fields = Fields(packet);
    if fields.u8()? != 10 {
        return None;
    }
    let version = String::from_utf8_lossy(fields.terminated()).into_owned();
    fields.u32()?;
    let mut nonce = fields.bytes(8)?.to_vec();
    fields.u8()?;
    let low = u32::from(fields.u16()?);
    fields.u8()?;
    fields.u16()?;
    let high = u32::from(fields.u16()?);
    let length = usize::from(fields.u8()?);
    fields.bytes(10)?;
    let more = fields.bytes(length.saturating_sub(8).max(13))?;
    nonce.extend_from_slice(more.strip_suffix(b"\0").unwrap_or(more));
    Some(Greeting {
        version,
        capabilities: low | (high << 16),
        nonce,
        plugin: String::from_utf8_lossy(fields.terminated()).into_owned(),
    })
}

/// True if the bytes are a greeting.
#[cfg(test)]
pub(super) fn is_greeting(packet: &[u8]) -> bool {
    greeting(packet).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_out_as_digests() {
        let nonce = b"01234567890123456789";
        assert_eq!(scramble(NATIVE, b"secret", nonce).len(), 20);
        assert_eq!(scramble(CACHING, b"secret", nonce).len(), 32);
        assert!(scramble(CACHING, b"", nonce).is_empty());
        let other = scramble(NATIVE, b"secret", b"11234567890123456789");
        assert_ne!(scramble(NATIVE, b"secret", nonce), other);
    }

    #[test]
    fn a_short_greeting_is_not_one() {
        assert!(greeting(b"\x0A8.0\0").is_none());
        assert!(greeting(b"SSH-2.0").is_none());
    }
}
