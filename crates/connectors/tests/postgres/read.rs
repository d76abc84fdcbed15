//! Whole tables: parallel ranges, parts, views, names, rights.

use towpath_vocab::{OptionValue, Remedy, Selection};

use crate::support::{Database, plan, read, read_table, source, spec, table, try_read};

const MIXED: &str = "CREATE TABLE t (id int8 PRIMARY KEY, a int4, b float8, c numeric(12,2), d text, e timestamptz, f bool, \
    g date, h uuid, i jsonb, j bytea, k int2); \
    INSERT INTO t SELECT n, n % 1000, n / 7.0, n / 100.0, 'name ' || n || repeat('x', (n % 50)::int), \
    '2024-01-01 UTC'::timestamptz + n * interval '1 second', n % 3 = 0, '2024-01-01'::date + (n % 365)::int, \
    md5(n::text)::uuid, jsonb_build_object('n', n), decode(md5(n::text), 'hex'), (n % 100)::int2 \
    FROM generate_series(1, 100000) n; \
    UPDATE t SET a = NULL, b = NULL, c = NULL, d = NULL, e = NULL, f = NULL, g = NULL, h = NULL, i = NULL, j = NULL, k = NULL WHERE id % 10 = 0;";

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_rows_in_parallel_ranges_equal_the_servers_own() {
    let database = Database::with(MIXED);
    let mut spec = table("t");
    spec.parallel = 3;
    let read = read(database.source().as_ref(), &spec, None).await;
    assert!(read.splits.len() > 2, "{:?}", read.splits);
    assert!(
        read.splits.last().unwrap().ends_with(".."),
        "the last range is open: {:?}",
        read.splits
    );
    assert_eq!(read.len(), 100_000);
    let mut ordinals = read.ordinals.clone();
    ordinals.sort_unstable();
    ordinals.dedup();
    assert_eq!(ordinals.len(), 100_000, "each row has a number of its own");

    // The same rows, printed by the server and by us, hashed column by column.
    let expected = database.sql(
        "SELECT md5(string_agg(concat_ws('|', id, a, c, coalesce(d, '-'), f::text, g, h, i, encode(j, 'hex'), k, \
         to_char(e AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), ',' ORDER BY id)) FROM t",
    );
    let mut rows: Vec<(i64, String)> = read.rows().iter().map(|row| printed(row)).collect();
    rows.sort();
    let ours = rows
        .into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(",");
    let ours = database.sql(&format!("SELECT md5($towpath${ours}$towpath$)"));
    assert_eq!(ours, expected);
    let sum: f64 = read
        .column("b")
        .iter()
        .flatten()
        .map(|b| b.parse::<f64>().unwrap())
        .sum();
    let theirs: f64 = database.sql("SELECT sum(b) FROM t").parse().unwrap();
    assert!((sum - theirs).abs() < 1e-3 * theirs.abs());
}

fn printed(row: &str) -> (i64, String) {
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    let cells: Vec<String> = ["id", "a", "c", "d", "f", "g", "h", "i", "j", "k", "e"]
        .iter()
        .filter_map(|name| match row[*name].as_str() {
            None if *name == "d" => Some("-".to_owned()),
            other => other.map(str::to_owned),
        })
        .collect();
    (
        row["id"].as_str().unwrap().parse().unwrap(),
        cells.join("|"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ranges_see_one_moment() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 500) AS pad FROM generate_series(1, 60000) n",
    );
    let source = database.source();
    let mut spec = table("t");
    spec.parallel = 2;
    let mut reader = source.open(&spec, None).await.unwrap();
    database.sql("UPDATE t SET id = id + 1000000; INSERT INTO t SELECT n, '' FROM generate_series(1, 5000) n; DELETE FROM t WHERE id % 2 = 0;");
    let splits: Vec<_> = futures::StreamExt::collect::<Vec<_>>(reader.splits()).await;
    let mut ids = Vec::new();
    for assignment in splits {
        if let towpath_ports::Assignment::Assigned(mut split) = assignment.unwrap() {
            while let Some(event) = futures::StreamExt::next(&mut split.events).await {
                if let towpath_ports::Event::Rows(rows) = event.unwrap() {
                    let column = arrow_array::cast::AsArray::as_primitive::<
                        arrow_array::types::Int32Type,
                    >(rows.batch.column(0));
                    ids.extend(column.values().iter().copied());
                }
            }
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=60_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_inheritance_views_and_queries_are_read_whole() {
    let database = Database::with(
        "CREATE TABLE p (id int, k text) PARTITION BY LIST (k);
         CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a'); CREATE TABLE p_b (k text, id int);
         ALTER TABLE p ATTACH PARTITION p_b FOR VALUES IN ('b');
         INSERT INTO p SELECT n, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) n;
         CREATE TABLE base (id int); CREATE TABLE sub (more text) INHERITS (base);
         INSERT INTO base VALUES (1), (2); INSERT INTO sub VALUES (3, 'x');
         CREATE VIEW v AS SELECT id FROM p WHERE id <= 10;
         CREATE MATERIALIZED VIEW m AS SELECT id FROM p WHERE id > 90;",
    );
    let parts = read_table(&database, "p").await;
    assert_eq!(parts.numbers("id"), (1..=100).collect::<Vec<_>>());
    assert_eq!(parts.splits, ["public.p_a", "public.p_b"]);
    assert_eq!(read_table(&database, "base").await.numbers("id"), [1, 2, 3]);
    let view = read_table(&database, "v").await;
    assert_eq!(view.numbers("id"), (1..=10).collect::<Vec<_>>());
    assert!(view.notes.iter().any(|note| note.contains("is a view")));
    assert_eq!(
        read_table(&database, "m").await.numbers("id"),
        (91..=100).collect::<Vec<_>>()
    );
    let query = spec(Selection::Query(
        "SELECT id * 2 AS twice, k FROM p WHERE id < 4; -- all".replace("; -- all", ";"),
    ));
    let query = read(database.source().as_ref(), &query, None).await;
    assert_eq!(query.numbers("twice"), [2, 4, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_and_any_shape() {
    let database = Database::with(
        r#"CREATE SCHEMA "Größe x"; CREATE TABLE "Größe x"."we""ird.t" ("a b" int, "ä""q" text, "select" int);
           INSERT INTO "Größe x"."we""ird.t" VALUES (1, 'x', 2); CREATE TABLE empty (id int); CREATE TABLE "Mixed" (id int);"#,
    );
    let mut plan = database.plan();
    plan.options
        .insert("schema".into(), OptionValue::Plain("Größe x".into()));
    let weird = read(source(&plan).as_ref(), &table("we\"ird.t"), None).await;
    assert_eq!(weird.rows(), [r#"{"a b":"1","ä\"q":"x","select":"2"}"#]);
    let empty = read_table(&database, "empty").await;
    assert_eq!((empty.len(), empty.schema.unwrap().fields().len()), (0, 1));
    assert_eq!(
        read_table(&database, "mixed").await.len(),
        0,
        "case is ignored when only one table is meant"
    );
    let mut some = table("\"Größe x\".\"we\"\"ird.t\"");
    some.projection = Some(vec!["select".into()]);
    some.limit = Some(1);
    assert_eq!(
        read(database.source().as_ref(), &some, None).await.rows(),
        [r#"{"select":"2"}"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_keep_to_rows_and_bytes() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 3000) n",
    );
    let mut spec = table("t");
    (spec.batch_rows, spec.batch_bytes) = (1_000_000, 200_000);
    let read_small = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(read_small.len(), 3000);
    assert!(
        read_small
            .batches
            .iter()
            .all(|batch| batch.num_rows() < 210)
    );
    (spec.batch_rows, spec.batch_bytes) = (7, 8 << 20);
    let read = read(database.source().as_ref(), &spec, None).await;
    assert!(read.batches.iter().all(|batch| batch.num_rows() <= 7));
    assert_eq!(read.rows(), read_small.rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_with_a_way_out_and_without_secrets() {
    let database = Database::with(
        "CREATE TABLE orders (id int, updated_at timestamptz, u uuid); CREATE SCHEMA s; CREATE TABLE s.other ();",
    );
    let failure = try_read(database.source().as_ref(), &table("ordres"), None)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0210", Remedy::FixConfig)
    );
    assert_eq!(
        (failure.message.as_str(), failure.help[0].as_str()),
        ("there is no table `ordres`", "did you mean `orders`?")
    );
    let failure = try_read(database.source().as_ref(), &table("other"), None)
        .await
        .unwrap_err();
    assert_eq!(failure.help, ["did you mean `s.other`?"]);
    let failure = try_read(database.source().as_ref(), &table("s.other"), None)
        .await
        .unwrap_err();
    assert_eq!(failure.message, "`s.other` has no column that can be read");
    let mut spec_ = table("orders");
    spec_.projection = Some(vec!["idd".into()]);
    let failure = try_read(database.source().as_ref(), &spec_, None)
        .await
        .unwrap_err();
    assert_eq!(failure.help, ["did you mean `id`?"]);
    let failure = try_read(
        database.source().as_ref(),
        &crate::support::by_cursor("orders", "u"),
        None,
    )
    .await
    .unwrap_err();
    assert!(
        failure
            .message
            .contains("`u` (uuid) of `public.orders` cannot be a cursor"),
        "{}",
        failure.message
    );
    let wrong = spec(Selection::Query("SELECT * FROM nowhere".into()));
    let failure = try_read(database.source().as_ref(), &wrong, None)
        .await
        .unwrap_err();
    assert!(
        failure.message.contains("\"nowhere\" does not exist"),
        "{}",
        failure.message
    );
    let changes = spec(Selection::Query("DELETE FROM orders RETURNING id".into()));
    assert!(
        try_read(database.source().as_ref(), &changes, None)
            .await
            .is_err(),
        "a query cannot write"
    );
    let twice = spec(Selection::Query("SELECT 1 AS a, 2 AS a".into()));
    assert_eq!(
        try_read(database.source().as_ref(), &twice, None)
            .await
            .unwrap_err()
            .message,
        "`the query` has two columns named `a`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_mistakes_hold_no_secret() {
    let database = Database::new();
    let port = database.server.port();
    let secret = "hunter2-very-secret";
    let urls = [
        (
            format!("postgres://towpath:{secret}@127.0.0.1:{port}/postgres"),
            "R0203",
        ),
        (
            format!("postgres://towpath:{secret}@127.0.0.1:1/postgres"),
            "R0202",
        ),
        (
            format!("postgres://towpath:{secret}@127.0.0.1:{port}/postgres?sslmode=nonsense"),
            "R0201",
        ),
        (
            format!("postgres://towpath:{secret}@127.0.0.1:{port}/postgres?{secret}=1"),
            "R0201",
        ),
        (
            format!("mysql://towpath:{secret}@127.0.0.1:{port}/postgres"),
            "R0201",
        ),
        (format!("{secret} is no url"), "R0201"),
        (
            format!("postgres://towpath:{secret}@127.0.0.1:{port}/postgres?sslmode=require"),
            "R0205",
        ),
    ];
    for (url, code) in urls {
        let failure = try_read(source(&plan(&url)).as_ref(), &table("t"), None)
            .await
            .unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
    let url = database.server.url("no_such_database");
    let failure = try_read(source(&plan(&url)).as_ref(), &table("t"), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0203");
    assert!(failure.message.contains("no_such_database"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_respected_and_missing_ones_named() {
    let database = Database::with(
        "CREATE TABLE hidden (id int); CREATE TABLE partly (id int, secret text); INSERT INTO partly VALUES (1, 'x');
         CREATE TABLE guarded (id int, owner text); INSERT INTO guarded VALUES (1, 'a'), (2, 'b');
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON guarded USING (owner = 'a');
         CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p VALUES (1);",
    );
    let user = format!("reader_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'reader'; GRANT SELECT (id) ON partly TO {user}; GRANT SELECT ON guarded, p TO {user};"
    ));
    let url = format!(
        "postgres://{user}:reader@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let source = source(&plan(&url));
    let failure = try_read(source.as_ref(), &table("hidden"), None)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        (
            "R0212",
            "no permission to read `public.hidden`: permission denied"
        )
    );
    assert_eq!(
        read(source.as_ref(), &table("partly"), None).await.rows(),
        [r#"{"id":"1"}"#]
    );
    assert_eq!(
        read(source.as_ref(), &table("guarded"), None)
            .await
            .numbers("id"),
        [1]
    );
    let parts = read(source.as_ref(), &table("p"), None).await;
    assert_eq!(
        (parts.len(), parts.splits.len()),
        (1, 1),
        "{:?}",
        parts.notes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_and_few_are_no_failure() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 500) AS pad FROM generate_series(1, 60000) n",
    );
    let mut plan = database.plan();
    plan.options.insert(
        "limits".into(),
        OptionValue::Plain(serde_json::json!({ "connections": 1 })),
    );
    let mut spec = table("t");
    spec.parallel = 8;
    assert_eq!(
        read(source(&plan).as_ref(), &spec, None).await.len(),
        60_000
    );

    let user = format!("few_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'few' CONNECTION LIMIT 2; GRANT SELECT ON t TO {user};"
    ));
    let url = format!(
        "postgres://{user}:few@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let mut few = crate::support::plan(&url);
    few.options.insert(
        "limits".into(),
        OptionValue::Plain(serde_json::json!({ "connections": 8 })),
    );
    let read = read(source(&few).as_ref(), &spec, None).await;
    assert_eq!(read.len(), 60_000);
    assert!(read.splits.len() > 2);
}
