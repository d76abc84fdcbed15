//! Who may ask: tokens and their scopes, hosts, origins, bodies; and where a server listens.

use crate::client::{Server, token};
use crate::project;
use crate::test_project::has;

#[test]
fn a_request_needs_a_valid_token_with_the_scope() {
    let desk = project();
    let (read, operate) = (token(&desk, "look", "read"), token(&desk, "run", "operate"));
    let server = Server::start(&desk);
    let own = format!("127.0.0.1:{}", server.port);
    let none = server.send("GET", "/api/v1/runs", &[("Host", &own)], "");
    assert_eq!((none.status, none.code().as_str()), (401, "R1106"));
    assert!(none.head.contains("www-authenticate: bearer"), "{none:?}");
    for path in ["/health", "/openapi.json"] {
        let open = server.send("GET", &format!("/api/v1{path}"), &[("Host", &own)], "");
        assert_eq!(open.status, 200, "{open:?}");
    }
    let almost = format!("{}0", &read[..read.len() - 1]);
    let almost = match almost == read {
        true => format!("{}1", &read[..read.len() - 1]),
        false => almost,
    };
    let longer = format!("{read}0");
    let other = read.replacen(&read[..20], &operate[..20], 1);
    for wrong in [
        "",
        "x",
        "towpath_",
        "towpath_0_0",
        &almost,
        &longer,
        &other,
        &read[..read.len() - 1],
    ] {
        let refused = server.get(wrong, "/runs");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (401, "R1106"),
            "{wrong}"
        );
    }
    assert_eq!(server.get(&read, "/runs").status, 200);
    for path in [
        "/pipelines/often/runs",
        "/pipelines/often/schedule/pause",
        "/pipelines/often/schedule/resume",
        "/runs/often%231/cancel",
    ] {
        let refused = server.post(&read, path, "{}");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "R1107"),
            "{path}"
        );
        let host = [("Host", own.as_str())];
        let refused = server.send("POST", &format!("/api/v1{path}"), &host, "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (401, "R1106"),
            "{path}"
        );
    }
    assert!(!desk.path("begun.txt").exists(), "a run has begun");
    assert_eq!(server.get(&operate, "/runs").status, 200);
    // Revoking holds at once.
    desk.ok(".", &["token", "revoke", "look"]);
    let revoked = server.get(&read, "/runs");
    assert_eq!((revoked.status, revoked.code().as_str()), (401, "R1106"));
    // What is stored and logged has no secret.
    let everything = desk.everything(".");
    for token in [&read, &operate] {
        let secret = token.rsplit_once('_').unwrap().1;
        assert!(!everything.contains(secret));
    }
}

#[test]
fn tokens_are_listed_without_their_secret() {
    let desk = project();
    let first = token(&desk, "ci", "admin");
    has(
        &desk.exits(4, ".", &["token", "create", "ci", "--scope", "read"]),
        &["error[R1122]", "there is a token `ci` already"],
    );
    has(
        &desk.exits(2, ".", &["token", "create", "a b", "--scope", "read"]),
        &["error[R1121]"],
    );
    let listed = desk.json(".", &["token", "ls", "--format", "json"]);
    assert_eq!(listed["tokens"][0]["name"], "ci");
    assert_eq!(listed["tokens"][0]["scope"], "admin");
    assert!(
        !listed
            .to_string()
            .contains(first.rsplit_once('_').unwrap().1)
    );
    desk.ok(".", &["token", "revoke", "ci"]);
    has(
        &desk.exits(2, ".", &["token", "revoke", "ci"]),
        &["error[R1123]"],
    );
    has(&desk.ok(".", &["token", "ls"]), &["ci", "admin"]);
    // The name is free again, and the old token stays revoked.
    let second = token(&desk, "ci", "read");
    let server = Server::start(&desk);
    assert_eq!(server.get(&first, "/runs").status, 401);
    assert_eq!(server.get(&second, "/runs").status, 200);
}

#[test]
fn a_foreign_host_or_origin_is_refused() {
    let desk = project();
    let all = token(&desk, "all", "admin");
    let server = Server::with(&desk, &["--allow-host", "towpath.example.com"]);
    let bearer = format!("Bearer {all}");
    let own = format!("localhost:{}", server.port);
    let ask = |host: &str, origin: Option<&str>| {
        let mut headers = vec![("Host", host), ("Authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let body = "{}";
        headers.push(("Content-Type", "application/json"));
        (
            server.send("GET", "/api/v1/runs", &headers, ""),
            server.send(
                "POST",
                "/api/v1/pipelines/often/schedule/resume",
                &headers,
                body,
            ),
        )
    };
    for host in [
        "evil.example",
        "evil.example:7450",
        "localhost.evil.example",
        "10.0.0.1",
    ] {
        let (get, post) = ask(host, None);
        assert_eq!((get.status, get.code().as_str()), (403, "R1104"), "{host}");
        assert_eq!(
            (post.status, post.code().as_str()),
            (403, "R1104"),
            "{host}"
        );
    }
    for origin in ["http://evil.example", "null", "http://localhost:3000"] {
        let (get, post) = ask(&own, Some(origin));
        assert_eq!(
            (get.status, get.code().as_str()),
            (403, "R1105"),
            "{origin}"
        );
        assert_eq!(
            (post.status, post.code().as_str()),
            (403, "R1105"),
            "{origin}"
        );
    }
    for (host, origin) in [
        (own.as_str(), format!("http://{own}")),
        (
            "towpath.example.com",
            "https://towpath.example.com".to_owned(),
        ),
    ] {
        let (get, post) = ask(host, Some(&origin));
        assert_eq!(get.status, 200, "{get:?}");
        // It is let in: the pipeline has no schedule.
        assert_eq!((post.status, post.code().as_str()), (404, "R0922"));
        assert!(!get.head.contains("access-control-allow"), "{get:?}");
    }
    let without = server.send("GET", "/api/v1/health", &[], "");
    assert!((400..=403).contains(&without.status), "{without:?}");
}

#[test]
fn what_a_request_says_is_obeyed_or_refused() {
    let desk = project();
    let all = token(&desk, "all", "operate");
    let server = Server::start(&desk);
    let start = "/pipelines/often/runs";
    let large = format!("{{\"step\": \"{}\"}}", "x".repeat(70_000));
    for (path, body, status, code) in [
        (start, large.as_str(), 413, "R1108"),
        (start, "{", 400, "R1109"),
        (start, "[]", 400, "R1109"),
        (start, "{\"full_refersh\": true}", 400, "R1109"),
        (start, "{\"params\": {\"day\": 1}}", 400, "R1109"),
        (start, "{\"step\": \"none\"}", 422, "R0921"),
        ("/pipelines/oftn/runs", "{}", 404, "R0920"),
        ("/runs/often%2399/cancel", "{}", 404, "R0981"),
        ("/runs/often/cancel", "{}", 400, "R0980"),
        ("/runs", "{}", 405, "R1111"),
        ("/none", "{}", 404, "R1111"),
    ] {
        let refused = server.post(&all, path, body);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{path} {refused:?}"
        );
    }
    for (path, status, code) in [
        ("/runs?limit=0", 400, "R1110"),
        ("/runs?limit=1000", 400, "R1110"),
        ("/runs?limit=1&limit=2", 400, "R1110"),
        ("/runs?state=done", 400, "R1110"),
        ("/runs?sate=failed", 400, "R1110"),
        ("/runs?cursor=often", 400, "R0980"),
        ("/runs?cursor=often%2399", 400, "R0808"),
        ("/runs?pipeline=oftn", 404, "R0920"),
        ("/runs/often%231", 404, "R0981"),
        ("/runs/often%231/logs", 404, "R0981"),
        ("/pipelines/oftn", 404, "R0920"),
        ("/tables/raw.none", 404, "R0928"),
        ("/quarantine/raw.none", 404, "R0927"),
        ("/", 404, "R1111"),
    ] {
        let refused = server.get(&all, path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{path} {refused:?}"
        );
    }
    let key = "x".repeat(256);
    for key in [key.as_str(), "two words", ""] {
        let refused = server.post_with(&all, start, &[("Idempotency-Key", key)], "{}");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "R1110"),
            "{key}"
        );
    }
    let form = [("Host", "localhost"), ("Content-Type", "text/plain")];
    let bearer = format!("Bearer {all}");
    let form = [form[0], form[1], ("Authorization", bearer.as_str())];
    let refused = server.send("POST", &format!("/api/v1{start}"), &form, "{}");
    assert_eq!((refused.status, refused.code().as_str()), (415, "R1109"));
    assert!(!desk.path("begun.txt").exists(), "a run has begun");
}

#[test]
fn nothing_listens_beyond_this_machine_without_a_token() {
    let desk = project();
    let arguments = ["serve", "--listen", "0.0.0.0:0"];
    has(
        &desk.exits(4, ".", &arguments),
        &["error[R1101]", "towpath token create"],
    );
    token(&desk, "all", "admin");
    desk.ok(".", &["token", "revoke", "all"]);
    has(&desk.exits(4, ".", &arguments), &["error[R1101]"]);
}

#[test]
fn a_taken_port_is_an_error_and_no_api_is_a_choice() {
    let desk = project();
    token(&desk, "look", "read");
    let server = Server::start(&desk);
    let taken = format!("127.0.0.1:{}", server.port);
    has(
        &desk.exits(4, ".", &["serve", "--listen", &taken]),
        &["error[R1102]", &taken, "--listen none"],
    );
    has(
        &desk.exits(2, ".", &["serve", "--listen", "localhost"]),
        &["is not an address"],
    );
    has(
        &desk.exits(2, ".", &["serve", "--listen", "192.0.2.1:0"]),
        &["error[R1103]"],
    );
    // Without the API there is nothing to do.
    has(
        &desk.exits(2, ".", &["serve", "--listen", "none"]),
        &["error[R0922]"],
    );
    server.terminate();
    assert_eq!(server.ended(), 0);
}
