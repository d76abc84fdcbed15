//! Signatures of requests: HMAC over a text that the project describes, in headers that it names.
//!
//! Promise: each try is signed anew, with its own time and number used once, over exactly what is sent. A
//! placeholder that does not exist, or a signature that is sent nowhere, is refused before anything is
//! asked. It does not know which servers may see a signature. Read next: `client.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use ring::{digest, hmac};
use towpath_vocab::Failure;
use url::Url;

use super::auth_options::AuthOptions;
use super::error::RestError;
use super::jwt::{chance, hex};

/// What a text or header may hold in braces.
const WORDS: [&str; 14] = [
    "method",
    "path",
    "query",
    "sorted_query",
    "url",
    "host",
    "body",
    "body_sha256",
    "timestamp",
    "timestamp_ms",
    "iso_date",
    "http_date",
    "nonce",
    "key_id",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hashed {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Hex,
    Base64,
    Base64Url,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Piece {
    Text(String),
    Word(&'static str),
    Signature,
}

/// How requests are signed.
#[derive(Hash)]
pub(super) struct Signer {
    hashed: Hashed,
    form: Form,
    key: Vec<u8>,
    key_id: String,
    text: Vec<Piece>,
    headers: Vec<(HeaderName, Vec<Piece>)>,
}

/// A request as it is signed.
pub(super) struct Signed<'r> {
    pub(super) method: &'r Method,
    pub(super) url: &'r Url,
    pub(super) body: &'r str,
}

impl Signer {
    /// Reads the options.
    pub(super) async fn read(given: &mut AuthOptions<'_>) -> std::result::Result<Self, Failure> {
        let hashed = match given.word("algorithm", &["sha256", "sha1", "sha384", "sha512"])? {
            "sha1" => Hashed::Sha1,
            "sha384" => Hashed::Sha384,
            "sha512" => Hashed::Sha512,
            _ => Hashed::Sha256,
        };
        let form = match given.word("encoding", &["hex", "base64", "base64url"])? {
            "base64" => Form::Base64,
            "base64url" => Form::Base64Url,
            _ => Form::Hex,
        };
        let key = given.needed("key").await?;
        let key = match given.word("key_encoding", &["text", "base64", "hex"])? {
            "base64" => STANDARD.decode(key.trim()).ok(),
            "hex" => from_hex(key.trim()),
            _ => Some(key.into_bytes()),
        };
        let key = key.filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| given.wrong("key", "is empty or not in its `key_encoding`"))?;
        let key_id = given.text("key_id").unwrap_or_default();
        let wrong = |option: &'static str| move |why: String| (option, why);
        let refused = |(option, why): (&str, String)| given.wrong(option, &why);
        let text = given.needed_text("sign")?;
        let text = pieces(&text).map_err(wrong("sign")).map_err(refused)?;
        if text.contains(&Piece::Signature) {
            return Err(given
                .wrong("sign", "holds `{signature}`, which is made of it")
                .into());
        }
        let mut headers = Vec::new();
        for (name, value) in given.map("headers") {
            let value = pieces(&value).map_err(wrong("headers")).map_err(refused)?;
            headers.push((given.header_name("headers", &name)?, value));
        }
        if !headers
            .iter()
            .any(|(_, value)| value.contains(&Piece::Signature))
        {
            let why =
                "has no header with `{signature}`: `headers: { X-Signature: \"{signature}\" }`";
            return Err(given.wrong("headers", why).into());
        }
        let uses = |word| {
            let all = headers.iter().map(|(_, value)| value).chain([&text]);
            all.flatten().any(|piece| *piece == Piece::Word(word))
        };
        if key_id.is_empty() && uses("key_id") {
            return Err(given.wrong("key_id", "is missing").into());
        }
        if !key_id.is_empty() && !uses("key_id") {
            return Err(given
                .wrong(
                    "key_id",
                    "is not used: write `{key_id}` in `headers` or `sign`",
                )
                .into());
        }
        Ok(Self {
            hashed,
            form,
            key,
            key_id,
            text,
            headers,
        })
    }

    /// The headers of a request at this time.
    pub(super) fn headers(
        &self,
        request: &Signed<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, RestError> {
        let wrong = |why: &str| RestError::Option {
            place: "the connection".to_owned(),
            option: "auth.headers".to_owned(),
            why: why.to_owned(),
        };
        let nonce = chance::<16>().map_err(wrong)?;
        let value = |word: &str| self.value(word, request, now, &nonce);
        let text = written(&self.text, &value, "");
        let signature = self.signature(text.as_bytes());
        let headers = self.headers.iter().map(|(name, pieces)| {
            let text = written(pieces, &value, &signature);
            let mut header = HeaderValue::from_str(&text)
                .map_err(|_| wrong("has a value that no header can hold"))?;
            header.set_sensitive(true);
            Ok((name.clone(), header))
        });
        headers.collect()
    }

    fn value(&self, word: &str, request: &Signed<'_>, now: DateTime<Utc>, nonce: &str) -> String {
        let url = request.url;
        match word {
            "method" => request.method.to_string(),
            "path" => url.path().to_owned(),
            "query" => url.query().unwrap_or_default().to_owned(),
            "sorted_query" => {
                let query = url.query().unwrap_or_default();
                let mut pairs: Vec<&str> = query.split('&').collect();
                pairs.sort_unstable();
                pairs.join("&")
            }
            "url" => url.to_string(),
            "host" => match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (host, _) => host.unwrap_or_default().to_owned(),
            },
            "body" => request.body.to_owned(),
            "body_sha256" => hex(digest::digest(&digest::SHA256, request.body.as_bytes()).as_ref()),
            "timestamp" => now.timestamp().to_string(),
            "timestamp_ms" => now.timestamp_millis().to_string(),
            "iso_date" => now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "http_date" => now.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            "nonce" => nonce.to_owned(),
            _ => self.key_id.clone(),
        }
    }

    fn signature(&self, text: &[u8]) -> String {
        let algorithm = match self.hashed {
            Hashed::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hashed::Sha256 => hmac::HMAC_SHA256,
            Hashed::Sha384 => hmac::HMAC_SHA384,
            Hashed::Sha512 => hmac::HMAC_SHA512,
        };
        let signature = hmac::sign(&hmac::Key::new(algorithm, &self.key), text);
        match self.form {
            Form::Hex => hex(signature.as_ref()),
            Form::Base64 => STANDARD.encode(signature),
            Form::Base64Url => URL_SAFE_NO_PAD.encode(signature),
        }
    }
}

/// Cuts a text at its placeholders; `{{` and `}}` are braces.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some((brace, behind)) = from
            .split_at_checked(2)
            .filter(|(two, _)| matches!(*two, "{{" | "}}"))
        {
            plain.push_str(brace.get(..1).unwrap_or_default());
            rest = behind;
            continue;
        }
        let word = from.strip_prefix('{').and_then(|from| from.split_once('}'));
        let Some((word, behind)) = word else {
            return Err(format!("has a brace without its other half in `{text}`"));
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(match WORDS.iter().find(|known| **known == word) {
            Some(known) => Piece::Word(known),
            None if word == "signature" => Piece::Signature,
            None => {
                let known = WORDS.join(", ");
                return Err(format!(
                    "has `{{{word}}}`, but there is: signature, {known}"
                ));
            }
        });
        rest = behind;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn written(pieces: &[Piece], value: &dyn Fn(&str) -> String, signature: &str) -> String {
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Word(word) => value(word),
        Piece::Signature => signature.to_owned(),
    });
    pieces.collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect()
}
