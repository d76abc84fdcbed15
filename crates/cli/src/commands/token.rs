//! `token`: creates, lists and revokes the tokens of the HTTP API.
//!
//! Promise: the text of a token is printed once, by `token create`, and goes nowhere else. It calls
//! `app/src/api_tokens.rs`. Read next: `serve.rs`.

use towpath_app::{time_text, token_create, token_revoke, tokens};
use towpath_ports::TokenScope;

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, ScopeArgument, TokenCommand};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn token(place: &ProjectArgs, command: TokenCommand) -> CommandResult {
    match command {
        TokenCommand::Create {
            name,
            scope,
            format,
        } => create(place, &name, scope, format).await,
        TokenCommand::Ls(format) => list(place, format.format).await,
        TokenCommand::Revoke { name, format } => revoke(place, &name, format).await,
    }
}

async fn create(
    place: &ProjectArgs,
    name: &str,
    scope: ScopeArgument,
    format: Format,
) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let scope = match scope {
        ScopeArgument::Read => TokenScope::Read,
        ScopeArgument::Operate => TokenScope::Operate,
        ScopeArgument::Admin => TokenScope::Admin,
    };
    let created = token_create(&services, &plan, name, scope, None).await?;
    match format {
        Format::Json => draw::json(&created)?,
        Format::Text => {
            outln!("{}", created.token);
            errln!(
                "This is the token `{name}` for the environment `{}`, scope `{}`. It is shown only now.",
                plan.environment,
                scope.as_str()
            );
        }
    }
    Ok(Exit::Done)
}

async fn list(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = tokens(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    if report.tokens.is_empty() {
        outln!("There is no token: towpath token create NAME --scope read");
        return Ok(Exit::Done);
    }
    let rows = report.tokens.iter().map(|token| {
        let revoked = token.revoked_us.map_or_else(|| "–".to_owned(), time_text);
        vec![
            token.name.clone(),
            token.scope.as_str().to_owned(),
            time_text(token.created_us),
            token.by.clone(),
            revoked,
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let names = ["TOKEN", "SCOPE", "CREATED", "BY", "REVOKED"].map(str::to_owned);
    out!("{}", draw::text_table(&names, &rows, &[false; 5]));
    Ok(Exit::Done)
}

async fn revoke(place: &ProjectArgs, name: &str, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let revoked = token_revoke(&services, &plan, name, None).await?;
    match format {
        Format::Json => draw::json(&revoked)?,
        Format::Text => outln!("The token `{}` is revoked.", revoked.name),
    }
    Ok(Exit::Done)
}
