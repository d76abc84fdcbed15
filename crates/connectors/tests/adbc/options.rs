//! Drivers and options: what is refused, with which code, and what no message shows.

use std::os::unix::fs::symlink;

use serde_json::json;
use towpath_ports::Result;
use towpath_testkit::adbc::AdbcDriver;
use towpath_vocab::{ConnectionPlan, Failure, OptionValue};

use crate::support::{Database, connector, plain, secret};

async fn test(database: &Database, plan: &ConnectionPlan) -> Result<String> {
    let discover = connector().discover(plan, &database.context())?;
    Ok(discover.test().await?.system)
}

async fn refused(database: &Database, change: impl FnOnce(&mut ConnectionPlan)) -> Failure {
    let mut plan = database.plan();
    change(&mut plan);
    test(database, &plan).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_brings_no_library() {
    let database = Database::new(AdbcDriver::Sqlite);
    let library = AdbcDriver::Sqlite.library().unwrap();
    // A copy in the project, and a way into the project from outside.
    let inside = database.dir.path().join("libevil.so");
    std::fs::copy(&library, &inside).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let link = outside.path().join("liblink.so");
    symlink(&inside, &link).unwrap();
    for path in [&inside, &link] {
        let failure = refused(&database, |plan| {
            plan.options
                .insert("driver".to_owned(), plain(path.to_str().unwrap()));
        })
        .await;
        assert_eq!(failure.code, "R1401", "{}", failure.message);
        assert!(
            failure.message.contains("project folder"),
            "{}",
            failure.message
        );
    }
    for relative in ["libevil.so", "./libevil.so", "drivers/libevil.so"] {
        let failure = refused(&database, |plan| {
            plan.options.insert("driver".to_owned(), plain(relative));
        })
        .await;
        assert_eq!(failure.code, "R1401", "{}", failure.message);
    }
    // The same library where the user has it.
    let system = test(&database, &database.plan()).await.unwrap();
    assert!(system.starts_with("SQLite 3."), "{system}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_is_named() {
    let database = Database::new(AdbcDriver::DuckDb);
    let unknown = refused(&database, |plan| {
        plan.options
            .insert("driver".to_owned(), plain("no_such_driver"));
    })
    .await;
    assert_eq!(unknown.code, "R1402", "{}", unknown.message);
    let text = database.dir.path().with_extension("txt.so");
    std::fs::write(&text, "no library").unwrap();
    let broken = refused(&database, |plan| {
        plan.options
            .insert("driver".to_owned(), plain(text.to_str().unwrap()));
    })
    .await;
    std::fs::remove_file(&text).unwrap();
    assert_eq!(broken.code, "R1402", "{}", broken.message);
    let entrypoint = refused(&database, |plan| {
        plan.options
            .insert("entrypoint".to_owned(), plain("no_such_function"));
    })
    .await;
    assert_eq!(entrypoint.code, "R1402", "{}", entrypoint.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_reach_the_driver_and_secrets_stay_secret() {
    let database = Database::new(AdbcDriver::DuckDb);
    let options = |value: serde_json::Value| {
        move |plan: &mut ConnectionPlan| {
            plan.options
                .insert("options".to_owned(), OptionValue::Plain(value));
        }
    };
    let unknown = refused(&database, options(json!({ "no_such_option": "1" }))).await;
    assert_eq!(unknown.code, "R1403", "{}", unknown.message);
    assert!(
        unknown.message.contains("no_such_option"),
        "{}",
        unknown.message
    );
    let shown = refused(&database, options(json!({ "s3_secret_access_key": "x" }))).await;
    assert_eq!(shown.code, "R1401", "{}", shown.message);
    let own = refused(&database, options(json!({ "uri": "x" }))).await;
    assert_eq!(own.code, "R1401", "{}", own.message);
    let hidden = refused(&database, |plan| {
        let value = r#"{"no_such_option": "t0p-secret"}"#;
        plan.options
            .insert("secret_options".to_owned(), secret(value));
    })
    .await;
    assert_eq!(hidden.code, "R1403", "{}", hidden.message);
    assert!(!format!("{hidden:?}").contains("t0p-secret"), "{hidden:?}");
    let both = refused(&database, |plan| {
        plan.options.insert("uri".to_owned(), secret(":memory:"));
    })
    .await;
    assert_eq!(both.code, "R1401", "{}", both.message);
    // A valid option is obeyed: the file does not exist, and may not be made.
    let missing = refused(&database, options(json!({ "access_mode": "READ_ONLY" }))).await;
    assert_eq!(missing.code, "R1403", "{}", missing.message);
    assert!(!database.file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_tried_again_and_no_password_shown() {
    let database = Database::new(AdbcDriver::Postgres);
    let gone = refused(&database, |plan| {
        let url = "postgresql://me:hunter2-secret@127.0.0.1:1/db";
        plan.options.insert("uri".to_owned(), secret(url));
    })
    .await;
    assert_eq!(gone.code, "R1404", "{}", gone.message);
    assert!(!format!("{gone:?}").contains("hunter2"), "{gone:?}");
    let wrong = refused(&database, |plan| {
        let Some(OptionValue::Secret(url)) = plan.options.get("uri") else {
            panic!("no uri");
        };
        let url = url
            .template()
            .replace(towpath_testkit::postgres::PASSWORD, "hunter2-secret");
        plan.options.insert("uri".to_owned(), secret(&url));
    })
    .await;
    assert_eq!(wrong.code, "R1403", "{}", wrong.message);
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
}
