//! AWS Signature Version 4: each request is signed with an access key.
//!
//! Promise: each try is signed anew, over its method, address, parameters and body, by the code that signs
//! the requests of the lakehouse in a bucket. It does not look for credentials anywhere but in the
//! project's options. Read next: `client.rs`.

use std::hash::{Hash, Hasher};

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::utf8_percent_encode;
use reqwest::header::{HeaderName, HeaderValue};
use towpath_vocab::Failure;
use url::form_urlencoded;

use super::auth_options::AuthOptions;
use super::error::{RestError, Result};
use super::signature::Signed;
use super::template::SEGMENT;

/// How requests are signed.
pub(super) struct AwsSigner {
    credential: AwsCredential,
    region: String,
    service: String,
}

impl Hash for AwsSigner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let own = &self.credential;
        (&own.key_id, &own.secret_key, &own.token).hash(state);
        (&self.region, &self.service).hash(state);
    }
}

/// The parameters of an address in the order in which they are signed: those of one name by their values. The
/// signing code sorts by names only, and AWS by both. A blank is `%20`: `+` is a plus there.
pub(super) fn in_order(query: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| (name.into_owned(), encoded(&value)))
        .collect();
    pairs.sort();
    let pairs = pairs.into_iter();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={value}", encoded(&name)))
        .collect();
    pairs.join("&")
}

/// A word of the scope of signatures.
fn word(given: &AuthOptions<'_>, key: &str) -> Result<String> {
    let text = given.needed_text(key)?;
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    match text.chars().all(is_word) {
        true => Ok(text),
        false => Err(given.wrong(
            key,
            &format!("is `{text}`, but must be letters, digits and `-`"),
        )),
    }
}

impl AwsSigner {
    /// Reads the options.
    pub(super) async fn read(given: &mut AuthOptions<'_>) -> std::result::Result<Self, Failure> {
        let (region, service) = (word(given, "region")?, word(given, "service")?);
        let key_id = given.needed("access_key").await?;
        let secret_key = given.needed("secret_key").await?;
        let token = given.secret("session_token").await?;
        // They become parts of headers.
        for (key, value) in [
            ("access_key", Some(&key_id)),
            ("session_token", token.as_ref()),
        ] {
            if let Some(value) = value {
                given.header(key, value)?;
            }
        }
        Ok(Self {
            credential: AwsCredential {
                key_id,
                secret_key,
                token,
            },
            region,
            service,
        })
    }

    /// The headers of a request at this time.
    pub(super) fn headers(&self, request: &Signed<'_>) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let wrong = || RestError::Option {
            place: "the connection".to_owned(),
            option: "url".to_owned(),
            why: "makes an address that cannot be signed".to_owned(),
        };
        let body = HttpRequestBody::from(request.body.to_owned());
        let mut signed = HttpRequest::new(body);
        *signed.method_mut() = request.method.clone();
        *signed.uri_mut() = request.url.as_str().parse().map_err(|_| wrong())?;
        AwsAuthorizer::new(&self.credential, &self.service, &self.region)
            .authorize(&mut signed, None);
        let mut headers = Vec::new();
        for (name, value) in signed.headers() {
            // The client sends its own.
            if name != "host" {
                let mut value = value.clone();
                value.set_sensitive(true);
                headers.push((name.clone(), value));
            }
        }
        Ok(headers)
    }
}
