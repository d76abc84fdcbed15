//! Browsers: the link of the first start, sessions with a cookie, what other pages may not do, and the files of the UI.

use serde_json::json;

use crate::client::{Answer, Server, token};
use crate::project;

impl Server {
    /// A request of a page of the server: its cookie, if any, and its origin.
    fn page(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let host = format!("127.0.0.1:{}", self.port);
        let origin = format!("http://{host}");
        let mut headers = vec![
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        if method != "GET" && !more.iter().any(|(name, _)| *name == "Origin") {
            headers.push(("Origin", &origin));
        }
        headers.extend(more);
        self.send(method, &format!("/api/v1{path}"), &headers, body)
    }
}

/// `towpath_session_PORT=VALUE` of an answer that sets it.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let line = line.expect("a cookie");
    for part in ["httponly", "samesite=strict", "path=/api"] {
        assert!(line.split("; ").any(|one| one == part), "{line}");
    }
    line.split(';').next().unwrap().to_owned()
}

fn log_in(server: &Server, body: &serde_json::Value) -> String {
    cookie(&server.page("POST", "/session", &[], &body.to_string()))
}

#[test]
fn a_session_belongs_to_a_token_and_ends_with_it() {
    let desk = project();
    let text = token(&desk, "me", "operate");
    let server = Server::start(&desk);
    let none = server.page("GET", "/session", &[], "");
    assert_eq!((none.status, none.code().as_str()), (401, "R1106"));
    for wrong in [
        json!({ "token": "towpath_x" }),
        json!({ "code": "x" }),
        json!({ "token": format!("{text}0") }),
    ] {
        let refused = server.page("POST", "/session", &[], &wrong.to_string());
        assert_eq!((refused.status, refused.code().as_str()), (401, "R1106"));
        assert!(!refused.head.contains("set-cookie"));
    }
    for wrong in ["{}", &json!({ "token": text, "code": "x" }).to_string()] {
        let refused = server.page("POST", "/session", &[], wrong);
        assert_eq!((refused.status, refused.code().as_str()), (400, "R1109"));
    }
    let session = log_in(&server, &json!({ "token": text }));
    assert!(!session.contains(text.rsplit_once('_').unwrap().1));
    let with = [("Cookie", session.as_str())];
    let me = server.page("GET", "/session", &with, "");
    let me = me.json();
    assert_eq!(
        (
            &me["name"],
            &me["scope"],
            &me["project"],
            &me["environment"]
        ),
        (
            &"me".into(),
            &"operate".into(),
            &"shop".into(),
            &"dev".into()
        ),
        "{me}"
    );
    assert_eq!(server.page("GET", "/runs", &with, "").status, 200);
    // Histories say whose it was, and a scope holds for it, too.
    let begun = server.page("POST", "/pipelines/often/runs", &with, "{}");
    assert_eq!(begun.status, 201, "{begun:?}");
    let refused = server.page("GET", "/tokens", &with, "");
    assert_eq!((refused.status, refused.code().as_str()), (403, "R1107"));
    // A second session goes on when the first one is closed.
    let second = log_in(&server, &json!({ "token": text }));
    let closed = server.page("DELETE", "/session", &with, "");
    assert_eq!(closed.status, 204, "{closed:?}");
    assert!(closed.head.contains("max-age=0"), "{closed:?}");
    let over = server.page("GET", "/runs", &with, "");
    assert_eq!((over.status, over.code().as_str()), (401, "R1106"));
    let with = [("Cookie", second.as_str())];
    assert_eq!(server.page("GET", "/runs", &with, "").status, 200);
    desk.ok(".", &["token", "revoke", "me"]);
    let over = server.page("GET", "/runs", &with, "");
    assert_eq!((over.status, over.code().as_str()), (401, "R1106"));
    let everything = desk.everything(".");
    for cookie in [&session, &second] {
        assert!(!everything.contains(cookie.split_once('=').unwrap().1));
    }
}

#[test]
fn other_pages_cannot_use_the_cookie() {
    let desk = project();
    let text = token(&desk, "me", "operate");
    let server = Server::start(&desk);
    let session = log_in(&server, &json!({ "token": text }));
    let host = format!("127.0.0.1:{}", server.port);
    let own = format!("http://{host}");
    let start = "/api/v1/pipelines/often/runs";
    let ask = |method: &str, path: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("Host", host.as_str()), ("Cookie", session.as_str())];
        if !more.iter().any(|(name, _)| *name == "Content-Type") {
            headers.push(("Content-Type", "application/json"));
        }
        headers.extend(more);
        server.send(method, path, &headers, "")
    };
    // A form or an image of another page; a program without an origin; another port of this machine.
    for more in [
        &[][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "http://evil.example")],
        &[("Origin", "null")],
        &[
            ("Origin", "http://127.0.0.1:3000"),
            ("Sec-Fetch-Site", "same-site"),
        ],
        &[("Origin", &own), ("Sec-Fetch-Site", "same-site")],
        // What a form or a script can send without asking.
        &[("Origin", &own), ("Content-Type", "text/plain")],
    ] {
        let refused = ask("POST", start, more);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "R1105"),
            "{more:?}"
        );
    }
    for site in ["same-site", "cross-site"] {
        let refused = ask("GET", "/api/v1/runs", &[("Sec-Fetch-Site", site)]);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "R1105"),
            "{site}"
        );
    }
    assert_eq!(
        ask("GET", "/api/v1/runs", &[("Sec-Fetch-Site", "none")]).status,
        200
    );
    // The page of another origin cannot log the browser in either.
    let foreign = [("Origin", "http://evil.example")];
    let body = json!({ "token": text }).to_string();
    let refused = server.page("POST", "/session", &foreign, &body);
    assert_eq!((refused.status, refused.code().as_str()), (403, "R1105"));
    assert!(!desk.path("begun.txt").exists(), "a run has begun");
    // Two cookies of the name: one of them is not of this server.
    let twice = format!("towpath_session_{}=x; {session}", server.port);
    let with = [("Cookie", twice.as_str())];
    assert_eq!(server.page("GET", "/runs", &with, "").status, 401);
    assert_eq!(ask("POST", start, &[("Origin", &own)]).status, 201);
}

/// The code of the link that a server prints.
fn code(server: &Server) -> Option<String> {
    let (_, code) = server.link.split_once("#code=")?;
    Some(code.to_owned())
}

#[test]
fn the_link_of_the_first_start_holds_once() {
    let desk = project();
    let server = Server::start(&desk);
    let link = code(&server).expect("a link");
    let session = log_in(&server, &json!({ "code": link }));
    let again = server.page(
        "POST",
        "/session",
        &[],
        &json!({ "code": link }).to_string(),
    );
    assert_eq!((again.status, again.code().as_str()), (401, "R1106"));
    let with = [("Cookie", session.as_str())];
    let me = server.page("GET", "/session", &with, "").json();
    assert_eq!(
        (&me["name"], &me["scope"]),
        (&"browser".into(), &"admin".into())
    );
    // It makes a token for a program.
    let options = json!({ "name": "ci", "scope": "operate" }).to_string();
    let created = server.page("POST", "/tokens", &with, &options);
    assert_eq!(created.status, 201, "{created:?}");
    let made = created.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&made, "/runs").status, 200);
    let known = server.page("GET", "/tokens", &with, "").json();
    assert_eq!(known["tokens"][1]["by"], "token browser", "{known}");
    let revoked = server.page("POST", "/tokens/ci/revoke", &with, "");
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(server.get(&made, "/runs").status, 401);
    let none = server.page("POST", "/tokens/ci/revoke", &with, "");
    assert_eq!((none.status, none.code().as_str()), (404, "R1123"));
    // There is a token now, so the next server has no link; its sessions are its own.
    server.kill();
    let server = Server::start(&desk);
    assert_eq!(code(&server), None, "{}", server.link);
    assert_eq!(server.page("GET", "/runs", &with, "").status, 401);
}

#[test]
fn a_link_is_nothing_for_another_server() {
    let desk = project();
    let (first, second) = (Server::start(&desk), Server::start(&desk));
    let (one, other) = (code(&first).unwrap(), code(&second).unwrap());
    assert_ne!(one, other);
    let body = json!({ "code": one }).to_string();
    assert_eq!(second.page("POST", "/session", &[], &body).status, 401);
    log_in(&first, &json!({ "code": one }));
    // The token of the first link has its name; the other gets one of its own.
    let session = log_in(&second, &json!({ "code": other }));
    let with = [("Cookie", session.as_str())];
    let me = second.page("GET", "/session", &with, "").json();
    assert!(me["name"].as_str().unwrap().starts_with("browser-"), "{me}");
}

#[test]
fn a_page_of_the_ui_is_given_to_everybody_and_may_load_nothing_else() {
    let desk = project();
    let server = Server::start(&desk);
    let host = format!("127.0.0.1:{}", server.port);
    for path in ["/", "/runs", "/runs/often%231", "/tables/raw.orders"] {
        let page = server.send("GET", path, &[("Host", &host)], "");
        assert_eq!(page.status, 200, "{path} {page:?}");
        for header in [
            "content-type: text/html",
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
        ] {
            assert!(page.head.contains(header), "{path} {}", page.head);
        }
        assert!(page.text.contains("Towpath"), "{path}");
    }
    let foreign = server.send("GET", "/", &[("Host", "evil.example")], "");
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "R1104"));
    for (method, path) in [
        ("GET", "/assets/none.js"),
        ("GET", "/none.txt"),
        ("POST", "/"),
    ] {
        let none = server.send(method, path, &[("Host", &host)], "");
        assert_eq!(
            (none.status, none.code().as_str()),
            (404, "R1111"),
            "{path}"
        );
    }
    // What the API has no route for is no page.
    let none = server.send("GET", "/api/v1/none", &[("Host", &host)], "");
    assert_eq!((none.status, none.code().as_str()), (404, "R1111"));
}

#[test]
fn an_event_stream_ends_when_its_session_is_closed() {
    let desk = project();
    let text = token(&desk, "me", "read");
    let server = Server::start(&desk);
    let session = log_in(&server, &json!({ "token": text }));
    let other = log_in(&server, &json!({ "token": text }));
    let mut stream = server.follow_with(&format!("Cookie: {session}"), None);
    let mut goes_on = server.follow_with(&format!("Cookie: {other}"), None);
    assert!(stream.next().is_some() && goes_on.next().is_some());
    let closed = server.page("DELETE", "/session", &[("Cookie", &session)], "");
    assert_eq!(closed.status, 204, "{closed:?}");
    assert!(stream.next().is_none());
    desk.ok(".", &["run"]);
    assert!(goes_on.next().is_some());
}

#[test]
fn the_link_goes_into_no_log_unless_it_is_asked_for() {
    let desk = project();
    let server = Server::without_link(&desk);
    assert_eq!(code(&server), None);
    assert!(
        server.link.contains("towpath token create"),
        "{}",
        server.link
    );
    for wrong in ["https://ops", "ops/x", "ops:", "a b", ""] {
        desk.exits(
            2,
            ".",
            &["serve", "--listen", "127.0.0.1:0", "--allow-host", wrong],
        );
    }
    for unused in [&["--allow-host", "ops"][..], &["--login-link"]] {
        let said = desk.exits(
            2,
            ".",
            &[&["serve", "--listen", "none"][..], unused].concat(),
        );
        assert!(said.contains("error[R1133]"), "{said}");
    }
}
