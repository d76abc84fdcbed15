//! Tokens of OAuth 2 servers: one for all, a new one only when it is needed, none in a message.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use towpath_testkit::http::{HttpAnswer, HttpRequest};
use towpath_vocab::Remedy;

use crate::{Api, by_cursor, ids, rows, table};

/// An API whose token server is at `/token`, and gives `t1`, `t2`, … in these answers.
fn oauth(
    answer: impl Fn(&HttpRequest, &str) -> HttpAnswer + Send + Sync + 'static,
    token: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Api {
    let given = AtomicU64::new(0);
    let api = Api::new(json!({}), move |request| match request.path() {
        "/token" => HttpAnswer::json(token(given.fetch_add(1, Ordering::SeqCst) + 1)),
        _ => {
            let sent = request.header("authorization").unwrap_or_default();
            answer(request, sent.trim_start_matches("Bearer "))
        }
    });
    let url = format!("{}/token", api.server.url());
    api.option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(url))
        .secret("auth.client_id", "me")
        .secret("auth.refresh_token", "refresh-1")
}

fn plain(number: u64) -> String {
    format!("{{\"access_token\":\"t{number}\"}}")
}

#[tokio::test]
async fn all_tables_of_a_connection_share_a_token() {
    let api = oauth(|_, _| HttpAnswer::json(ids(0..1)), plain).table("others", json!({}));
    let (items, others) = (table("items"), table("others"));
    let (one, other) = tokio::join!(api.read(&items, None), api.read(&others, None));
    assert_eq!(
        (one.unwrap().rows, other.unwrap().rows),
        (rows([0]), rows([0]))
    );
    api.rows().await.unwrap();
    assert_eq!(api.asked("/token").len(), 1);
}

#[tokio::test]
async fn many_requests_that_find_a_token_refused_ask_for_one_new_one() {
    let api = oauth(
        |request, token| match (request.path(), token) {
            ("/v1/items", _) => HttpAnswer::json(ids(0..8)),
            (_, "t1") => HttpAnswer::new(401, "expired"),
            _ => HttpAnswer::json("[{\"n\":1}]"),
        },
        plain,
    )
    .table("lines", json!({ "path": "lines/{items.id}" }));
    let lines = api.read(&table("lines"), None).await.unwrap().rows;
    assert_eq!(lines.len(), 8);
    assert_eq!(api.asked("/token").len(), 2);
}

#[tokio::test]
async fn a_try_after_a_renewal_keeps_the_new_token() {
    let asked = AtomicU64::new(0);
    let api = oauth(
        move |_, _| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => HttpAnswer::new(401, "expired"),
            1 | 2 => HttpAnswer::new(503, "").header("retry-after", "0"),
            _ => HttpAnswer::json(ids(0..1)),
        },
        plain,
    );
    assert_eq!(api.rows().await.unwrap(), rows([0]));
    assert_eq!(api.asked("/token").len(), 2);
}

#[tokio::test]
async fn a_short_life_is_used_and_may_be_a_text() {
    for life in ["20", "\"3600\"", "0", "null"] {
        let api = oauth(
            |_, _| HttpAnswer::json(ids(0..1)),
            move |number| format!("{{\"access_token\":\"t{number}\",\"expires_in\":{life}}}"),
        );
        for _ in 0..3 {
            api.rows().await.unwrap();
        }
        assert_eq!(api.asked("/token").len(), 1, "{life}");
    }
}

#[tokio::test]
async fn a_new_refresh_token_takes_the_place_of_the_old_one() {
    let api = oauth(
        |_, token| match token {
            "t1" => HttpAnswer::new(401, "expired"),
            _ => HttpAnswer::json(ids(0..1)),
        },
        |number| {
            let next = number + 1;
            format!("{{\"access_token\":\"t{number}\",\"refresh_token\":\"refresh-{next}\"}}")
        },
    );
    assert_eq!(api.rows().await.unwrap(), rows([0]));
    let asked = api.asked("/token");
    let sent = |at: usize| asked[at].body.rsplit('=').next().unwrap().to_owned();
    assert_eq!((sent(0), sent(1)), ("refresh-1".into(), "refresh-2".into()));
}

#[tokio::test]
async fn no_message_holds_what_a_token_server_gave() {
    let api = oauth(
        |_, token| HttpAnswer::new(400, format!("no right for {token} or new-refresh-77")),
        |_| {
            "{\"access_token\":\"made-by-server-4711\",\"refresh_token\":\"new-refresh-77\"}"
                .to_owned()
        },
    );
    let text = format!("{:?}", api.failure().await);
    assert!(text.contains("no right for *** or ***"), "{text}");
    assert!(
        !text.contains("4711") && !text.contains("refresh-77"),
        "{text}"
    );
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again_and_one_that_refuses_is_not() {
    let down = AtomicU64::new(0);
    let api = Api::new(json!({}), move |request| match request.path() {
        "/token" if down.fetch_add(1, Ordering::SeqCst) == 0 => HttpAnswer::new(503, "wait"),
        "/token" => HttpAnswer::json(plain(1)),
        _ => HttpAnswer::json(ids(0..1)),
    });
    let url = format!("{}/token", api.server.url());
    let with = |api: Api, url: &str| {
        api.option("auth.type", json!("oauth2"))
            .option("auth.token_url", json!(url))
            .secret("auth.client_id", "me")
            .secret("auth.client_secret", "secret-7")
    };
    assert_eq!(with(api, &url).rows().await.unwrap(), rows([0]));
    let api = Api::new(json!({}), |_| {
        HttpAnswer::new(400, "invalid_client secret-7")
    });
    let url = format!("{}/token", api.server.url());
    let api = with(api, &url);
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0353");
    assert!(
        failure.help[0].contains("invalid_client ***"),
        "{failure:?}"
    );
    assert_eq!(api.server.requests().len(), 1);
}

#[tokio::test]
async fn a_refresh_token_whose_answer_was_lost_is_not_sent_again() {
    let cut = |body: String| HttpAnswer::json(body).cut_after(5);
    for lost in [
        HttpAnswer::none(),
        cut(plain(1)),
        HttpAnswer::new(502, "gateway"),
        HttpAnswer::json("{}"),
        HttpAnswer::new(200, "<html>"),
    ] {
        let answer = lost.clone();
        let api = Api::new(json!({}), move |request| match request.path() {
            "/token" => answer.clone(),
            _ => HttpAnswer::json(ids(0..3)),
        })
        .table("others", json!({}))
        .table(
            "lines",
            json!({ "path": "lines/{items.id}", "params": { "after": "{cursor}" }, "failed_listings": "next_run" }),
        );
        let url = format!("{}/token", api.server.url());
        let api = api
            .option("auth.type", json!("oauth2"))
            .option("auth.token_url", json!(url))
            .option("retries", json!(3))
            .secret("auth.client_id", "me")
            .secret("auth.refresh_token", "refresh-1");
        let (items, others, lines) = (table("items"), table("others"), by_cursor("lines", "id", 0));
        let (one, other) = tokio::join!(api.read(&items, None), api.read(&others, None));
        let lines = api.read(&lines, None).await;
        for read in [one, other, lines] {
            let failure = read.unwrap_err();
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0378", Remedy::FixConfig),
                "{lost:?}"
            );
            assert!(!format!("{failure:?}").contains("refresh-1"), "{failure:?}");
        }
        assert_eq!(api.asked("/token").len(), 1, "{lost:?}");
        // Another one is sent.
        let api = api.secret("auth.refresh_token", "refresh-2");
        api.failure().await;
        assert_eq!(api.asked("/token").len(), 2, "{lost:?}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_the_server_did_not_look_at_is_sent_again() {
    let asked = AtomicU64::new(0);
    let api = Api::new(json!({}), move |request| match request.path() {
        "/token" if asked.fetch_add(1, Ordering::SeqCst) == 0 => HttpAnswer::new(429, "slow"),
        "/token" => HttpAnswer::json(plain(1)),
        _ => HttpAnswer::json(ids(0..1)),
    });
    let url = format!("{}/token", api.server.url());
    let api = api
        .option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(url))
        .secret("auth.client_id", "me")
        .secret("auth.refresh_token", "refresh-1");
    assert_eq!(api.rows().await.unwrap(), rows([0]));
    assert_eq!(api.asked("/token").len(), 2);
}

#[tokio::test]
async fn a_token_is_of_what_the_connection_asks_for() {
    let mut api = oauth(|_, _| HttpAnswer::json(ids(0..1)), plain);
    for (asked, (option, value)) in [
        ("auth.scope", "read"),
        ("auth.scope", "write"),
        ("auth.audience", "billing"),
        ("auth.credentials_in", "body"),
    ]
    .into_iter()
    .enumerate()
    {
        api = api.option(option, json!(value));
        if option == "auth.credentials_in" {
            // Without a client secret both places give the same request.
            api = api.secret("auth.client_secret", "s");
        }
        api.rows().await.unwrap();
        api.rows().await.unwrap();
        assert_eq!(api.asked("/token").len(), asked + 1, "{option}: {value}");
    }
    let api = api.option("auth.credentials_in", json!("header"));
    api.rows().await.unwrap();
    assert_eq!(api.asked("/token").len(), 5);
}

/// An API whose token server accepts each refresh token once, and revokes all when one comes again.
fn rotating() -> Api {
    let next = AtomicU64::new(1);
    let api = Api::new(json!({}), move |request| match request.path() {
        "/token" => {
            let sent = request.body.rsplit('=').next().unwrap().to_owned();
            let number = next.load(Ordering::SeqCst);
            if sent != format!("refresh-{number}") {
                return HttpAnswer::new(400, "revoked");
            }
            next.store(number + 1, Ordering::SeqCst);
            let next = number + 1;
            HttpAnswer::json(format!(
                "{{\"access_token\":\"t{number}\",\"refresh_token\":\"refresh-{next}\"}}"
            ))
        }
        _ => HttpAnswer::json(ids(0..1)),
    });
    let url = format!("{}/token", api.server.url());
    api.option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(url))
        .secret("auth.client_id", "me")
        .secret("auth.refresh_token", "refresh-1")
}

/// What a process of the same project would see: nothing is shared with those before it.
fn in_a_new_process(api: Api, number: u64) -> Api {
    api.option("limits", json!({ "connections": number }))
}

#[tokio::test]
async fn the_next_process_has_the_refresh_token_that_was_given_last() {
    let mut api = rotating();
    for process in 1..=4 {
        api = in_a_new_process(api, process);
        assert_eq!(api.rows().await.unwrap(), rows([0]), "{process}");
    }
    let sent = api.asked("/token");
    let sent: Vec<_> = sent
        .iter()
        .map(|request| request.body.rsplit('=').next().unwrap())
        .collect();
    assert_eq!(sent, ["refresh-1", "refresh-2", "refresh-3", "refresh-4"]);
    // Only this user can read them, and nothing else of the project holds one.
    let state = api.context.project_dir.join(".towpath");
    let mut kept = 0;
    for file in std::fs::read_dir(state.join("rest-tokens")).unwrap() {
        let path = file.unwrap().path();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{path:?}");
        }
        kept += usize::from(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("refresh-5"),
        );
        assert!(!path.display().to_string().contains("refresh"), "{path:?}");
    }
    assert_eq!(kept, 1);
    // Another one of the project takes its place.
    let api = in_a_new_process(api, 5).secret("auth.refresh_token", "refresh-9");
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0353", "{failure:?}");
    assert!(
        api.asked("/token")
            .last()
            .unwrap()
            .body
            .ends_with("=refresh-9")
    );
}

#[tokio::test]
async fn processes_at_the_same_time_use_each_refresh_token_once() {
    let api = rotating();
    let url = api.server.url();
    let others: Vec<Api> = (1..=4)
        .map(|number| {
            let mut other = in_a_new_process(rotating(), number);
            other.context = api.context.clone();
            other
                .option("url", json!(format!("{url}/v1")))
                .option("auth.token_url", json!(format!("{url}/token")))
        })
        .collect();
    let reads = others.iter().map(|other| async move {
        // A name of its own is a connection of its own, in a process as well as in the project.
        other.rows().await
    });
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap(), rows([0]));
    }
    assert_eq!(api.asked("/token").len(), 4);
}
