//! The example `examples/shop` with a real PostgreSQL: loaded, modelled and published; then changed,
//! broken, corrected and searched for secrets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use towpath_testkit::postgres::{PASSWORD, PostgresServer};

const MASK_KEY: &str = "the-key-nobody-may-see";
const SCORES: &str = "shop_back.customer_scores";

/// A copy of the example beside a database of its own.
struct Shop {
    server: Arc<PostgresServer>,
    database: String,
    _folder: tempfile::TempDir,
    dir: PathBuf,
}

impl Shop {
    fn open() -> Self {
        let server = PostgresServer::shared().unwrap();
        let database = server.new_database().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("shop");
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop"),
            &dir,
        );
        let seed = std::fs::read_to_string(dir.join("seed.sql")).unwrap();
        server.psql(&database, &seed).unwrap();
        Self {
            server,
            database,
            _folder: folder,
            dir,
        }
    }

    fn towpath(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(arguments)
            .current_dir(&self.dir)
            .env("SHOP_DB_URL", self.server.url(&self.database))
            .env("SHOP_MASK_KEY", MASK_KEY)
            .output()
            .unwrap()
    }

    /// Standard output of a command that ends with this code. No secret is in what it says.
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.towpath(arguments);
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        let all = format!("{arguments:?}\n{said}\n{complained}");
        assert_eq!(output.status.code(), Some(code), "{all}");
        assert!(!all.contains(PASSWORD) && !all.contains(MASK_KEY), "{all}");
        said
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.says(0, arguments)
    }

    /// Runs the pipeline; what it says of its tables.
    fn run(&self, arguments: &[&str]) -> Report {
        let arguments = [&["run", "--format", "json"], arguments].concat();
        Report(serde_json::from_str(&self.ok(&arguments)).unwrap())
    }

    fn lake(&self, sql: &str) -> Value {
        serde_json::from_str(&self.ok(&["query", "--format", "json", sql])).unwrap()
    }

    fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.sql(sql).parse().unwrap()
    }

    /// Every published row with the transaction that wrote it: what was rewritten shows.
    fn published(&self) -> std::collections::BTreeMap<i64, String> {
        let sql =
            "select customer_id || '|' || xmin || '|' || s::text from insights.customer_scores s";
        let rows = self.sql(sql);
        rows.lines()
            .map(|row| {
                let (id, rest) = row.split_once('|').unwrap();
                (id.parse().unwrap(), rest.to_owned())
            })
            .collect()
    }

    fn commits(&self) -> i64 {
        let xmins = "select xmin::text::bigint from insights._towpath_commits";
        self.number(xmins)
    }

    /// What the target holds is what the lakehouse holds.
    fn assert_in_step(&self) {
        let row = "customer_id || '/' || account || '/' || email || '/' || coalesce(phone, '-') || '/' || region \
                   || '/' || orders || '/' || revenue || '/' || segment || '/' || discount_percent";
        let there = self.sql(&format!(
            "select {row} from insights.customer_scores order by customer_id"
        ));
        let columns = "customer_id, account, email, coalesce(phone, '-') as phone, region, orders, revenue, segment, \
                       discount_percent";
        let here = self.lake(&format!(
            "select {columns} from marts.customer_scores order by customer_id"
        ));
        let here: Vec<String> = here
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let names = columns.replace("coalesce(phone, '-') as phone", "phone");
                let values = names.split(", ").map(|name| match &row[name.trim()] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                values.collect::<Vec<_>>().join("/")
            })
            .collect();
        assert_eq!(there.lines().collect::<Vec<_>>(), here);
    }

    /// A session that stays open, for a transaction that commits late.
    fn session(&self) -> Session {
        let mut child = Command::new(self.server.programs().join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.server.url(&self.database))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Session { child, answers }
    }
}

/// One `psql`, line by line.
struct Session {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Session {
    /// Runs SQL and waits until it is done.
    fn does(&mut self, sql: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{sql};\n\\echo done").unwrap();
        input.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), "done", "{sql}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A customer who moves has two versions, and each order belongs to the one of its time.
#[test]
fn every_version_of_a_customer_is_kept() {
    let shop = Shop::open();
    shop.run(&[]);
    let versions = |id: i64| {
        shop.lake(&format!(
            "select country, region, valid_to is null as is_open, is_current from marts.customer_dimension \
             where customer_id = {id} order by valid_from"
        ))
    };
    assert_eq!(versions(7).as_array().unwrap().len(), 1);
    let before = versions(7)[0]["country"].clone();
    let country = if before == "FR" { "NL" } else { "FR" };
    // A phone number makes no version.
    shop.sql(&format!(
        "update customers set country = '{country}', updated_at = now() where customer_id = 7; \
         update customers set phone = '+49 1', updated_at = now() where customer_id = 8"
    ));
    let report = shop.run(&[]);
    assert_eq!(report.changed("history.customers")[1], 1);
    let moved = versions(7);
    assert_eq!(moved.as_array().unwrap().len(), 2, "{moved}");
    let flags = |at: usize| {
        (
            moved[at]["is_open"].clone(),
            moved[at]["is_current"].clone(),
        )
    };
    assert_eq!(moved[1]["country"], country);
    assert_eq!(flags(0), (json!(false), json!(false)));
    assert_eq!(flags(1), (json!(true), json!(true)));
    assert_eq!(versions(8).as_array().unwrap().len(), 1);
    // A flood of customers without an address stops the load, and the history stays.
    shop.sql("update customers set email = null, updated_at = now() where customer_id < 200");
    let said = shop.says(3, &["run"]);
    assert!(said.contains("history.customers"), "{said}");
    assert_eq!(versions(7), moved);
}

/// What a run says.
struct Report(Value);

impl Report {
    /// What it says of a table, if it did anything there.
    fn of(&self, table: &str) -> Option<&Value> {
        let tables = self.0["tables"].as_array().unwrap();
        tables.iter().find(|line| line["table"] == table)
    }

    fn table(&self, table: &str) -> &Value {
        self.of(table)
            .unwrap_or_else(|| panic!("nothing of {table}: {:#}", self.0))
    }

    /// Inserted, updated, deleted.
    fn changed(&self, table: &str) -> [u64; 3] {
        let stats = &self.table(table)["receipt"]["committed"]["stats"];
        ["inserted", "updated", "deleted"].map(|what| stats[what].as_u64().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["lake", ".towpath"].iter().any(|own| name == *own) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn customers_are_cleaned_and_scored_and_their_scores_come_back() {
    let shop = Shop::open();
    assert!(shop.ok(&["plan"]).contains("sends only what changed"));
    let first = shop.ok(&["run"]);
    for line in [
        "shop#1 · shop · dev",
        "✓ extract   shop_db → raw",
        "✓ back      marts → shop_back",
        "2 rows rejected: email is null, the rule says a value is required",
        "customer211 at example.com",
    ] {
        assert!(first.contains(line), "missing: {line}\n{first}");
    }
    let cleaned = "select customer_id, email, phone, length(tax_id) as tax_id from raw.customers \
                   where customer_id in (1, 20, 25, 30) order by customer_id";
    assert_eq!(
        shop.lake(cleaned),
        json!([
            { "customer_id": 1, "email": "customer1@example.com", "phone": "00431500011", "tax_id": null },
            { "customer_id": 20, "email": "customer20@example.com", "phone": "+490301000740", "tax_id": null },
            { "customer_id": 25, "email": "customer25@example.com", "phone": null, "tax_id": null },
            { "customer_id": 30, "email": "customer30@example.com", "phone": "+33100237570", "tax_id": 64 },
        ])
    );
    assert_eq!(
        shop.lake("select count(*) as n from raw.customers"),
        json!([{ "n": 498 }])
    );
    assert_eq!(
        shop.lake("select count(*) as n from raw.orders")[0]["n"],
        shop.number("select count(*) from orders")
    );
    shop.assert_in_step();
    // The shop's own arithmetic over its own rows.
    let differing = "select count(*) from (
            select customer_id, count(o) as orders,
                coalesce(sum(case when status = 'returned' then 0 else total end), 0) as revenue
            from customers left join orders o using (customer_id)
            where email is not null and closed_at is null group by customer_id
        ) own full join insights.customer_scores s using (customer_id)
        where (own.orders, own.revenue) is distinct from (s.orders, s.revenue)";
    assert_eq!(shop.number(differing), 0);
    let segments = "select segment from insights.customer_scores group by segment order by segment";
    assert_eq!(shop.sql(segments), "occasional\nprospect\nregular\nvip");
    let types = "select string_agg(format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute \
                 where attrelid = 'insights.customer_scores'::regclass and attname in ('account', 'revenue')";
    assert_eq!(shop.sql(types), "uuid, numeric(14,2)");
}

#[test]
fn a_second_run_reads_nothing_twice_and_sends_nothing() {
    let shop = Shop::open();
    shop.run(&[]);
    let (rows, commits) = (shop.published(), shop.commits());
    for _ in 0..2 {
        let again = shop.run(&[]);
        for table in ["raw.customers", "raw.orders"] {
            // Reported only where the server's transactions moved the place that is kept.
            let read = again
                .of(table)
                .map_or(0, |table| table["rows_read"].as_u64().unwrap());
            assert_eq!(read, 0, "{table}");
        }
        assert!(again.of(SCORES).is_none(), "{:#}", again.0);
        assert_eq!(again.0["unchanged"]["publishes"], 1);
    }
    // What is in the state store is not needed for it.
    std::fs::remove_dir_all(shop.dir.join(".towpath")).unwrap();
    let forgotten = shop.run(&[]);
    assert!(forgotten.of(SCORES).is_none(), "{:#}", forgotten.0);
    assert_eq!((shop.published(), shop.commits()), (rows, commits));
}

#[test]
fn only_what_changed_travels_late_commits_included() {
    let shop = Shop::open();
    let mut late = shop.session();
    late.does("begin");
    // Older than anything the first run reads, and still open while it reads.
    late.does(
        "insert into customers select 9001, md5('late')::uuid, 'Late', ' LATE@example.com', null, null, 'DE', \
         created_at, null, '2025-12-31' from customers where customer_id = 1",
    );
    late.does(
        "insert into orders select 9001, 9001, 'paid', 2000, updated_at, updated_at - interval '1 day' \
         from orders order by updated_at desc limit 1",
    );
    shop.run(&[]);
    let before = shop.published();
    assert!(!before.contains_key(&9001));
    late.does("commit");

    // One address, one order more, one who leaves; and a change that no score shows.
    let touched =
        "select updated_at + interval '1 hour' from customers order by updated_at desc limit 1";
    shop.sql(&format!(
        "update customers set email = 'Seven@Example.com ', updated_at = ({touched}) where customer_id = 7;
         update customers set closed_at = ({touched}), updated_at = ({touched}) where customer_id = 8;
         update customers set name = 'Somebody Else', updated_at = ({touched}) where customer_id = 9;
         insert into orders select 9002, 12, 'paid', 5000, updated_at, updated_at from orders
         order by updated_at desc limit 1"
    ));
    let second = shop.run(&[]);
    assert_eq!(second.changed("raw.customers"), [1, 3, 0]);
    assert_eq!(second.changed("raw.orders"), [2, 0, 0]);
    assert_eq!(second.table(SCORES)["rows_read"], 4);
    assert_eq!(second.changed(SCORES), [1, 2, 1]);
    let after = shop.published();
    assert!(!after.contains_key(&8));
    assert_eq!(
        shop.sql(
            "select email, orders, segment from insights.customer_scores where customer_id = 9001"
        ),
        "late@example.com|1|occasional"
    );
    for (id, row) in &before {
        match id {
            7 | 12 => assert_ne!(Some(row), after.get(id), "{id}"),
            8 => {}
            _ => assert_eq!(Some(row), after.get(id), "{id} was rewritten"),
        }
    }
    shop.assert_in_step();
}

#[test]
fn a_bad_load_is_stopped_and_the_old_version_stays() {
    let shop = Shop::open();
    shop.run(&[]);
    let orders = "select count(*) as n, max(order_id) as last from raw.orders";
    let (in_lake, in_shop) = (shop.lake(orders), shop.published());
    shop.sql(
        "insert into orders select 9100 + n, case when n = 2 then 4711 else 12 end, 'paid', 3000, updated_at, \
         updated_at from generate_series(1, 3) n, (select max(updated_at) as updated_at from orders) as newest",
    );
    let said = shop.says(3, &["run"]);
    for words in [
        "`raw.orders` was not committed: 1 row with a `customer_id` that is not in `raw.customers`: 4711",
        "nothing of this load is visible; readers still see the previous version",
        "check `relationships_orders_customer_id` found 1, its limit: at most 0 rows",
        "look: towpath quality raw.orders",
        "to continue: correct the data and run again",
    ] {
        assert!(said.contains(words), "missing: {words}\n{said}");
    }
    assert_eq!(shop.lake(orders), in_lake);
    assert_eq!(shop.published(), in_shop);

    // An empty reference table would empty every join behind it.
    shop.sql("delete from orders where order_id = 9102; create table kept as table ref_countries; truncate ref_countries");
    let said = shop.says(3, &["run"]);
    for words in [
        "`raw.ref_countries` was not committed: the table would hold 0 rows",
        "check `row_count_ref_countries` found 0, its limit: at least 1 rows",
    ] {
        assert!(said.contains(words), "missing: {words}\n{said}");
    }
    assert_eq!(
        shop.lake("select count(*) as n from raw.ref_countries"),
        json!([{ "n": 7 }])
    );
    assert_eq!(shop.published(), in_shop);

    shop.sql("insert into ref_countries table kept");
    let mended = shop.run(&[]);
    // The two good orders of the stopped batch are not lost.
    assert_eq!(mended.changed("raw.orders"), [2, 0, 0]);
    assert_eq!(mended.changed(SCORES), [0, 1, 0]);
    shop.assert_in_step();
}

#[test]
fn what_cannot_be_compared_is_sent_whole_and_what_is_gone_is_deleted() {
    let shop = Shop::open();
    shop.run(&[]);
    // A dropped target is filled again, not only with what changes next.
    shop.sql("drop table insights.customer_scores");
    shop.run(&[]);
    shop.assert_in_step();

    // A hard delete is seen by reading everything; somebody else's row stays.
    shop.sql(
        "delete from orders where customer_id = 12; delete from customers where customer_id = 12;
         insert into insights.customer_scores (customer_id, segment) values (-1, 'theirs')",
    );
    let anew = shop.run(&["--full-refresh"]);
    let [inserted, updated, deleted] = anew.changed(SCORES);
    assert_eq!((inserted, deleted), (0, 1));
    assert!(updated > 400, "{updated}");
    assert_eq!(
        shop.sql("delete from insights.customer_scores where customer_id = -1 returning segment"),
        "theirs"
    );
    shop.assert_in_step();

    // The version that was sent is gone from the lakehouse.
    shop.sql(
        "update customers set email = 'new@example.com', updated_at = updated_at + interval '1 year' \
         where customer_id = 7",
    );
    let table = shop.dir.join("lake/marts/customer_scores");
    for file in std::fs::read_dir(&table).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let whole = shop.ok(&["run"]);
    let notes = whole.matches("all rows were sent, not only the changes");
    assert_eq!(notes.count(), 1, "{whole}");
    shop.assert_in_step();
}

#[test]
fn scores_lead_back_to_the_shop_and_secrets_lead_nowhere() {
    let shop = Shop::open();
    shop.run(&[]);
    let lineage = shop.ok(&["lineage", SCORES, "--up", "--format", "json"]);
    let lineage: Value = serde_json::from_str(&lineage).unwrap();
    let origins = |column: &str| lineage["origins"][column].clone();
    assert_eq!(origins("email"), json!(["shop_db:customers.email"]));
    assert_eq!(origins("phone"), json!(["shop_db:customers.phone"]));
    assert_eq!(origins("region"), json!(["shop_db:ref_countries.region"]));
    assert_eq!(
        origins("discount_percent"),
        json!(["shop_db:ref_segments.discount_percent"])
    );
    assert!(
        origins("revenue")
            .as_array()
            .unwrap()
            .contains(&json!("shop_db:orders.total"))
    );
    for column in lineage["origins"].as_object().unwrap().values() {
        for origin in column.as_array().unwrap() {
            assert!(origin.as_str().unwrap().starts_with("shop_db:"), "{origin}");
        }
    }

    let mut looked_at = 0;
    let places = [shop.dir.join(".towpath"), shop.dir.join("lake")];
    for place in &places {
        search(place, &[PASSWORD, MASK_KEY, "TAX-700"], &mut looked_at);
    }
    assert!(looked_at > 20, "{looked_at}");
    // The search itself can find something.
    let mut planted = 0;
    let found = std::panic::catch_unwind(move || {
        search(&shop.dir.join("lake"), &["customer_scores"], &mut planted);
    });
    assert!(found.is_err());
}

/// Fails when a file in this folder holds one of these words.
fn search(folder: &Path, words: &[&str], looked_at: &mut u32) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, words, looked_at);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for word in words {
            let holds = bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes());
            assert!(!holds, "{} holds `{word}`", path.display());
        }
        *looked_at += 1;
    }
}
