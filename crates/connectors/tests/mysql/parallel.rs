//! Tables that several connections read in ranges of their keys: every row once, whatever the keys are.

use futures::StreamExt as _;
use towpath_ports::{Assignment, Event, ReadSpec};
use towpath_testkit::mariadb::{MariadbServer, PASSWORD};

use crate::support::{Database, by_cursor, read, source_at, table};

/// A read that may use this many connections at once.
pub(crate) fn by(parallel: usize, name: &str) -> ReadSpec {
    ReadSpec {
        parallel,
        ..table(name)
    }
}

/// How many rows each piece of a read has.
async fn sizes(database: &Database, spec: &ReadSpec) -> Vec<usize> {
    let mut reader = database.source().open(spec, None).await.unwrap();
    let mut sizes = Vec::new();
    let mut splits = reader.splits();
    while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
        let mut rows = 0;
        while let Some(event) = split.events.next().await {
            if let Event::Rows(batch) = event.unwrap() {
                rows += batch.len();
            }
        }
        sizes.push(rows);
    }
    sizes
}

/// A table is read in ranges: of each row as many as one connection reads, and no range has nearly all.
async fn is_read_in_ranges(definition: &str, values: &str) {
    let database = Database::with(&format!(
        "CREATE TABLE t ({definition}); INSERT INTO t {values}"
    ));
    let whole = database.read("t").await;
    let one = read(database.source().as_ref(), &by(1, "t"), None).await;
    assert_eq!(one.splits.len(), 1, "{definition}");
    let counted = database.sql("SELECT count(*) FROM t").parse::<usize>();
    let all = one.len() + one.rejects.len();
    assert_eq!(all, counted.unwrap(), "{definition}");
    let many = read(database.source().as_ref(), &by(3, "t"), None).await;
    assert!(
        many.splits.len() > 2,
        "{definition}: {:?} {:?}",
        many.splits,
        many.notes
    );
    for read in [&whole, &many] {
        assert!(read.rows() == one.rows(), "{definition}: rows differ");
        assert_eq!(read.rejects.len(), one.rejects.len(), "{definition}");
        let mut ordinals = read.ordinals.clone();
        ordinals.sort_unstable();
        ordinals.dedup();
        assert_eq!(ordinals.len(), one.len(), "{definition}");
    }
    let sizes = sizes(&database, &by(3, "t")).await;
    let largest = sizes.iter().max().copied().unwrap_or_default();
    assert!(largest * 2 <= one.len(), "{definition}: {sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_also_negative_unsigned_and_far_apart() {
    let wanted = [
        (
            "id int PRIMARY KEY, v int",
            "SELECT CAST(seq AS signed) - 40000, seq FROM seq_1_to_60000",
        ),
        (
            "id bigint PRIMARY KEY, v int",
            "SELECT CAST(seq AS signed) - 30000, 0 FROM seq_1_to_60000 UNION ALL SELECT 9223372036854775807, 1 \
             UNION ALL SELECT -9223372036854775808, 2 UNION ALL SELECT 1 << seq, 3 FROM seq_20_to_62",
        ),
        (
            "id bigint unsigned PRIMARY KEY, v int",
            "SELECT 18446744073709551615 - CAST(seq AS unsigned), 0 FROM seq_0_to_59999 UNION ALL SELECT CAST(seq AS unsigned), 1 FROM seq_0_to_99",
        ),
        (
            "v int, id bigint PRIMARY KEY",
            "SELECT 0, seq FROM seq_1_to_30000 UNION ALL SELECT 1, 1000000000000000 + seq FROM seq_1_to_30000",
        ),
        (
            "id decimal(20,4) PRIMARY KEY, v int",
            "SELECT seq / 10000 - 3, seq FROM seq_1_to_60000",
        ),
    ];
    for (definition, values) in wanted {
        is_read_in_ranges(definition, values).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_in_the_order_of_their_collation() {
    let wanted = [
        (
            "id char(32) PRIMARY KEY, v int",
            "SELECT md5(seq), seq FROM seq_1_to_60000",
        ),
        (
            "id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v int",
            "SELECT concat(elt(1 + seq % 7, 'a', 'Z', 'z', 'ä', 'Ö', '日本', '😀'), seq), seq FROM seq_1_to_60000",
        ),
        (
            "id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY, v int",
            "SELECT concat(elt(1 + seq % 7, 'a', 'Z', 'm', 'ä', 'Ö', '日本', ''), seq, ' '), seq FROM seq_1_to_60000",
        ),
        (
            "id varchar(40) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY",
            "SELECT concat(elt(1 + seq % 4, 'a', 'Z', 'ß', 'É'), seq) FROM seq_1_to_60000",
        ),
        (
            "id varchar(40) CHARACTER SET cp932 PRIMARY KEY",
            "SELECT concat(elt(1 + seq % 4, 'a', 'ソ', '①', '表'), seq) FROM seq_1_to_60000",
        ),
        // Values that are equal for the server differ in their letters, on both sides of any cut.
        (
            "id varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, n int, PRIMARY KEY (id, n)",
            "SELECT elt(1 + seq % 6, 'anna', 'ANNA', 'Änna', 'bob', 'BOB ', 'carl'), seq FROM seq_1_to_60000",
        ),
    ];
    for (definition, values) in wanted {
        is_read_in_ranges(definition, values).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_bytes_and_keys_of_several_columns() {
    let wanted = [
        (
            "id binary(16) PRIMARY KEY",
            "SELECT unhex(md5(seq)) FROM seq_1_to_60000",
        ),
        (
            "id varbinary(20) PRIMARY KEY",
            "SELECT concat(x'00FF', unhex(left(md5(seq), 2 * (3 + seq % 9))), char(seq % 256, seq DIV 256)) FROM seq_1_to_60000",
        ),
        (
            "at datetime(6) PRIMARY KEY",
            "SELECT '2024-01-01' + INTERVAL seq * 977 MICROSECOND FROM seq_1_to_60000 UNION ALL SELECT '0000-00-00'",
        ),
        // Dates that no calendar has, the least and the largest among them.
        (
            "at datetime, n int, PRIMARY KEY (at, n)",
            "SELECT concat(2000 + seq % 20, '-', lpad(seq % 13, 2, '0'), '-', lpad(seq % 29, 2, '0'), ' 10:00:00'), seq \
             FROM seq_1_to_60000",
        ),
        (
            "day date, n int, PRIMARY KEY (day, n)",
            "SELECT concat(2000 + seq % 20, '-', lpad(seq % 13, 2, '0'), '-', lpad(seq % 3 * 5, 2, '0')), seq FROM seq_1_to_60000",
        ),
        (
            "at timestamp(6) DEFAULT '2000-01-01' PRIMARY KEY",
            "SELECT '2024-01-01' + INTERVAL seq MINUTE FROM seq_1_to_60000",
        ),
        (
            "day date, n int, PRIMARY KEY (day, n)",
            "SELECT '2024-02-28' + INTERVAL seq % 3 DAY, seq FROM seq_1_to_60000",
        ),
        (
            "tenant int, id int, v int, PRIMARY KEY (tenant, id)",
            "SELECT seq % 2, seq, 0 FROM seq_1_to_60000",
        ),
        (
            "tenant int, name char(32), id int, PRIMARY KEY (tenant, name, id)",
            "SELECT 7, if(seq % 9 = 0, 'x', md5(seq)), seq FROM seq_1_to_60000",
        ),
        (
            "id int NOT NULL, other int NOT NULL, v int, UNIQUE (id), UNIQUE (v)",
            "SELECT seq, seq, NULL FROM seq_1_to_60000",
        ),
        // The helper closes the parenthesis.
        (
            "id int PRIMARY KEY, v int) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (20000), \
             PARTITION b VALUES LESS THAN MAXVALUE",
            "SELECT seq, 0 FROM seq_1_to_60000",
        ),
    ];
    for (definition, values) in wanted {
        is_read_in_ranges(definition, values).await;
    }
}

/// What cannot be cut is read by one connection, and all of it; a large one says why.
#[tokio::test(flavor = "multi_thread")]
async fn other_tables_are_read_by_one_connection() {
    let rows = "SELECT seq, seq FROM seq_1_to_60000";
    let cases = [
        ("CREATE TABLE t (id int, v int)", "no primary key"),
        (
            "CREATE TABLE t (id int, v int, UNIQUE (id))",
            "no primary key",
        ),
        ("CREATE TABLE t (id int, v int, KEY (id))", "no primary key"),
        (
            "CREATE TABLE t (id float PRIMARY KEY, v int)",
            "no primary key",
        ),
        (
            "CREATE TABLE t (id int, v varchar(9), PRIMARY KEY (v(3), id))",
            "no primary key",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, v int) ENGINE = MyISAM",
            "has no snapshots",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING",
            "is system-versioned",
        ),
        (
            "CREATE TABLE b (id int PRIMARY KEY, v int); CREATE VIEW t AS SELECT * FROM b",
            "is a view",
        ),
    ];
    let is_mysql = MariadbServer::shared().unwrap().is_mysql();
    for (definition, reason) in cases {
        if is_mysql && definition.contains("SYSTEM VERSIONING") {
            continue;
        }
        let database = Database::with(&format!("{definition}; INSERT INTO t {rows}"));
        let all = read(database.source().as_ref(), &by(4, "t"), None).await;
        assert_eq!((all.splits.len(), all.len()), (1, 60_000), "{definition}");
        let notes = all.notes.join(" ");
        assert!(notes.contains(reason), "{definition}: {notes}");
    }
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_100",
    );
    let small = read(database.source().as_ref(), &by(4, "t"), None).await;
    assert_eq!((small.splits.len(), small.len()), (1, 100));
    assert_eq!(small.notes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_a_limit_is_one_piece_and_a_first_load_by_cursor_is_not() {
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY, c int, KEY (c)); INSERT INTO t SELECT seq, seq DIV 2 FROM seq_1_to_60000",
    );
    let limited = ReadSpec {
        limit: Some(10),
        ..by(4, "t")
    };
    let source = database.source();
    let some = read(source.as_ref(), &limited, None).await;
    assert_eq!((some.splits.len(), some.len()), (1, 10));
    let spec = ReadSpec {
        parallel: 4,
        ..by_cursor("t", "c")
    };
    let first = read(source.as_ref(), &spec, None).await;
    assert!(first.splits.len() > 2, "{:?}", first.notes);
    assert_eq!(first.numbers("id"), (1..=60_000).collect::<Vec<i64>>());
    database.sql("INSERT INTO t VALUES (-1, 30000), (-2, 30001)");
    let next = read(source.as_ref(), &spec, Some(&first.position)).await;
    assert_eq!(next.splits.len(), 1);
    assert_eq!(next.numbers("id"), [-2, -1]);
}

/// The cap counts the connection that holds the lock for a moment, too: the server would refuse one more.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_uses_no_more_connections_than_it_may() {
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_60000",
    );
    let (name, port) = (&database.name, database.server.port());
    let url = |user: &str| format!("mysql://{user}_{name}:{PASSWORD}@127.0.0.1:{port}/{name}");
    for (user, most, rights) in [
        ("three", 3, "SELECT, LOCK TABLES"),
        ("two", 2, "SELECT, LOCK TABLES"),
        ("reader", 9, "SELECT"),
    ] {
        database.sql(&format!(
            "CREATE USER {user}_{name} IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS {most}; \
             GRANT {rights} ON {name}.* TO {user}_{name}"
        ));
    }
    let limited = |connections: usize| {
        let mut plan = crate::support::plan(&url("three"));
        let limits = serde_json::json!({ "connections": connections });
        plan.options
            .insert("limits".into(), towpath_vocab::OptionValue::Plain(limits));
        let context = towpath_testkit::conformance::Ample::context(".");
        crate::support::mysql().source(&plan, &context).unwrap()
    };
    for (connections, parallel, is_cut) in
        [(1, 4, false), (2, 4, false), (3, 4, true), (4, 1, false)]
    {
        let all = read(limited(connections).as_ref(), &by(parallel, "t"), None).await;
        assert_eq!(all.numbers("id"), (1..=60_000).collect::<Vec<i64>>());
        assert_eq!(all.splits.len() > 2, is_cut, "{connections} {parallel}");
        assert_eq!(all.notes, Vec::<String>::new(), "{connections} {parallel}");
    }
    for (user, reason) in [
        // The first one, and one that could only hold the lock.
        ("two", "max_user_connections"),
        ("reader", "GRANT LOCK TABLES"),
    ] {
        let all = read(source_at(&url(user)).as_ref(), &by(4, "t"), None).await;
        assert_eq!((all.splits.len(), all.len()), (1, 60_000), "{user}");
        let notes = all.notes.join(" ");
        assert!(notes.contains(reason), "{user}: {notes}");
    }
}
