//! Ways to a server: encrypted, through a replica.

use towpath_testkit::postgres::{PASSWORD, PostgresServer, USER};
use towpath_vocab::{Remedy, TableName, WriteMode};

use crate::support::{
    by_cursor, context, destination, intent, plan, postgres, read, source, table, try_read,
};

/// Asks again until the server says so; the server's own answers are the clock.
fn until(server: &PostgresServer, question: &str, answer: &str) {
    let said = (0..500).any(|_| server.psql("postgres", question).unwrap() == answer);
    assert!(said, "`{question}` never was `{answer}`");
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_is_honoured() {
    let server = PostgresServer::start().unwrap();
    // Made by the server's own user in its data folder, as its key must belong to it.
    let make = "openssl req -new -x509 -days 30 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                -keyout server.key -out server.crt 2>/dev/null && chmod 600 server.key";
    server
        .psql("postgres", &format!("COPY (SELECT 1) TO PROGRAM '{make}'"))
        .unwrap();
    server
        .psql("postgres", "ALTER SYSTEM SET ssl = on")
        .unwrap();
    server
        .psql(
            "postgres",
            "SELECT pg_reload_conf(); CREATE TABLE t AS SELECT 1 AS id",
        )
        .unwrap();
    until(&server, "SHOW ssl", "on");
    let root = format!(
        "{}/server.crt",
        server.psql("postgres", "SHOW data_directory").unwrap()
    );
    let port = server.port();
    let url = |host: &str, options: &str| {
        format!("postgres://{USER}:{PASSWORD}@{host}:{port}/postgres?{options}")
    };
    let encrypted = "SELECT CASE WHEN ssl THEN 1 ELSE 0 END AS id FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let query = crate::support::spec(towpath_vocab::Selection::Query(encrypted.into()));
    for (host, options, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), Some(0)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Some(1)),
        ("127.0.0.1", "sslmode=require".to_owned(), Some(1)),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={root}"),
            Some(1),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={root}"),
            Some(1),
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={root}"),
            None,
        ),
        ("localhost", "sslmode=verify-full".to_owned(), None),
        (
            "localhost",
            "sslmode=verify-ca&sslrootcert=/nowhere.pem".to_owned(),
            None,
        ),
    ] {
        let outcome = try_read(source(&plan(&url(host, &options))).as_ref(), &query, None).await;
        match (expected, outcome) {
            (Some(expected), Ok(read)) => assert_eq!(read.numbers("id"), [expected], "{options}"),
            (None, Err(failure)) => {
                assert_eq!(
                    (failure.code.as_str(), failure.remedy),
                    ("R0205", Remedy::FixConfig),
                    "{options}: {failure:?}"
                );
                assert!(!format!("{failure:?}").contains(PASSWORD));
            }
            (_, outcome) => panic!("{host} {options}: {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_in_parallel_and_refuses_writes() {
    let primary = PostgresServer::start().unwrap();
    let big = "CREATE TABLE t AS SELECT n AS id, now() AS at, repeat('x', 500) AS pad FROM generate_series(1, 60000) n";
    primary.psql("postgres", big).unwrap();
    let replica = primary.standby().unwrap();
    let plan = plan(&replica.url("postgres"));
    let source = source(&plan);
    let first = read(source.as_ref(), &by_cursor("t", "at"), None).await;
    assert_eq!(first.len(), 60_000);
    assert!(
        first.splits.len() > 2,
        "ranges share a snapshot on a replica, too"
    );
    assert!(
        first.notes.iter().any(|note| note.contains("replica")),
        "{:?}",
        first.notes
    );
    primary
        .psql("postgres", "INSERT INTO t VALUES (0, '2000-01-01', '')")
        .unwrap();
    until(&replica, "SELECT count(*) FROM t", "60001");
    let second = read(
        source.as_ref(),
        &by_cursor("t", "at"),
        Some(&first.position),
    )
    .await;
    assert_eq!(second.numbers("id"), [0]);
    let report = postgres()
        .discover(&plan, &context())
        .unwrap()
        .test()
        .await
        .unwrap();
    assert!(
        report.notes.iter().any(|note| note.contains("replica")),
        "{:?}",
        report.notes
    );
    let target = TableName::new("public", "u");
    let schema = read(source.as_ref(), &table("t"), None)
        .await
        .schema
        .unwrap();
    let failure = destination(&plan)
        .begin(intent(&target, schema, WriteMode::Append, &[], 1))
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.help[0].as_str()),
        ("R0219", "point the `url` at the primary")
    );
}
