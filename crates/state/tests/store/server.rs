//! Tests of a store on a server only: who may use it, how it is reached, what it survives.

use std::sync::Arc;

use towpath_ports::{FeedPosition, NewRun, Opened, Result, RunFilter, StateStore};
use towpath_state::{Location, exists, open};
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{Environment, Remedy, SecretTemplate};

use crate::place::{TestPlace, opened_new};

async fn code_of(location: Location) -> Result<(), (String, Remedy)> {
    let store = open(location).map_err(|failure| (failure.code, failure.remedy))?;
    match store.runs(RunFilter::default()).await {
        Ok(_) => Ok(()),
        Err(failure) => {
            let text = format!("{failure:?}");
            assert!(
                !text.contains(towpath_testkit::postgres::PASSWORD),
                "{text}"
            );
            assert!(!failure.help.is_empty(), "{text}");
            Err((failure.code, failure.remedy))
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_says_why() {
    let server = Arc::new(PostgresServer::start().unwrap());
    let place = TestPlace::sqlite();
    let with = |url: String| Location {
        url: Some(SecretTemplate::new(url)),
        ..place.location()
    };
    let url = server.url("postgres");
    let says = |code: &str, remedy| Err((code.to_owned(), remedy));
    assert_eq!(code_of(with(format!("{url}?schema=s"))).await, Ok(()));
    assert!(exists(&with(url.clone())).unwrap());
    // A second project would mix its runs with those of the first.
    let mut other = with(format!("{url}?schema=s"));
    other.project = Some("other".to_owned());
    assert_eq!(code_of(other).await, says("R0682", Remedy::FixConfig));
    let wrong = url.replace(towpath_testkit::postgres::PASSWORD, "wrong");
    assert_eq!(code_of(with(wrong)).await, says("R0684", Remedy::FixConfig));
    assert_eq!(
        code_of(with(server.url("nowhere"))).await,
        says("R0684", Remedy::FixConfig)
    );
    let strict = format!("{url}?sslmode=require");
    assert_eq!(
        code_of(with(strict)).await,
        says("R0681", Remedy::FixConfig)
    );
    let ca = format!("{url}?sslmode=verify-ca");
    assert_eq!(code_of(with(ca)).await, says("R0680", Remedy::FixConfig));
    server
        .psql("postgres", "CREATE SCHEMA theirs CREATE TABLE t (a int)")
        .unwrap();
    let theirs = format!("{url}?schema=theirs");
    assert_eq!(
        code_of(with(theirs)).await,
        says("R0802", Remedy::FixConfig)
    );
    server
        .psql(
            "postgres",
            "UPDATE s.meta SET value = '99' WHERE key = 'format'",
        )
        .unwrap();
    let newer = format!("{url}?schema=s");
    assert_eq!(code_of(with(newer)).await, says("R0801", Remedy::Refused));
    assert_eq!(
        code_of(with("mysql://a@b/c".to_owned())).await,
        says("R0680", Remedy::FixConfig)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_waited_for() {
    let server = PostgresServer::start().unwrap();
    let place = TestPlace::sqlite();
    let location = Location {
        url: Some(SecretTemplate::new(server.url("postgres"))),
        ..place.location()
    };
    let store = open(location).unwrap();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    server.kill();
    let (renewed, ()) = tokio::join!(store.renew("w1"), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| server.resume().unwrap());
    });
    assert!(renewed.unwrap());
    let found = store.open_run(place.new_run("w2", "h", 1)).await.unwrap();
    assert!(matches!(found, Opened::Busy(busy) if busy.name == run.name));
}

#[tokio::test]
async fn leases_run_by_the_clock_of_the_server() {
    let mut place = TestPlace::postgres();
    place.has_clock = false;
    let store = place.open();
    let before = machine_now_us();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    assert!(
        (run.started_us - before).abs() < 60_000_000,
        "{}",
        run.started_us
    );
    let found = store
        .open_run(place.new_run("w2", "h", i64::MAX))
        .await
        .unwrap();
    assert!(
        matches!(found, Opened::Busy(_)),
        "the caller's clock decides nothing"
    );
}

fn machine_now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_micros()).unwrap()
}

#[tokio::test]
async fn a_store_of_format_1_keeps_its_notes() {
    let server = Arc::new(PostgresServer::start().unwrap());
    let script = include_str!("../../src/postgres/schema_1.sql");
    server
        .psql(
            "postgres",
            &format!(
                "CREATE SCHEMA s; SET search_path = s; {script}
                 INSERT INTO meta (key, value) VALUES ('format', '1');
                 INSERT INTO told VALUES ('dev', 'shop/extract/orders', '{{\"v\":1,\"d\":[\"1\"]}}');"
            ),
        )
        .unwrap();
    let place = TestPlace::sqlite();
    let store = open(Location {
        url: Some(SecretTemplate::new(format!(
            "{}?schema=s",
            server.url("postgres")
        ))),
        ..place.location()
    })
    .unwrap();
    let notes = store
        .reported_notes(&Environment::new("dev"))
        .await
        .unwrap();
    let digests = ["1".to_owned()].into_iter().collect();
    assert_eq!(notes, [("shop/extract/orders".to_owned(), digests)]);
    assert!(store.runs(RunFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_of_format_4_keeps_its_schedules() {
    let server = Arc::new(PostgresServer::start().unwrap());
    let scripts = [
        include_str!("../../src/postgres/schema_1.sql"),
        include_str!("../../src/postgres/schema_schedules.sql"),
        include_str!("../../src/postgres/schema_reported_notes.sql"),
        include_str!("../../src/postgres/schema_changed_schedules.sql"),
    ];
    let plan = r#"{"v":1,"d":{"recurrence":{"every_ms":60000},"timezone":"UTC","catchup":"all","overlap":"queue","dst_gap":"shift","dst_overlap":"first"}}"#;
    server
        .psql(
            "postgres",
            &format!(
                "CREATE SCHEMA s; SET search_path = s; {}
                 INSERT INTO meta (key, value) VALUES ('format', '4');
                 INSERT INTO schedule VALUES ('dev', 'shop', '{plan}', 5, 3, 1, 2, NULL);
                 INSERT INTO scheduled_interval
                     VALUES ('dev', 'shop', 1, 5, 'waiting', NULL, 1, NULL, 5);",
                scripts.concat()
            ),
        )
        .unwrap();
    let place = TestPlace::sqlite();
    let url = format!("{}?schema=s", server.url("postgres"));
    let store = open(Location {
        url: Some(SecretTemplate::new(url)),
        ..place.location()
    })
    .unwrap();
    let found = store.schedules(&Environment::new("dev")).await.unwrap();
    let one = &found.schedules[0];
    assert_eq!((one.decided_us, one.fence, one.open.len()), (5, 3, 1));
    assert_eq!((one.since_us, one.queued_us), (Some(1), Some(2)));
    assert_eq!(one.paused, None);
}

#[tokio::test]
async fn a_store_of_format_7_begins_a_feed_and_a_copy_of_it_goes_on_above() {
    let server = Arc::new(PostgresServer::start().unwrap());
    let scripts = [
        include_str!("../../src/postgres/schema_1.sql"),
        include_str!("../../src/postgres/schema_schedules.sql"),
        include_str!("../../src/postgres/schema_reported_notes.sql"),
        include_str!("../../src/postgres/schema_changed_schedules.sql"),
        include_str!("../../src/postgres/schema_paused_schedules.sql"),
        include_str!("../../src/postgres/schema_backfills.sql"),
        include_str!("../../src/postgres/schema_stopped_runs.sql"),
    ];
    server
        .psql(
            "postgres",
            &format!(
                "CREATE SCHEMA s; SET search_path = s; {}
                 INSERT INTO meta (key, value) VALUES ('format', '7');
                 INSERT INTO run (pipeline, environment, number, kind, parallel, state, graph_hash, started_us, worker, request, last_seq)
                     VALUES ('old', 'dev', 1, 'run', 4, 'failed', 'h', 1, 'w', '{{\"v\":1,\"d\":null}}', 1);
                 INSERT INTO event (run, seq, at_us, kind, body)
                     SELECT id, 1, 1, 'run_started', '{{\"v\":1,\"d\":null}}' FROM run;",
                scripts.concat()
            ),
        )
        .unwrap();
    let place = TestPlace::sqlite();
    let open_it = || {
        let url = format!("{}?schema=s", server.url("postgres"));
        open(Location {
            url: Some(SecretTemplate::new(url)),
            ..place.location()
        })
        .unwrap()
    };
    let dev = Environment::new("dev");
    let all = async |store: &Arc<dyn StateStore>| {
        let found = store.api().feed(&dev, FeedPosition::default(), 100).await;
        found.unwrap().events
    };
    let store = open_it();
    assert!(all(&store).await.is_empty());
    store.open_run(place.new_run("w1", "h", 0)).await.unwrap();
    let before = all(&store).await;
    assert_eq!(before.len(), 1);
    // As if the store came from a server that had counted further.
    drop(store);
    server
        .psql(
            "postgres",
            "UPDATE s.event SET feed = feed + 1000000 WHERE feed > 0",
        )
        .unwrap();
    let store = open_it();
    let moved = all(&store).await;
    assert_eq!(moved.len(), 1);
    assert!(moved[0].position > before[0].position);
    let other = NewRun {
        pipeline: "other".into(),
        ..place.new_run("w2", "h", 1)
    };
    store.open_run(other).await.unwrap();
    let later = store
        .api()
        .feed(&dev, moved[0].position, 100)
        .await
        .unwrap();
    let pipelines = later.events.iter().map(|one| one.run.pipeline.as_str());
    assert_eq!(pipelines.collect::<Vec<_>>(), ["other"]);
}
