//! Real taps and targets from PyPI, which `make setup` installs: `tap-postgres` and `target-csv` of the
//! Meltano SDK. `examples/singer` has `tap-dbf`.

use towpath_testkit::postgres::PostgresServer;
use towpath_testkit::singer;

use crate::test_project::{TestProject, has};

const ORDERS: &str = "
create table orders (
    id bigint primary key,
    customer text,
    amount numeric(12,2),
    share double precision,
    paid boolean,
    day date,
    changed timestamptz not null,
    lines jsonb
);
insert into orders values
    (1, 'Ada', 1234567890.12, 0.30000000000000004, true, '2026-01-31', '2026-02-01 10:00:00.123456+01', '[{\"n\": 1}]'),
    (2, null, null, null, null, null, '2026-02-02 10:00:00+00', null),
    (9007199254740993, 'Größe \"7\"', -0.01, -1e300, false, '1999-12-31', '2026-02-03 10:00:00+00', '{}');
";

const PIPELINE: &str = "steps:
  extract:
    load: shop
    into: raw
    tables:
      orders:
        from: public-orders
        mode: incremental
        write: merge
        key: id
        replication_key: changed
        columns: { amount: \"decimal(12,2)\" }
  send:
    publish: raw
    into: out
    tables: { orders: { write: append } }
";

fn project(url: &str) -> TestProject {
    let taps = singer::programs("tap-postgres").unwrap();
    let targets = singer::programs("target-csv").unwrap();
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000006
lakehouse: ./lake
connections:
  shop:
    type: singer
    command: [{}/tap-postgres]
    config: {{ sqlalchemy_url: \"${{secret:SHOP_DB_URL}}\", filter_schemas: [public] }}
  out:
    type: singer
    command: [{}/target-csv]
    writable: true
    config: {{ output_path_prefix: \"sent/\" }}
",
            taps.display(),
            targets.display(),
        ),
    );
    desk.write("pipelines/p.yml", PIPELINE);
    std::fs::create_dir(desk.path("sent")).unwrap();
    // The name that SQLAlchemy knows.
    desk.set(
        "SHOP_DB_URL",
        &url.replacen("postgres://", "postgresql://", 1),
    );
    desk
}

fn orders(desk: &TestProject) -> Vec<serde_json::Value> {
    let sql = "select id, customer, amount::varchar amount, share, paid, day::varchar as of_day, changed::varchar changed, lines from raw.orders order by id";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    rows.as_array().unwrap().clone()
}

#[test]
fn rows_go_from_a_real_tap_to_a_real_target() {
    let server = PostgresServer::shared().unwrap();
    let database = server.new_database().unwrap();
    server.psql(&database, ORDERS).unwrap();
    let desk = project(&server.url(&database));
    let first = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(first["tables"][0]["rows_loaded"], 3, "{first}");
    let rows = orders(&desk);
    let shown: Vec<String> = rows.iter().map(ToString::to_string).collect();
    has(
        &shown[0],
        &[
            "1234567890.12",
            "0.30000000000000004",
            "2026-01-31",
            "2026-02-01 09:00:00.123456",
        ],
    );
    has(
        &shown[2],
        &[
            "9007199254740993",
            "Größe",
            "-0.01",
            "-1e+300",
            "1999-12-31",
        ],
    );
    assert!(rows[1]["amount"].is_null() && rows[1]["customer"].is_null());
    let sent = desk.read("sent/orders.csv");
    assert_eq!(sent.lines().count(), 4, "{sent}");
    has(&sent, &["1234567890.12", "9007199254740993"]);
    // The tap goes on at its state, and gives the last record again.
    server
        .psql(
            &database,
            "update orders set customer = 'Grace', changed = '2026-03-01' where id = 2;
             insert into orders (id, customer, changed) values (4, 'new', '2026-03-02');",
        )
        .unwrap();
    let second = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(second["tables"][0]["rows_loaded"], 3, "{second}");
    let rows = orders(&desk);
    assert_eq!((rows.len(), &rows[1]["customer"]), (4, &"Grace".into()));
    assert!(!desk.everything(".towpath").contains("postgresql://"));
}
