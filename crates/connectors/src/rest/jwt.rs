//! JSON Web Tokens that this connection signs: RFC 7519, with RS256, ES256 or HS256 of RFC 7518.
//!
//! Promise: the key is read before anything is asked; each token has an identifier of its own and a short
//! life. Signatures are those of `ring`. It does not know who is shown a token. Read next: `token.rs`,
//! which exchanges one for an access token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use towpath_vocab::Failure;

use super::auth_options::AuthOptions;

/// A token says that it was made so many seconds earlier, because clocks differ.
const BEFORE_S: i64 = 60;
/// How long a token lives, where the project does not say it.
const LIFE_S: u64 = 600;
const LEAST_S: u64 = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Algorithm {
    Rs256,
    Es256,
    Hs256,
}

/// What tokens say, and the key that signs them.
#[derive(Hash)]
pub(super) struct Jwt {
    algorithm: Algorithm,
    /// A PEM text, or the secret of HS256.
    key: String,
    key_id: Option<String>,
    /// Claims that are the same in each token.
    claims: Vec<(String, String)>,
    life_s: u64,
}

/// The file of a service account: what it says where the project does not.
#[derive(Default)]
struct Account(Map<String, Value>);

impl Account {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key)?.as_str().map(str::to_owned)
    }
}

impl Jwt {
    /// Reads the options; also where tokens are exchanged, if they are.
    pub(super) async fn read(
        given: &mut AuthOptions<'_>,
    ) -> std::result::Result<(Self, Option<String>), Failure> {
        let algorithm = match given.word("algorithm", &["RS256", "ES256", "HS256"])? {
            "ES256" => Algorithm::Es256,
            "HS256" => Algorithm::Hs256,
            _ => Algorithm::Rs256,
        };
        let key = given.needed("key").await?;
        let account = match serde_json::from_str(&key) {
            Ok(Value::Object(account)) if algorithm != Algorithm::Hs256 => Account(account),
            _ => Account::default(),
        };
        let key = account.text("private_key").unwrap_or(key);
        given.known.push(key.clone());
        let token_url = given
            .text("token_url")
            .or_else(|| account.text("token_uri"));
        let audience = given.text("audience").or_else(|| token_url.clone());
        let issuer = given
            .text("issuer")
            .or_else(|| account.text("client_email"));
        let mut claims = vec![
            ("iss", issuer),
            ("sub", given.text("subject")),
            ("aud", audience),
        ];
        if given.word("grant", GRANTS)? == "jwt_bearer" {
            claims.push(("scope", given.text("scope")));
        }
        let life_s = given.number("life_s", LIFE_S)?;
        if life_s < LEAST_S {
            return Err(given.wrong("life_s", "must be at least 120").into());
        }
        let claims = claims
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let jwt = Self {
            algorithm,
            // A variable of the environment often holds the lines of a key as one.
            key: match algorithm {
                Algorithm::Hs256 => key,
                _ => key.replace("\\n", "\n"),
            },
            key_id: given
                .text("key_id")
                .or_else(|| account.text("private_key_id")),
            claims: claims.chain(given.map("claims")).collect(),
            life_s,
        };
        jwt.sign(0).map_err(|why| given.wrong("key", why))?;
        Ok((jwt, token_url))
    }

    /// How long a token can be used from when it was signed.
    pub(super) fn used_s(&self) -> u64 {
        self.life_s.saturating_sub(BEFORE_S.unsigned_abs()).max(1)
    }

    /// A new token at this time, in seconds since 1970. The error is what is wrong with the key.
    pub(super) fn sign(&self, now: i64) -> Result<String, &'static str> {
        let algorithm = match self.algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::Hs256 => "HS256",
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let (Some(id), Value::Object(header)) = (&self.key_id, &mut header) {
            header.insert("kid".to_owned(), Value::from(id.as_str()));
        }
        let mut claims: Map<String, Value> = self
            .claims
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let begin = now - BEFORE_S;
        let end = begin.saturating_add_unsigned(self.life_s);
        claims.insert("iat".to_owned(), Value::from(begin));
        claims.insert("exp".to_owned(), Value::from(end));
        claims.insert("jti".to_owned(), Value::from(chance::<16>()?));
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&Value::Object(claims)));
        let signature = self.signature(text.as_bytes())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, text: &[u8]) -> Result<Vec<u8>, &'static str> {
        let random = SystemRandom::new();
        match self.algorithm {
            Algorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes());
                Ok(hmac::sign(&key, text).as_ref().to_vec())
            }
            Algorithm::Rs256 => {
                let key = match pem(&self.key)? {
                    PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
                    PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
                    _ => return Err("is not a key of RSA"),
                };
                let key = key.map_err(|_| "is not a key of RSA with 2048 to 4096 bits")?;
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
                    .map_err(|_| "cannot sign")?;
                Ok(signature)
            }
            Algorithm::Es256 => {
                let PrivateKeyDer::Pkcs8(key) = pem(&self.key)? else {
                    return Err(
                        "is not in PKCS #8, which begins with `BEGIN PRIVATE KEY`: `openssl pkcs8 -topk8 -nocrypt` writes it",
                    );
                };
                let key = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    key.secret_pkcs8_der(),
                    &random,
                );
                let key =
                    key.map_err(|_| "is not a key of the curve P-256 with its public part")?;
                let signature = key.sign(&random, text).map_err(|_| "cannot sign")?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

/// How a signed token is exchanged; the first one is the default.
pub(super) const GRANTS: &[&str] = &["jwt_bearer", "client_credentials"];

fn pem(text: &str) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "is not a private key in PEM, which begins with `-----BEGIN`")
}

/// Random bytes as hexadecimal digits.
pub(super) fn chance<const N: usize>() -> Result<String, &'static str> {
    let mut bytes = [0_u8; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "cannot be used: this machine gives no random numbers")?;
    Ok(hex(&bytes))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
