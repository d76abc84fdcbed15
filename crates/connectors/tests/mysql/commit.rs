//! What a COMMIT comes to whose answer is an error, or never comes: never twice, never lost, never in doubt for
//! longer than a look at the commit table.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use towpath_ports::Commit;
use towpath_vocab::{Failure, Remedy, WriteMode};

use crate::proxy::{Fault, Proxy};
use crate::support::{Database, destination_at, intent, prepare, target, write};

const EMPTY: &str = "CREATE TABLE t (id bigint)";
/// What another attempt would wait for the lock of a task at most.
const SOON: Duration = Duration::from_secs(60);

fn rows() -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..10);
    RecordBatch::try_from_iter_with_nullable([("id", Arc::new(ids) as _, true)]).unwrap()
}

fn through(database: &Database, proxy: &Proxy) -> String {
    let (own, other) = (database.server.port(), proxy.port);
    let url = database
        .url()
        .replace(&format!(":{own}/"), &format!(":{other}/"));
    format!("{url}?sslmode=disable")
}

fn counted(database: &Database) -> String {
    database.sql("SELECT count(*) FROM t")
}

/// Writes through a proxy with a fault, which ends soon.
async fn write_through(
    database: &Database,
    fault: Fault,
) -> Result<towpath_ports::Receipt, Failure> {
    let proxy = Proxy::start(database.server.port(), fault, None).await;
    let url = through(database, &proxy);
    let wanted = intent(rows().schema(), WriteMode::Append, &[], 1);
    let written = async { write(destination_at(&url).as_ref(), wanted, &rows()).await };
    tokio::time::timeout(SOON, written).await.unwrap()
}

/// The next attempt adopts what was committed, or writes.
async fn write_again(database: &Database, was_committed: bool) {
    let wanted = intent(rows().schema(), WriteMode::Append, &[], 1);
    let again = write(database.destination().as_ref(), wanted, &rows()).await;
    assert_eq!(again.unwrap().adopted, was_committed);
    assert_eq!(counted(database), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_answered_with_an_error_is_settled_at_once() {
    for reaches in [true, false] {
        let database = Database::with(EMPTY);
        let outcome = write_through(&database, Fault::Error { reaches }).await;
        if reaches {
            assert!(!outcome.unwrap().adopted, "it was its own commit");
        } else {
            let failure = outcome.unwrap_err();
            assert_eq!(failure.remedy, Remedy::Retry, "{failure:?}");
            let help = failure.help.join(" ");
            assert!(help.contains("nothing was committed"), "{help}");
        }
        write_again(&database, reaches).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_settled_by_asking() {
    for reaches in [true, false] {
        let database = Database::with(EMPTY);
        let fault = Fault::Break {
            reaches,
            opens: true,
        };
        let outcome = write_through(&database, fault).await;
        match reaches {
            true => assert!(!outcome.unwrap().adopted, "it was its own commit"),
            false => assert!(outcome.unwrap_err().remedy.may_pass()),
        }
        write_again(&database, reaches).await;
    }
}

/// Others commit between a COMMIT without an answer and the question what became of it: their commits are not
/// taken for one's own, and do not hide one's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_told_from_those_of_others() {
    for (reaches, others) in [(true, 2), (false, 2), (false, 1)] {
        let database = Database::with(EMPTY);
        let fault = Fault::Break {
            reaches,
            opens: true,
        };
        let proxy = Proxy::start(database.server.port(), fault, None).await;
        let other = database.destination();
        let theirs = intent(rows().schema(), WriteMode::Append, &[], others);
        proxy
            .meanwhile(async move {
                write(other.as_ref(), theirs, &rows().slice(0, 3))
                    .await
                    .unwrap();
            })
            .await;
        let url = through(&database, &proxy);
        let own = intent(rows().schema(), WriteMode::Append, &[], 1);
        let written = async { write(destination_at(&url).as_ref(), own, &rows()).await };
        let outcome = tokio::time::timeout(SOON, written).await.unwrap();
        match (reaches, others) {
            (true, _) => {
                let receipt = outcome.unwrap();
                assert!(!receipt.adopted, "it was its own commit");
                let committed = receipt.committed;
                assert_eq!(committed.token.generation.0, 1);
                assert_eq!(committed.stats.rows_in, 10);
                assert_eq!(counted(&database), "13");
            }
            (false, 2) => {
                let failure = outcome.unwrap_err();
                assert_eq!(
                    (failure.code.as_str(), failure.remedy),
                    ("R0240", Remedy::Refused)
                );
                let help = failure.help.join(" ");
                assert!(help.contains("another run has committed since"), "{help}");
                assert_eq!(counted(&database), "3");
            }
            _ => {
                let receipt = outcome.unwrap();
                assert!(receipt.adopted, "it was the commit of another attempt");
                assert_eq!(receipt.committed.stats.rows_in, 3);
                assert_eq!(counted(&database), "3");
            }
        }
    }
}

/// When nobody can be asked, the failure says so: it does not say that nothing was committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_of_a_commit_is_said() {
    for reaches in [true, false] {
        let database = Database::with(EMPTY);
        let fault = Fault::Break {
            reaches,
            opens: false,
        };
        let failure = write_through(&database, fault).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R1005", Remedy::Unreachable)
        );
        let help = failure.help.join(" ");
        assert!(help.contains("it is not known whether"), "{help}");
        write_again(&database, reaches).await;
    }
}

/// A client that is gone without a word holds its locks for a minute, not for eight hours. (For this test the
/// minute is five seconds.)
#[tokio::test(flavor = "multi_thread")]
async fn locks_of_a_client_that_vanished_are_free_soon() {
    let database = Database::with("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)");
    let shorter: (&[u8], &[u8]) = (b"wait_timeout = 60,", b"wait_timeout = 05,");
    let proxy = Proxy::start(database.server.port(), Fault::None, Some(shorter)).await;
    let destination = destination_at(&through(&database, &proxy));
    let wanted = || intent(rows().schema(), WriteMode::Replace, &[], 1);
    let prepared = prepare(destination.as_ref(), wanted(), &rows()).await;
    let prepared = prepared.unwrap();
    proxy.be_silent();
    let next = async {
        let destination = database.destination();
        let last = destination.last(&wanted().task, &target()).await.unwrap();
        assert!(last.is_none(), "nothing was committed");
        write(destination.as_ref(), wanted(), &rows()).await
    };
    let receipt = tokio::time::timeout(SOON, next).await.unwrap().unwrap();
    assert!(!receipt.adopted);
    assert_eq!(counted(&database), "10");
    drop(prepared);
}

/// However long it takes until a write is committed, its session is not taken for dead. (For this test a server
/// waits twenty seconds instead of a minute.)
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_its_commit_says_that_it_is_there() {
    let database = Database::with(EMPTY);
    let shorter: (&[u8], &[u8]) = (b"wait_timeout = 60,", b"wait_timeout = 20,");
    let proxy = Proxy::start(database.server.port(), Fault::None, Some(shorter)).await;
    let destination = destination_at(&through(&database, &proxy));
    let wanted = intent(rows().schema(), WriteMode::Append, &[], 1);
    let prepared = prepare(destination.as_ref(), wanted, &rows())
        .await
        .unwrap();
    while proxy.pings() < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    prepared.commit(Commit::default()).await.unwrap();
    assert_eq!(counted(&database), "10");
}
