//! Statements of the user: together or one by one, stopped on the server, with the errors of the server.

use std::time::Duration;

use towpath_ports::{Statements, StopSignal};
use towpath_vocab::Remedy;

use crate::support::{Database, context, postgres};

fn statements(database: &Database) -> std::sync::Arc<dyn Statements> {
    postgres().statements(&database.plan(), &context()).unwrap()
}

fn never() -> StopSignal<'static> {
    Box::pin(std::future::pending())
}

fn texts(sql: &[&str]) -> Vec<String> {
    sql.iter().map(|sql| (*sql).to_owned()).collect()
}

#[tokio::test]
async fn a_transaction_takes_effect_as_a_whole() {
    let database = Database::with("create table t (n integer primary key)");
    let run = async |sql: &[&str], transaction| {
        let system = statements(&database);
        system.run(&texts(sql), transaction, never()).await
    };
    let rows = || database.sql("select coalesce(string_agg(n::text, ',' order by n), '') from t");
    // An answer with rows is no error.
    let well = [
        "insert into t values (1); insert into t values (2)",
        "select * from t",
    ];
    assert!(run(&well, true).await.unwrap());
    assert_eq!(rows().trim(), "1,2");
    let wrong = ["insert into t values (3)", "insert into t values (1)"];
    let failure = run(&wrong, true).await.unwrap_err();
    assert!(failure.help.concat().contains("statement 2"), "{failure:?}");
    assert_eq!(failure.remedy, Remedy::FixData);
    assert_eq!(rows().trim(), "1,2");
    run(&wrong, false).await.unwrap_err();
    assert_eq!(rows().trim(), "1,2,3");
    // What is there will be there the next time: nothing is done twice.
    for transaction in [true, false] {
        let there = ["insert into t values (4)", "create table t (n integer)"];
        let failure = run(&there, transaction).await.unwrap_err();
        assert_eq!(failure.remedy, Remedy::FixConfig, "{failure:?}");
    }
    assert_eq!(rows().trim(), "1,2,3,4");
    let copy = run(&["copy t from stdin"], true).await.unwrap_err();
    assert_eq!(copy.remedy, Remedy::FixConfig, "{copy:?}");
    // What no transaction may hold.
    run(&["vacuum t"], true).await.unwrap_err();
    assert!(run(&["vacuum t", "analyze t"], false).await.unwrap());
}

#[tokio::test]
async fn a_statement_that_is_stopped_ends_on_the_server() {
    let database = Database::with("create table t (n integer)");
    let system = statements(&database);
    let sql = texts(&[
        "insert into t values (1)",
        "select pg_sleep(600)",
        "insert into t values (2)",
    ]);
    let sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep(600)%' and state = 'active'";
    let stop: StopSignal<'_> = Box::pin(async {
        while database.sql(sleeping).trim() != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(!system.run(&sql, true, stop).await.unwrap());
    assert_eq!(database.sql(sleeping).trim(), "0");
    assert_eq!(database.sql("select count(*) from t").trim(), "0");
}

#[tokio::test]
async fn the_schema_of_the_connection_comes_first() {
    let database = Database::with("create schema shop; create table shop.t (n integer)");
    let mut plan = database.plan();
    let schema = towpath_vocab::OptionValue::Plain("shop".into());
    plan.options.insert("schema".into(), schema);
    for transaction in [true, false] {
        let system = postgres().statements(&plan, &context()).unwrap();
        let sql = texts(&["insert into t values (1)"]);
        assert!(system.run(&sql, transaction, never()).await.unwrap());
    }
    assert_eq!(database.sql("select count(*) from shop.t").trim(), "2");
}

#[tokio::test]
async fn what_is_stopped_between_two_statements_ends_there() {
    let database = Database::with("create table t (n integer)");
    let system = statements(&database);
    let mut sql = vec!["insert into t values (1)".to_owned()];
    sql.extend((0..3_000).map(|_| "select pg_sleep(0.005)".to_owned()));
    for transaction in [true, false] {
        let stop: StopSignal<'_> = Box::pin(tokio::time::sleep(Duration::from_millis(300)));
        let began = std::time::Instant::now();
        assert!(!system.run(&sql, transaction, stop).await.unwrap());
        assert!(began.elapsed() < Duration::from_secs(8));
        let wanted = if transaction { "0" } else { "1" };
        assert_eq!(database.sql("select count(*) from t").trim(), wanted);
    }
}
