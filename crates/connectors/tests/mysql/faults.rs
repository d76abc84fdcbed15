//! Servers that refuse, die or break off: the class of a failure says what to do, and no secret is in it.

use futures::StreamExt as _;
use towpath_ports::{Assignment, Event, Reader};
use towpath_testkit::mariadb::{MariadbServer, PASSWORD, USER};
use towpath_vocab::Remedy;

use crate::support::{Database, source_at, table, try_read};

const MANY: &str = "CREATE TABLE big (id int PRIMARY KEY, v varchar(1000)); \
     INSERT INTO big SELECT seq, repeat('x', 1000) FROM seq_1_to_60000";

/// The events of a table that is read in one piece, of which one batch was taken.
async fn begun(database: &Database) -> towpath_ports::BoxStream<towpath_ports::Result<Event>> {
    let mut asked = table("big");
    asked.batch_rows = 100;
    asked.parallel = 1;
    let mut reader: Box<dyn Reader> = database.source().open(&asked, None).await.unwrap();
    let mut splits = reader.splits();
    let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
        panic!("there is a split");
    };
    assert!(matches!(
        split.events.next().await,
        Some(Ok(Event::Rows(_)))
    ));
    split.events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_during_a_read_is_not_the_end_of_the_table() {
    let database = Database::alone(&[], MANY);
    let mut events = begun(&database).await;
    database.server.kill();
    let last = events.by_ref().collect::<Vec<_>>().await.pop().unwrap();
    let failure = last.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R1005", Remedy::Unreachable)
    );
    let down = database.fails("big").await;
    assert_eq!(
        (down.code.as_str(), down.remedy),
        ("R1002", Remedy::Unreachable)
    );
    database.server.resume().unwrap();
    assert_eq!(database.read("big").await.len(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_and_queries_are_tried_again() {
    let database = Database::alone(&[], MANY);
    for (statement, code) in [("KILL QUERY", "R1006"), ("KILL CONNECTION", "R1005")] {
        let mut events = begun(&database).await;
        let sql = "SELECT id FROM information_schema.processlist WHERE command = 'Execute' AND info LIKE '%big%'";
        let id = database.sql(sql);
        database.sql(&format!("{statement} {id}"));
        let last = events.by_ref().collect::<Vec<_>>().await.pop().unwrap();
        let failure = last.unwrap_err();
        assert_eq!(failure.code, code, "{statement}: {failure:?}");
        assert!(matches!(
            failure.remedy,
            Remedy::Retry | Remedy::Unreachable
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_one_moment() {
    let database = Database::alone(&[], MANY);
    let mut events = begun(&database).await;
    database.sql("DELETE FROM big WHERE id > 30000; INSERT INTO big VALUES (100000, 'new')");
    let mut rows = 100;
    while let Some(event) = events.next().await {
        if let Event::Rows(batch) = event.unwrap() {
            rows += batch.len();
        }
    }
    assert_eq!(rows, 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_codes_and_hold_no_secret() {
    let database = Database::with(
        "CREATE TABLE t (id int); CREATE USER IF NOT EXISTS weak IDENTIFIED BY 'weak-password'",
    );
    let port = database.server.port();
    let name = &database.name;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other_port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        while let Ok((mut stream, _)) = other.accept() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for (url, code) in [
        (
            format!("mysql://{USER}:wrong@127.0.0.1:{port}/{name}"),
            "R1003",
        ),
        (
            format!("mysql://weak:weak-password@127.0.0.1:{port}/{name}"),
            "R1003",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/nothing"),
            "R1003",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}?sslmode=require"),
            "R1004",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}?sslmode=verify-full"),
            "R1004",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{closed_port}/{name}"),
            "R1002",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{other_port}/{name}"),
            "R1002",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}?compress=1"),
            "R1001",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}"),
            "R1001",
        ),
        (
            format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}?sslcert=c.pem"),
            "R1001",
        ),
        (format!("mysql://127.0.0.1:{port}/{name}"), "R1001"),
        (
            format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{name}"),
            "R1001",
        ),
    ] {
        let refused = try_read(source_at(&url).as_ref(), &table("t"), None).await;
        let failure = refused.unwrap_err();
        assert_eq!(failure.code, code, "{url}: {failure:?}");
        let said = format!("{failure:?}");
        for secret in [PASSWORD, "weak-password", "wrong"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    assert_eq!(database.fails("tt").await.code, "R1010");
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_connections_check_what_the_mode_promises() {
    if MariadbServer::shared().unwrap().is_mysql() {
        // The library of this MySQL, of 2019, agrees with rustls on no encryption.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            &file("key.pem"),
            "-out",
            &file("cert.pem"),
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::set_permissions(
        file("key.pem"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let settings = [
        format!("--ssl-cert={}", file("cert.pem")),
        format!("--ssl-key={}", file("key.pem")),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let database = Database::alone(
        &settings,
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1);
         CREATE USER only_tls IDENTIFIED BY 'pw' REQUIRE SSL; GRANT ALL ON *.* TO only_tls",
    );
    let at = |host: &str, rest: &str| {
        let (port, name) = (database.server.port(), &database.name);
        source_at(&format!("mysql://only_tls:pw@{host}:{port}/{name}{rest}"))
    };
    let root = format!("&sslrootcert={}", file("cert.pem"));
    for (host, rest, code) in [
        ("127.0.0.1", String::new(), ""),
        ("127.0.0.1", "?sslmode=require".to_owned(), ""),
        ("localhost", format!("?sslmode=verify-full{root}"), ""),
        ("127.0.0.1", format!("?sslmode=verify-ca{root}"), ""),
        ("127.0.0.1", format!("?sslmode=verify-full{root}"), "R1004"),
        ("127.0.0.1", "?sslmode=verify-ca".to_owned(), "R1004"),
        ("127.0.0.1", "?sslmode=disable".to_owned(), "R1003"),
    ] {
        let answer = try_read(at(host, &rest).as_ref(), &table("t"), None).await;
        let found = answer.map_or_else(|failure| failure.code, |_| String::new());
        assert_eq!(found, code, "{host} {rest}");
    }
    // A server whose encryption is too old: `prefer` does without, `require` does not.
    let old: Vec<&str> = settings
        .into_iter()
        .chain(["--tls-version=TLSv1.1"])
        .collect();
    let database = Database::alone(&old, "CREATE TABLE t (id int)");
    assert_eq!(database.read("t").await.len(), 0);
    let url = format!("{}?sslmode=require", database.url());
    let refused = try_read(source_at(&url).as_ref(), &table("t"), None).await;
    assert_eq!(refused.unwrap_err().code, "R1004");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_longer_than_a_packet_arrive() {
    let database = Database::alone(
        &["--max-allowed-packet=64M"],
        "CREATE TABLE t (id int, b longblob); INSERT INTO t VALUES (1, repeat('x', 16777215)), (2, repeat('y', 40000000)), (3, '');
         CREATE VIEW twice AS SELECT id, b, concat(b, '') AS c FROM t",
    );
    for (name, columns) in [("t", 1), ("twice", 2)] {
        let read = database.read(name).await;
        let lengths = |column: usize| {
            use arrow_array::cast::AsArray as _;
            let arrays = read
                .batches
                .iter()
                .map(|batch| batch.column(column).as_binary::<i32>());
            let lengths = arrays.flat_map(|array| array.iter().map(|value| value.unwrap().len()));
            lengths.collect::<Vec<_>>()
        };
        for column in 1..=columns {
            assert_eq!(lengths(column), [16_777_215, 40_000_000, 0], "{name}");
        }
    }
}
