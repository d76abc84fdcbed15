//! `token create`, `token ls`, `token revoke`, and who sends a request.
//!
//! Promise: a token is random (244 bits) and shown once; the state store has only its hash. Whether a text is a
//! valid token takes the same time however much of it is right. A token holds for one environment. It does not
//! know routes and their rules: see the crate `server`.

use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use towpath_ports::{ApiToken, NewApiToken, TokenScope};
use towpath_vocab::{Environment, Failure, Plan, Remedy};
use uuid::Uuid;

use crate::Result;
use crate::pause::user;
use crate::services::ProjectServices;

/// The beginning of every token, by which programs that look for secrets find one.
const PREFIX: &str = "towpath";

/// The characters of the public part.
const ID_CHARS: usize = 12;

/// The most characters of a name.
const MOST_NAME_CHARS: usize = 64;

/// A new token. This is the only place where its text is.
#[derive(Serialize)]
pub struct CreatedToken {
    /// Version of this form; 1.
    pub version: u32,
    /// What is stored about it.
    #[serde(flatten)]
    pub stored: ApiToken,
    /// The token.
    pub token: String,
}

/// The tokens of an environment.
#[derive(Debug, Serialize)]
pub struct TokensReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The tokens, oldest first, also revoked ones.
    pub tokens: Vec<ApiToken>,
}

/// Creates a token. `by` is who does it; nothing for the user of this process.
///
/// # Errors
/// R1121 when the name cannot be used, R1122 when a valid token has it.
pub async fn token_create(
    services: &ProjectServices,
    plan: &Plan,
    name: &str,
    scope: TokenScope,
    by: Option<&str>,
) -> Result<CreatedToken> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MOST_NAME_CHARS || !name.chars().all(is_plain) {
        let message = format!("`{}` cannot be the name of a token", name.escape_debug());
        return Err(Failure::new("R1121", Remedy::FixConfig, message).help(format!(
            "use at most {MOST_NAME_CHARS} letters, digits, `-`, `_` and `.`: towpath token create ci --scope operate"
        )));
    }
    let id: String = secret().chars().take(ID_CHARS).collect();
    let secret = secret();
    let new = NewApiToken {
        environment: plan.environment.clone(),
        id: id.clone(),
        name: name.to_owned(),
        scope,
        hash: hash(&secret),
        by: by.map_or_else(|| user(services), str::to_owned),
    };
    let stored = services.store.api().create_token(new).await?;
    let stored = stored.ok_or_else(|| {
        let message = format!("there is a token `{name}` already");
        Failure::new("R1122", Remedy::Refused, message)
            .help("choose another name")
            .help(format!(
                "or revoke that one first: towpath token revoke {name}"
            ))
    })?;
    Ok(CreatedToken {
        version: 1,
        stored,
        token: format!("{PREFIX}_{id}_{secret}"),
    })
}

/// All tokens of the environment.
///
/// # Errors
/// Those of the state store.
pub async fn tokens(services: &ProjectServices, plan: &Plan) -> Result<TokensReport> {
    Ok(TokensReport {
        version: 1,
        tokens: services.store.api().tokens(&plan.environment).await?,
    })
}

/// Revokes the valid token with this name. `by` is who does it; nothing for the user of this process.
///
/// # Errors
/// R1123 when there is none.
pub async fn token_revoke(
    services: &ProjectServices,
    plan: &Plan,
    name: &str,
    by: Option<&str>,
) -> Result<ApiToken> {
    let by = by.map_or_else(|| user(services), str::to_owned);
    let api = services.store.api();
    let revoked = api.revoke_token(&plan.environment, name, &by).await?;
    revoked.ok_or_else(|| {
        let message = format!("there is no valid token `{}`", name.escape_debug());
        Failure::new("R1123", Remedy::FixConfig, message).help("look: towpath token ls")
    })
}

/// The valid token with this public part.
///
/// # Errors
/// Those of the state store.
pub async fn valid_token(
    services: &ProjectServices,
    environment: &Environment,
    id: &str,
) -> Result<Option<ApiToken>> {
    let found = services.store.api().token(environment, id).await?;
    let found = found.map(|(token, _)| token);
    Ok(found.filter(|token| token.revoked_us.is_none()))
}

/// The valid token that this text is, if it is one.
///
/// # Errors
/// Those of the state store.
pub async fn token_of(
    services: &ProjectServices,
    environment: &Environment,
    text: &str,
) -> Result<Option<ApiToken>> {
    let mut parts = text.splitn(3, '_');
    let (Some(PREFIX), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let is_id = id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Ok(None);
    }
    let Some((token, stored)) = services.store.api().token(environment, id).await? else {
        return Ok(None);
    };
    let is_right: bool = hash(secret).as_bytes().ct_eq(stored.as_bytes()).into();
    Ok((is_right && token.revoked_us.is_none()).then_some(token))
}

/// 244 random bits.
pub(crate) fn secret() -> String {
    let text = |uuid: Uuid| uuid.simple().to_string();
    format!("{}{}", text(Uuid::new_v4()), text(Uuid::new_v4()))
}

/// A secret of 244 random bits needs no slow hash.
pub(crate) fn hash(secret: &str) -> String {
    let hash = Sha256::digest(secret);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
