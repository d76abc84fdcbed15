//! Several connections on one table while others change it, and when some of them break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use towpath_ports::{Assignment, BoxStream, Event, Memory, Reader, ReservedMemory};
use towpath_testkit::conformance::Ample;
use towpath_vocab::Remedy;

use crate::parallel::by;
use crate::support::{Database, mysql, plan, read};

const MANY: &str = "CREATE TABLE t (id bigint PRIMARY KEY, v bigint, pad varchar(2000)); \
     INSERT INTO t SELECT seq, 1, repeat('x', 1000) FROM seq_1_to_60000";
const SOON: Duration = Duration::from_secs(60);

type Events = BoxStream<towpath_ports::Result<Event>>;

/// All pieces of a read, of which nothing was taken.
async fn opened(database: &Database) -> (Box<dyn Reader>, Vec<Events>) {
    let mut spec = by(4, "t");
    spec.batch_rows = 100;
    let mut reader = database.source().open(&spec, None).await.unwrap();
    let splits = reader
        .splits()
        .filter_map(async |assignment| match assignment {
            Ok(Assignment::Assigned(split)) => Some(split.events),
            _ => None,
        });
    let splits: Vec<Events> = splits.collect().await;
    assert!(splits.len() > 2, "{:?}", reader.notes());
    (reader, splits)
}

async fn rows(splits: Vec<Events>) -> Result<usize, towpath_vocab::Failure> {
    let mut all = futures::stream::select_all(splits);
    let mut rows = 0;
    while let Some(event) = all.next().await {
        if let Event::Rows(batch) = event? {
            rows += batch.len();
        }
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_see_the_moment_in_which_the_read_began() {
    let database = Database::with(MANY);
    let (reader, splits) = opened(&database).await;
    database.sql(
        "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET id = id + 1000000 WHERE id < 20000; \
         INSERT INTO t SELECT -seq, 1, '' FROM seq_1_to_30000",
    );
    assert_eq!(rows(splits).await.unwrap(), 60_000);
    drop(reader);
}

/// Rows go from range to range all the time, also by the foreign key of another table: at each moment there are as
/// many.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_while_connections_begin_are_read_once() {
    let database = Arc::new(Database::with(&format!(
        "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p SELECT seq FROM seq_1_to_60000; \
         {MANY}; ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES p (id) ON UPDATE CASCADE; \
         CREATE TABLE going (is_on int); INSERT INTO going VALUES (1);\nDELIMITER //\n\
         CREATE PROCEDURE move_by_key() BEGIN DECLARE n bigint DEFAULT 1; \
           WHILE (SELECT is_on FROM going) DO \
             UPDATE p SET id = id + 1000000 WHERE id = n; UPDATE p SET id = id - 1000000 WHERE id = n + 1000000; \
             SET n = 1 + (n + 7) % 60000; END WHILE; END//\n\
         CREATE PROCEDURE move_alone() BEGIN DECLARE n bigint DEFAULT 1; SET foreign_key_checks = 0; \
           WHILE (SELECT is_on FROM going) DO \
             UPDATE t SET id = -id WHERE id = n; UPDATE t SET id = -id WHERE id = -n; \
             SET n = 1 + (n + 11) % 60000; END WHILE; END//\nDELIMITER ;",
    )));
    for procedure in ["move_by_key", "move_alone"] {
        database.sql("UPDATE going SET is_on = 1");
        let moving = std::thread::spawn({
            let database = Arc::clone(&database);
            move || database.sql(&format!("CALL {procedure}()"))
        });
        let mut in_ranges = 0;
        for _ in 0..12 {
            let all = read(database.source().as_ref(), &by(4, "t"), None).await;
            assert_eq!(all.len(), 60_000, "{procedure}");
            let mut ids = all.numbers("id");
            for id in &mut ids {
                *id = id.abs() % 1_000_000;
            }
            ids.sort_unstable();
            assert!(ids == (1..=60_000).collect::<Vec<i64>>(), "{procedure}");
            in_ranges += usize::from(all.splits.len() > 2);
        }
        database.sql("UPDATE going SET is_on = 0");
        moving.join().unwrap();
        assert!(
            in_ranges > 6,
            "{procedure}: only {in_ranges} reads were in ranges"
        );
    }
}

/// A table that somebody has changed and not committed cannot be locked: nobody waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_leaves_the_read_with_one_connection() {
    let database = Arc::new(Database::with(MANY));
    let others = std::thread::spawn({
        let database = Arc::clone(&database);
        move || {
            database.server.sql(
                &database.name,
                "BEGIN; DELETE FROM t WHERE id <= 10; SELECT SLEEP(1000)",
            )
        }
    });
    let asleep = "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(1000)%' AND state = 'User sleep'";
    let mut id = String::new();
    while id.is_empty() {
        id = database.sql(asleep);
        id.truncate(id.find('\n').unwrap_or(id.len()));
    }
    let all = read(database.source().as_ref(), &by(4, "t"), None).await;
    assert_eq!((all.splits.len(), all.len()), (1, 60_000));
    let notes = all.notes.join(" ");
    assert!(notes.contains("a transaction of others"), "{notes}");
    // Nothing of the attempt is left that others would wait for.
    database.sql("SET lock_wait_timeout = 5; INSERT INTO t VALUES (100000, 0, '')");
    database.sql(&format!("KILL QUERY {id}"));
    // A sleep that is killed is an error in MariaDB, and an answer in MySQL.
    assert_eq!(others.join().unwrap().is_err(), !database.server.is_mysql());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_fails_the_read_as_a_whole() {
    // More than fits between the server and a reader that does not read.
    let database = Database::alone(
        &[],
        &MANY.replace("1000)", "5000)").replace("2000)", "9000)"),
    );
    for statement in ["KILL CONNECTION", "KILL QUERY"] {
        let (_reader, mut splits) = opened(&database).await;
        // Every lane reads, and none is at its end.
        for split in splits.iter_mut().take(3) {
            let first = tokio::time::timeout(SOON, split.next()).await.unwrap();
            assert!(matches!(first, Some(Ok(Event::Rows(_)))), "{first:?}");
        }
        let sql = "SELECT id FROM information_schema.processlist WHERE command = 'Execute' AND info LIKE '%FORCE INDEX%' LIMIT 1";
        let id = database.sql(sql);
        database.sql(&format!("{statement} {id}"));
        let failed = tokio::time::timeout(SOON, rows(splits)).await.unwrap();
        let failure = failed.expect_err(statement);
        assert!(
            matches!(failure.remedy, Remedy::Retry | Remedy::Unreachable),
            "{statement}: {failure:?}"
        );
    }
    let again = read(database.source().as_ref(), &by(4, "t"), None).await;
    assert_eq!(again.numbers("id"), (1..=60_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_dropped_frees_its_connections() {
    let database = Database::with(MANY);
    let (reader, mut splits) = opened(&database).await;
    assert!(splits[0].next().await.is_some());
    drop((reader, splits));
    // DROP waits for every transaction that has read the table.
    database.sql("SET lock_wait_timeout = 20; DROP TABLE t");
}

/// Memory that notes how much of it was held at once.
#[derive(Default)]
struct Noted {
    held: Arc<AtomicU64>,
    most: AtomicU64,
}

struct Holding(u64, Arc<AtomicU64>);

impl Drop for Holding {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0, Ordering::SeqCst);
    }
}

#[async_trait]
impl Memory for Noted {
    fn limit_bytes(&self) -> u64 {
        16 << 20
    }

    async fn hold(&self, bytes: u64) -> ReservedMemory {
        let now = self.held.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
        Box::new(Holding(bytes, Arc::clone(&self.held)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ranges_together_hold_a_quarter_of_the_memory_at_most() {
    let database = Database::with(MANY);
    let memory = Arc::new(Noted::default());
    let mut context = Ample::context(".");
    context.memory = Arc::clone(&memory) as Arc<dyn Memory>;
    let source = mysql().source(&plan(&database.url()), &context).unwrap();
    let all = read(source.as_ref(), &by(4, "t"), None).await;
    assert!(all.splits.len() > 2, "{:?}", all.notes);
    assert_eq!(all.len(), 60_000);
    let most = memory.most.load(Ordering::SeqCst);
    assert!(most > 0 && most <= 4 << 20, "{most}");
    assert_eq!(memory.held.load(Ordering::SeqCst), 0);
}
