//! The option `auth` as data: what a project may say about how requests show who asks.
//!
//! Generated docs and the check of a project read this. Promise: each option is read somewhere: in
//! `auth.rs`, `jwt.rs`, `session.rs`, `signature.rs` or `aws_signer.rs`. It reads nothing itself. Read next: `spec.rs`.

use towpath_vocab::{OptionKind, OptionVariant};

use super::option_specs::{form, key, required, words};

fn oauth2() -> OptionVariant {
    use OptionKind::{Secret, Text};
    form(
        "oauth2",
        "A token from an OAuth 2 server, by the client's credentials or a refresh token; a new one is asked for before it expires and when the API refuses it.",
        vec![
            required("token_url", Text, "Where tokens are asked for."),
            required("client_id", Secret, "The client."),
            key("client_secret", Secret, "The client's secret."),
            key(
                "refresh_token",
                Secret,
                "A refresh token; without one the client's credentials are used.",
            ),
            key("scope", Text, "The scopes, separated by spaces."),
            key(
                "audience",
                Text,
                "The audience, if the server asks for one.",
            ),
            key(
                "credentials_in",
                words(&["header", "body"]),
                "Where the client's credentials are sent; default `header`.",
            ),
        ],
    )
}

fn jwt() -> OptionVariant {
    use OptionKind::{Integer, Secret, Text, TextMap};
    let keys = vec![
        required(
            "key",
            Secret,
            "The private key in PEM, the JSON file of a service account, or the secret of HS256.",
        ),
        key(
            "algorithm",
            words(&["RS256", "ES256", "HS256"]),
            "How tokens are signed; default `RS256`.",
        ),
        key(
            "token_url",
            Text,
            "Where a signed token is exchanged for an access token; default that of the service account. Without one, requests hold the signed token itself.",
        ),
        key(
            "grant",
            words(&["jwt_bearer", "client_credentials"]),
            "How it is exchanged: as RFC 7523 says for an authorization, the default, or for the client itself.",
        ),
        key("key_id", Text, "The number of the key: `kid`."),
        key(
            "issuer",
            Text,
            "Who signs: `iss`; default that of the service account.",
        ),
        key("subject", Text, "For whom: `sub`."),
        key(
            "audience",
            Text,
            "Who reads it: `aud`; default `token_url`.",
        ),
        key(
            "scope",
            Text,
            "The scopes, separated by spaces: a claim, or a parameter with `client_credentials`.",
        ),
        key(
            "client_id",
            Secret,
            "The client, if the server asks for one.",
        ),
        key("claims", TextMap, "Other claims."),
        key(
            "life_s",
            Integer,
            "How long a signed token lives, in seconds; default 600.",
        ),
    ];
    form(
        "jwt",
        "A JSON Web Token that is signed here: exchanged for an access token, as service accounts do, or sent as it is.",
        keys,
    )
}

fn session() -> OptionVariant {
    use OptionKind::{Integer, Secret, Text, TextList, TextMap};
    let keys = vec![
        required(
            "login",
            Text,
            "Where to log in by a POST: a path behind the connection's `url`, or a URL.",
        ),
        required("user", Secret, "The user."),
        required("password", Secret, "The password."),
        key(
            "credentials_in",
            words(&["json", "form", "header"]),
            "How they are sent: in a JSON body, the default, in a form, or in the header `Authorization`.",
        ),
        key(
            "user_field",
            Text,
            "The field of the user; default `username`.",
        ),
        key(
            "password_field",
            Text,
            "The field of the password; default `password`.",
        ),
        key("fields", TextMap, "Other fields of the body."),
        key(
            "token_at",
            Text,
            "The path of the token in the answer, such as `data.token`.",
        ),
        key(
            "token_header",
            Text,
            "The header of requests that holds it; default `Authorization`.",
        ),
        key(
            "token_prefix",
            Text,
            "What stands before it there; default `Bearer ` in `Authorization`, else nothing.",
        ),
        key(
            "cookies",
            TextList,
            "The cookies of the answer that requests hold, instead of a token.",
        ),
        key(
            "life_s",
            Integer,
            "How long a login lasts, in seconds; default until the API refuses it with 401.",
        ),
    ];
    form(
        "session",
        "A token or cookies that a login gives; a new login when the API answers 401.",
        keys,
    )
}

fn hmac() -> OptionVariant {
    use OptionKind::{Secret, Text, TextMap};
    let keys = vec![
        required("key", Secret, "The secret that signs."),
        key(
            "key_encoding",
            words(&["text", "base64", "hex"]),
            "How `key` is written; default `text`.",
        ),
        key("key_id", Text, "The name of the key: `{key_id}`."),
        key(
            "algorithm",
            words(&["sha256", "sha1", "sha384", "sha512"]),
            "The hash; default `sha256`.",
        ),
        key(
            "encoding",
            words(&["hex", "base64", "base64url"]),
            "How the signature is written; default `hex`.",
        ),
        required(
            "sign",
            Text,
            "The text that is signed, such as `{timestamp}{method}{path}{body}`. There are `{method} {path} {query} {sorted_query} {url} {host} {body} {body_sha256} {timestamp} {timestamp_ms} {iso_date} {http_date} {nonce} {key_id}`.",
        ),
        required(
            "headers",
            TextMap,
            "The headers of each request, with `{signature}` and the same values: `{ X-Signature: \"{signature}\", X-Time: \"{timestamp}\" }`.",
        ),
    ];
    form(
        "hmac",
        "A signature of each request, made with a secret that both sides know.",
        keys,
    )
}

fn aws() -> OptionVariant {
    use OptionKind::{Secret, Text};
    let keys = vec![
        required("access_key", Secret, "The id of the access key."),
        required("secret_key", Secret, "The secret access key."),
        key(
            "session_token",
            Secret,
            "The session token of temporary credentials.",
        ),
        required("region", Text, "The region, such as `eu-central-1`."),
        required(
            "service",
            Text,
            "The name of the service in signatures: `execute-api` for API Gateway, `es` for OpenSearch.",
        ),
    ];
    form(
        "aws_sigv4",
        "A signature of each request, as AWS asks for (Signature Version 4).",
        keys,
    )
}

/// How requests show who asks.
pub(super) fn auth() -> OptionKind {
    use OptionKind::{Secret, Text};
    OptionKind::Variants(vec![
        form(
            "bearer",
            "A token in the header `Authorization`.",
            vec![required("token", Secret, "The token.")],
        ),
        form(
            "basic",
            "A user and a password.",
            vec![
                required("user", Secret, "The user."),
                key("password", Secret, "The password; default empty."),
            ],
        ),
        form(
            "api_key",
            "A key in a header or a parameter.",
            vec![
                required("name", Text, "The name of the header or parameter."),
                required("value", Secret, "The key."),
                key(
                    "in",
                    words(&["header", "query"]),
                    "Where; default `header`.",
                ),
            ],
        ),
        oauth2(),
        jwt(),
        session(),
        hmac(),
        aws(),
    ])
}
