//! The requests for files of one host: redirects, retries, ranges of one version, whole files.
//!
//! Promise: an answer is whole or asked for again; credentials go to the host of the connection only, with its
//! scheme and port; a range is of the version that was asked for, or it is an error. Addresses are shown without
//! their parameters. It knows no format. Read next: `look.rs`, `egress.rs`.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue,
    LOCATION, RANGE, TRANSFER_ENCODING, USER_AGENT,
};
use reqwest::{Response, StatusCode, Version, redirect};
use towpath_ports::ConnectorContext;
use towpath_vocab::ConnectionPlan;
use url::Url;

use super::auth::Auth;
use super::egress::{Near, Resolver, is_near_url, may_lead};
use super::error::HttpError;
use super::retry::{may_pass, wait};
use super::url::without_parameters;
use super::version::HttpVersion;
use crate::files::error::FilesError;
use crate::files::room::Room;
use crate::https::tls;

const MOST_REDIRECTS: usize = 10;
const CONNECT: Duration = Duration::from_secs(20);
/// Without a byte for so long, a request is tried again.
const SILENT: Duration = Duration::from_mins(1);

/// The client of one connection.
pub(crate) struct HttpClient {
    http: reqwest::Client,
    base: Url,
    is_base_near: bool,
    auth: Auth,
    pub(in crate::files) room: Room,
    /// The folder of the project's state.
    pub(super) state: PathBuf,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpClient({})", shown(&self.base))
    }
}

/// An address as a person sees it.
pub(crate) fn shown(url: &Url) -> String {
    without_parameters(url.as_str()).to_owned()
}

/// How one try ended.
enum Tried<T> {
    Done(T),
    /// It may go better later; the headers may say when.
    Again(HttpError, Option<HeaderMap>),
}

impl HttpClient {
    /// The client of files at and below an address; contacts nobody.
    pub(crate) fn open(
        base: &Url,
        plan: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Self, FilesError> {
        let wrong = |why: String| HttpError::Option {
            connection: plan.name.clone(),
            option: "path".to_owned(),
            why: format!("cannot be used: {why}"),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(wrong)?)
            .redirect(redirect::Policy::none())
            .dns_resolver(Resolver::new(base))
            .connect_timeout(CONNECT)
            .read_timeout(SILENT)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            http,
            base: base.clone(),
            is_base_near: is_near_url(base),
            auth: Auth::new(plan, &context.secrets),
            room: Room::default(),
            state: context.project_dir.join(".towpath"),
        })
    }

    fn is_own(&self, url: &Url) -> bool {
        let place = |url: &Url| {
            let host = url.host_str().map(str::to_ascii_lowercase);
            (url.scheme().to_owned(), host, url.port_or_known_default())
        };
        place(url) == place(&self.base)
    }

    /// Sends one request and follows where it leads.
    async fn send(&self, url: &Url, headers: &HeaderMap) -> Result<Tried<Response>, FilesError> {
        let address = shown(url);
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut all = headers.clone();
            all.insert(USER_AGENT, HeaderValue::from_static("towpath"));
            all.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if self.is_own(&at)
                && let Some((name, value)) = self.auth.credential().await?
            {
                all.insert(name, value);
            }
            let sent = self.http.get(at.clone()).headers(all).send().await;
            let response = match sent {
                Ok(response) => response,
                Err(error) if is_near_name(&error) => {
                    let host = at.host_str().unwrap_or_default();
                    let target = format!("{}://{host}", at.scheme());
                    return Err(HttpError::Redirected { address, target }.into());
                }
                Err(error) => return Ok(Tried::Again(failed(&address, &error), None)),
            };
            let status = response.status();
            let target = response.headers().get(LOCATION);
            let Some(target) = target.filter(|_| status.is_redirection()) else {
                return Ok(judged(response, address)?);
            };
            let target = target.to_str().ok().and_then(|target| at.join(target).ok());
            let refused = |target: String| HttpError::Redirected {
                address: address.clone(),
                target,
            };
            let target =
                target.ok_or_else(|| refused("an address that is not valid".to_owned()))?;
            if !may_lead(&at, &target, self.is_base_near) {
                let host = target.host_str().unwrap_or_default();
                return Err(refused(format!("{}://{host}", target.scheme())).into());
            }
            at = target;
        }
        let why = format!("it leads on more than {MOST_REDIRECTS} times");
        Ok(Tried::Again(HttpError::Failed { address, why }, None))
    }

    /// Asks until there is all that is wanted of an answer, or too often.
    async fn ask(
        &self,
        url: &Url,
        headers: &HeaderMap,
        want: &Want<'_>,
    ) -> Result<Got, FilesError> {
        let address = shown(url);
        let mut tries = 1;
        loop {
            let tried = match self.send(url, headers).await? {
                Tried::Done(response) => want.taken(response, &address).await?,
                Tried::Again(error, headers) => Tried::Again(error, headers),
            };
            let (error, headers) = match tried {
                Tried::Done(done) => return Ok(done),
                Tried::Again(error, headers) => (error, headers),
            };
            let Some(pause) = wait(tries, headers.as_ref()) else {
                return Err(error.into());
            };
            tracing::debug!(%error, wait_ms = pause.as_millis(), "a request is tried again");
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    /// Looks at the first bytes of a file; `None` where it is got whole.
    pub(super) async fn first(
        &self,
        url: &Url,
        bytes: u64,
    ) -> Result<Option<(HttpVersion, Bytes)>, FilesError> {
        let mut headers = HeaderMap::new();
        headers.extend(range_header(&(0..bytes)).map(|value| (RANGE, value)));
        match self.ask(url, &headers, &Want::First(bytes)).await? {
            Got::First(version, bytes) => Ok(Some((version, bytes))),
            Got::Bytes(_) | Got::File(_) => Ok(None),
        }
    }

    /// A range of one version of a file.
    pub(crate) async fn get(
        &self,
        url: &Url,
        version: &HttpVersion,
        range: Range<u64>,
    ) -> Result<Bytes, FilesError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let mut headers = HeaderMap::new();
        headers.extend(range_header(&range).map(|value| (RANGE, value)));
        headers.extend(version.condition());
        match self
            .ask(url, &headers, &Want::Range(version, range))
            .await?
        {
            Got::First(_, bytes) | Got::Bytes(bytes) => Ok(bytes),
            Got::File(_) => Ok(Bytes::new()),
        }
    }

    /// Writes all of a file into a new file of this machine; gives how the server has packed it.
    pub(super) async fn download(
        &self,
        url: &Url,
        to: &Path,
    ) -> Result<Option<String>, FilesError> {
        match self.ask(url, &HeaderMap::new(), &Want::File(to)).await? {
            Got::File(packed) => Ok(packed),
            Got::First(..) | Got::Bytes(_) => Ok(None),
        }
    }
}

/// What is wanted of an answer.
enum Want<'w> {
    /// The first bytes, with the version.
    First(u64),
    /// These bytes of this version.
    Range(&'w HttpVersion, Range<u64>),
    /// All, in this file.
    File(&'w Path),
}

/// What was taken from an answer.
enum Got {
    First(HttpVersion, Bytes),
    Bytes(Bytes),
    /// How the server has packed it; it is in the file, or no ranges of one version are given.
    File(Option<String>),
}

impl Want<'_> {
    async fn taken(&self, response: Response, address: &str) -> Result<Tried<Got>, FilesError> {
        match self {
            Self::First(bytes) => Ok(first_of(response, address, *bytes).await),
            Self::Range(version, range) => range_of(response, address, (version, range)).await,
            Self::File(path) => file_of(response, address, path).await,
        }
    }
}

async fn first_of(response: Response, address: &str, bytes: u64) -> Tried<Got> {
    let there = placed(response.headers()).filter(|_| response.status() == 206);
    let is_plain = !response.headers().contains_key(CONTENT_ENCODING);
    let size = there.filter(|(from, _)| *from == 0 && is_plain);
    let version = size.and_then(|(_, size)| HttpVersion::of(response.headers(), size));
    let Some(version) = version else {
        return Tried::Done(Got::File(None));
    };
    let wanted = bytes.min(version.size);
    match body(response, address, wanted).await {
        Ok(bytes) => Tried::Done(Got::First(version, bytes)),
        Err(error) => Tried::Again(error, None),
    }
}

async fn range_of(
    response: Response,
    address: &str,
    (version, range): (&HttpVersion, &Range<u64>),
) -> Result<Tried<Got>, FilesError> {
    // Servers may pass over the condition, or over the range once the file is another one.
    let there = placed(response.headers()).filter(|_| response.status() == 206);
    let is_wanted = there
        .is_some_and(|(from, size)| from == range.start && version.is_of(response.headers(), size));
    if !is_wanted {
        return Err(FilesError::Changing {
            path: address.to_owned(),
        });
    }
    Ok(
        match body(response, address, range.end - range.start).await {
            Ok(bytes) => Tried::Done(Got::Bytes(bytes)),
            Err(error) => Tried::Again(error, None),
        },
    )
}

async fn file_of(
    mut response: Response,
    address: &str,
    to: &Path,
) -> Result<Tried<Got>, FilesError> {
    let io = |source| FilesError::Read {
        path: to.display().to_string(),
        source,
    };
    if response.status() != StatusCode::OK {
        let (address, status) = (address.to_owned(), response.status().as_u16());
        return Err(HttpError::Refused { address, status }.into());
    }
    let has_end = response.headers().contains_key(CONTENT_LENGTH)
        || response.headers().contains_key(TRANSFER_ENCODING)
        || response.version() > Version::HTTP_11;
    if !has_end {
        let why = "the server does not say where it ends, so that it could be cut short".to_owned();
        let address = address.to_owned();
        return Err(HttpError::Unreadable { address, why }.into());
    }
    let packed = response.headers().get(CONTENT_ENCODING);
    let packed = packed.and_then(|packed| packed.to_str().ok());
    let packed = packed.map(|packed| packed.trim().to_ascii_lowercase());
    let mut file = std::fs::File::create(to).map_err(io)?;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => file.write_all(&chunk).map_err(io)?,
            Ok(None) => return Ok(Tried::Done(Got::File(packed))),
            Err(error) => return Ok(Tried::Again(failed(address, &error), None)),
        }
    }
}

/// What a status means. Whether bytes of a part are the wanted ones is judged by who asked for them.
fn judged(response: Response, address: String) -> Result<Tried<Response>, HttpError> {
    let status = response.status().as_u16();
    match status {
        200 | 206 | 412 | 416 => Ok(Tried::Done(response)),
        _ if may_pass(status) => {
            let why = format!("the server answers with status {status}");
            let headers = response.headers().clone();
            Ok(Tried::Again(
                HttpError::Failed { address, why },
                Some(headers),
            ))
        }
        _ => Err(HttpError::Refused { address, status }),
    }
}

/// Whether the name of a host was found to lead to this machine.
fn is_near_name(error: &reqwest::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.is::<Near>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Why no answer came, in words without the address and its parameters.
fn failed(address: &str, error: &reqwest::Error) -> HttpError {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let why = match deepest.to_string() {
        _ if error.is_timeout() => "it took too long".to_owned(),
        text if text.contains("://") => "the connection failed".to_owned(),
        text if error.is_body() || error.is_decode() => format!("it was cut off: {text}"),
        text => text,
    };
    HttpError::Failed {
        address: address.to_owned(),
        why,
    }
}

fn range_header(range: &Range<u64>) -> Option<HeaderValue> {
    let last = range.end.checked_sub(1)?;
    HeaderValue::from_str(&format!("bytes={}-{last}", range.start)).ok()
}

/// Where the bytes of an answer are in the file, and how large that is.
fn placed(headers: &HeaderMap) -> Option<(u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, size.trim().parse().ok()?))
}

/// A body of exactly so many bytes.
async fn body(mut response: Response, address: &str, wanted: u64) -> Result<Bytes, HttpError> {
    let wrong = |got: usize| HttpError::Failed {
        address: address.to_owned(),
        why: format!("of {wanted} bytes the server gave {got}"),
    };
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(failed(address, &error)),
        }
        if body.len() as u64 > wanted {
            return Err(wrong(body.len()));
        }
    }
    match body.len() as u64 == wanted {
        true => Ok(body.freeze()),
        false => Err(wrong(body.len())),
    }
}
