//! `sql` and `http` steps: statements in a connection, and one HTTP request.
//!
//! Promise: values of the run and secrets stay templates; a connection without `writable: true` is planned,
//! and a diagnostic says that its step will be skipped. It neither reads the SQL nor sends anything. Read
//! next: `step.rs`, `command.rs`.

use std::collections::BTreeMap;

use towpath_vocab::passwords::{has_password, is_literal_secret_header, without_literal_passwords};
use towpath_vocab::{Action, Capability, HttpBody, HttpPlan, SqlPlan, TableName};

use crate::command::table_name;
use crate::connection::{self, Connection};
use crate::context::StepContext;
use crate::report::Report;
use crate::step::{Node as Task, StepFrame};
use crate::yaml::Node;

/// The statuses of an answer that is well, if the step does not say.
const SUCCESS: (u16, u16) = (200, 299);

/// Plans a `sql` step.
pub(crate) fn sql(
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    report: &mut Report,
) -> Option<Task> {
    let verb = frame.node.get("sql")?;
    let statements = verb.texts();
    if statements.is_empty() || statements.iter().any(|sql| sql.trim().is_empty()) {
        report
            .error(
                "P0120",
                verb.at,
                format!("step `{}` has an empty statement", frame.name),
            )
            .help("sql: truncate staging.orders");
        return None;
    }
    let connection = connection(frame, context, report)?;
    let mut task = frame.task(None, frame.at);
    task.reads = reads(frame, report);
    task.action = Some(Action::Sql(Box::new(SqlPlan {
        connection: connection.plan.clone(),
        statements,
        transaction: frame.node.get("transaction").and_then(Node::as_bool) != Some(false),
        reads: task.reads.clone(),
    })));
    Some(task)
}

fn connection<'c, 'a>(
    frame: &StepFrame<'_>,
    context: &'c StepContext<'a>,
    report: &mut Report,
) -> Option<&'c Connection<'a>> {
    let Some(node) = frame.node.get("connection") else {
        report
            .error(
                "P0106",
                frame.at,
                format!(
                    "step `{}` has no `connection`: where its SQL runs",
                    frame.name
                ),
            )
            .help("connection: NAME   # one of `connections` in towpath.yml")
            .help("SQL about tables of the lakehouse is a model");
        return None;
    };
    let found = connection::find(context.connections, node.text()?, node.at, report)?;
    let plan = &found.plan;
    if !found.has(Capability::Sql) {
        report
            .error(
                "C0522",
                node.at,
                format!(
                    "connection `{}` of type `{}` runs no SQL",
                    plan.name, plan.kind
                ),
            )
            .help("SQL runs in databases: postgres, mysql, sqlite")
            .help("SQL about tables of the lakehouse is a model");
        return None;
    }
    if !plan.writable {
        let name = &plan.name;
        report
            .note(
                "C0506",
                node.at,
                format!(
                    "`{name}` is read-only here: step `{}` will be skipped",
                    frame.name
                ),
            )
            .help(
                "set `writable: true` on the connection, in the environment that may write there",
            );
    }
    Some(found)
}

/// Tables that must be there before.
fn reads(frame: &StepFrame<'_>, report: &mut Report) -> Vec<TableName> {
    let items = frame.node.get("reads").map(Node::items).unwrap_or_default();
    let names = items
        .iter()
        .filter_map(|item| table_name(item.text()?, item.at, report));
    names.collect()
}

/// Plans an `http` step.
pub(crate) fn http(frame: &StepFrame<'_>, report: &mut Report) -> Option<Task> {
    let request = frame.node.get("http")?;
    let url = request.get_text("url")?.to_owned();
    let body = body(request, report);
    let method = match (request.get_text("method"), &body) {
        (Some(method), _) => method,
        (None, HttpBody::None) => "GET",
        (None, _) => "POST",
    };
    let entries = request.get("headers").into_iter().flat_map(Node::entries);
    let headers: BTreeMap<String, String> = entries
        .filter_map(|(name, entry)| Some((name.to_owned(), entry.value.text()?.to_owned())))
        .collect();
    warn_of_passwords(frame, request, report);
    let mut task = frame.task(None, frame.at);
    task.reads = reads(frame, report);
    task.action = Some(Action::Http(Box::new(HttpPlan {
        method: method.to_owned(),
        url,
        headers,
        body,
        expect: expected(request, report),
        reads: task.reads.clone(),
    })));
    Some(task)
}

fn body(request: &Node, report: &mut Report) -> HttpBody {
    match (request.get("json"), request.get("body")) {
        (Some(_), Some(body)) => {
            report
                .error(
                    "P0148",
                    body.at,
                    "a request has one body, and this one has `json` and `body`",
                )
                .help("remove one of them");
            HttpBody::None
        }
        (Some(json), None) => HttpBody::Json(json.json()),
        (None, Some(body)) => HttpBody::Text(body.text().unwrap_or_default().to_owned()),
        (None, None) => HttpBody::None,
    }
}

fn expected(request: &Node, report: &mut Report) -> Vec<(u16, u16)> {
    let Some(node) = request.get("expect") else {
        return vec![SUCCESS];
    };
    let mut expected = Vec::new();
    for item in node.items() {
        match item.text().and_then(statuses) {
            Some(statuses) => expected.push(statuses),
            None => {
                let text = item.text().unwrap_or_default();
                report
                    .error(
                        "P0147",
                        item.at,
                        format!("`{text}` is not a status of HTTP, or a range of them"),
                    )
                    .help("expect: [200-299, 404]");
            }
        }
    }
    if node.items().is_empty() {
        report
            .error("P0147", node.at.head(), "no status of HTTP is expected")
            .help("expect: [200-299, 404]");
    }
    expected
}

/// `204` or `200-299`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| {
        let number = text.trim().parse::<u16>().ok()?;
        (100..=599).contains(&number).then_some(number)
    };
    let (from, to) = (status(from)?, status(to)?);
    (from <= to).then_some((from, to))
}

/// Warns about passwords in the file.
fn warn_of_passwords(frame: &StepFrame<'_>, request: &Node, report: &mut Report) {
    let has_one = |node: &&Node| node.text().is_some_and(has_password);
    let texts = ["url", "body"]
        .into_iter()
        .filter_map(|key| request.get(key));
    let headers = request.get("headers").into_iter().flat_map(Node::entries);
    let headers = headers.filter_map(|(name, entry)| {
        let text = entry.value.text()?;
        let is_one = is_literal_secret_header(name, text) || has_password(text);
        is_one.then_some(&entry.value)
    });
    let json = request.get("json").filter(|node| {
        let json = node.json();
        without_literal_passwords("", &json) != json
    });
    for node in texts.filter(has_one).chain(headers).chain(json) {
        report
            .warning(
                "C0509",
                node.at,
                format!("a password of step `{}` is written in a file", frame.name),
            )
            .label("everyone who has the files can read this secret")
            .help("write ${secret:NAME} and set that variable");
    }
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[test]
    fn statuses_are_numbers_and_ranges() {
        assert_eq!(statuses("204"), Some((204, 204)));
        assert_eq!(statuses("200 - 299"), Some((200, 299)));
        for wrong in ["", "2xx", "99", "600", "299-200", "200-"] {
            assert_eq!(statuses(wrong), None, "{wrong}");
        }
    }
}
