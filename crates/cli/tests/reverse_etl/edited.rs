//! Somebody edits the project, or the API changes its mind, while a delivery is unfinished.

use crate::crm::{Crm, Mishap};
use crate::test_project::{TestProject, has};
use crate::{BATCH, ROW, contacts, held, project};

fn killed(desk: &mut TestProject, edge: &str) {
    desk.set("TOWPATH_FAILPOINT", edge);
    let output = desk.towpath(".", &["run"]);
    desk.set("TOWPATH_FAILPOINT", "");
    assert_eq!(output.status.code(), None, "{output:?}");
}

fn edit(desk: &TestProject, file: &str, from: &str, to: &str) {
    let text = desk.read(file);
    assert!(text.contains(from), "{from}");
    desk.write(file, &text.replace(from, to));
}

#[test]
fn a_list_that_was_divided_is_not_sent_whole_again() {
    let crm = Crm::start();
    let mut desk = project(&crm, BATCH, ", fail_above: 60%");
    contacts(&desk, "1=a 2=b 3=bad 4=d");
    // The whole list is refused, then its first half is taken.
    killed(&mut desk, "rest::answered");
    // The API does not keep refusals, and takes now what it refused.
    crm.state().keys.retain(|_, (_, status, _)| *status < 400);
    crm.state().refuses = String::new();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 1", "POST 2", "POST 3", "POST 4"]);
}

#[test]
fn an_answer_for_each_row_is_kept_as_one() {
    let crm = Crm::start();
    crm.state().by_row = true;
    let send = BATCH.replace("size: 4,", "size: 4, results: results,");
    let mut desk = project(&crm, &send, ", fail_above: 60%");
    contacts(&desk, "1=a 2=bad 3=c 4=d 5=e");
    for edge in ["rest::answered", "rest::journaled"] {
        killed(&mut desk, edge);
    }
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 1", "POST 3", "POST 4", "POST 5"]);
    assert_eq!(held(&desk), 1);
}

#[test]
fn an_interrupted_delivery_ends_by_its_own_key_and_form() {
    let crm = Crm::start();
    let mut desk = project(&crm, BATCH, "");
    contacts(&desk, "1=a 2=b 3=c 4=d 5=e");
    killed(&mut desk, "rest::answered");
    edit(&desk, "towpath.yml", "type: batch, size: 4,", "type: row,");
    edit(&desk, "pipelines/p.yml", "key: id }", "key: name }");
    has(&desk.exits(1, ".", &["run"]), &["R1169", "(id)"]);
    assert_eq!(crm.names(), "1=a 2=b 3=c 4=d 5=e");
    assert_eq!(crm.applied().len(), 5, "each once");
    edit(&desk, "pipelines/p.yml", "key: name }", "key: id }");
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
}

#[test]
fn what_the_help_of_a_stopped_delivery_says_lets_it_end() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    contacts(&desk, "1=a 2=b");
    desk.ok(".", &["run"]);
    contacts(&desk, "1=a 3=c");
    crm.state().mishaps.push_back(Mishap::Status(405));
    has(&desk.exits(1, ".", &["run"]), &["R0354"]);
    edit(
        &desk,
        "towpath.yml",
        "delete: \"DELETE contacts/{id}\"",
        "delete: ignore",
    );
    desk.ok(".", &["run"]);
    assert_eq!(crm.names(), "1=a 2=b 3=c");

    let strict = project(&crm, ROW, ", bad_rows: fail");
    contacts(&strict, "7=bad 8=h");
    has(&strict.exits(3, ".", &["run"]), &["R0622"]);
    contacts(&strict, "7=good 8=h");
    strict.exits(3, ".", &["run"]);
    strict.ok(".", &["run", "--fail-above", "crm.contacts=100%"]);
    assert_eq!(crm.names(), "1=a 2=b 3=c 7=good 8=h");
}

#[test]
fn a_conflict_with_the_same_request_is_no_refusal() {
    let crm = Crm::start();
    let desk = project(&crm, BATCH, "");
    contacts(&desk, "1=a 2=b");
    let mishaps = [Mishap::AnswerLost, Mishap::Status(409), Mishap::Status(409)];
    crm.state().mishaps.extend(mishaps);
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 1", "POST 2"]);
    let requests = crm.server.requests();
    assert_eq!(requests.len(), 4);
    let key = |at: usize| requests[at].header("idempotency-key");
    assert!((1..4).all(|at| key(at) == key(0)));
    // One that was not sent before is about the row.
    contacts(&desk, "1=a 2=b 3=c");
    crm.state().mishaps.push_back(Mishap::Status(409));
    has(&desk.exits(3, ".", &["run"]), &["R0623", "409"]);
    assert_eq!(held(&desk), 1);
}
