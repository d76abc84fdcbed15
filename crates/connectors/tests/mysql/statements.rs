//! Statements of the user: together or one by one, stopped on the server, with answers that nobody keeps.

use std::time::Duration;

use towpath_ports::{Statements, StopSignal};
use towpath_testkit::conformance::Ample;

use crate::support::{Database, mysql, plan};

fn statements(database: &Database) -> std::sync::Arc<dyn Statements> {
    let context = Ample::context(".");
    mysql()
        .statements(&plan(&database.url()), &context)
        .unwrap()
}

fn never() -> StopSignal<'static> {
    Box::pin(std::future::pending())
}

fn texts(sql: &[&str]) -> Vec<String> {
    sql.iter().map(|sql| (*sql).to_owned()).collect()
}

#[tokio::test]
async fn a_transaction_takes_effect_as_a_whole() {
    let database = Database::with("create table t (n integer primary key) engine = innodb");
    let run = async |sql: &[&str], transaction| {
        let system = statements(&database);
        system.run(&texts(sql), transaction, never()).await
    };
    let rows = || database.sql("select ifnull(group_concat(n order by n), '-') from t");
    // An answer with rows is no error, wherever it comes.
    let well = [
        "insert into t values (1)",
        "select * from t",
        "insert into t values (2)",
    ];
    assert!(run(&well, true).await.unwrap());
    assert!(rows().contains("1,2"), "{}", rows());
    let wrong = ["insert into t values (3)", "insert into t values (1)"];
    let failure = run(&wrong, true).await.unwrap_err();
    assert!(failure.help.concat().contains("statement 2"), "{failure:?}");
    assert!(!rows().contains('3'), "{}", rows());
    run(&wrong, false).await.unwrap_err();
    assert!(rows().contains("1,2,3"), "{}", rows());
}

#[tokio::test]
async fn a_statement_that_is_stopped_ends_on_the_server() {
    let database = Database::with("create table t (n integer) engine = innodb");
    let system = statements(&database);
    let sql = texts(&[
        "insert into t values (1)",
        "update t set n = sleep(600)",
        "insert into t values (2)",
    ]);
    let sleeping = format!(
        "select count(*) from information_schema.processlist where info like 'update t set n = sleep%' and db = '{}'",
        database.name
    );
    let count = |sql: &str| {
        let said = database.sql(sql);
        said.split_whitespace().last().unwrap().to_owned()
    };
    let stop: StopSignal<'_> = Box::pin(async {
        while count(&sleeping) != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(!system.run(&sql, true, stop).await.unwrap());
    assert_eq!(count(&sleeping), "0");
    assert_eq!(count("select count(*) from t"), "0");
}

#[tokio::test]
async fn what_is_stopped_between_two_statements_ends_there() {
    let database = Database::with("create table t (n integer) engine = innodb");
    let system = statements(&database);
    let mut sql = vec!["insert into t values (1)".to_owned()];
    sql.extend((0..3_000).map(|_| "select sleep(0.005)".to_owned()));
    let stop: StopSignal<'_> = Box::pin(tokio::time::sleep(Duration::from_millis(300)));
    let began = std::time::Instant::now();
    assert!(!system.run(&sql, true, stop).await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(8));
    let said = database.sql("select count(*) from t");
    assert_eq!(said.split_whitespace().last(), Some("0"));
    let load = texts(&["load data local infile '/etc/passwd' into table t"]);
    let failure = system.run(&load, true, never()).await.unwrap_err();
    assert!(!failure.remedy.may_pass(), "{failure:?}");
}
