//! The request for some rows: its address, its body and its idempotency key.
//!
//! Promise: the same rows of a delivery make the same request with the same key, in each process; a request
//! that follows a refusal has another key, because some APIs repeat the answer to a key. Values of rows cannot
//! change the path or the body around them. It sends nothing. Read next: `delivery.rs`.

use std::ops::Range;

use reqwest::header::HeaderValue;
use towpath_ports::json_string;
use url::Url;

use super::super::body::BodyForm;
use super::super::endpoint::of_table;
use super::super::error::{RestError, Result};
use super::super::kept_file::digest;
use super::super::request::{Body, Request, SentRows};
use super::options::{Call, Change, SEND, SendOptions};
use super::record::Record;

/// Makes the requests of a delivery.
pub(super) struct RequestMaker<'m> {
    pub(super) table: &'m str,
    pub(super) base: &'m Url,
    pub(super) send: &'m SendOptions,
    /// The key columns.
    pub(super) key: &'m [String],
    /// The id of the delivery.
    pub(super) delivery: &'m str,
    /// An earlier process may have sent the same requests.
    pub(super) is_resumed: bool,
}

/// Rows of one request.
pub(super) struct Piece<'p> {
    pub(super) change: Change,
    /// Their numbers among the rows of this change.
    pub(super) rows: Range<usize>,
    pub(super) records: &'p [Record],
    /// How often they were refused before.
    pub(super) refused_before: u64,
}

impl RequestMaker<'_> {
    /// The column without which a row cannot be sent, and why.
    pub(super) fn unsendable(
        (change, call): (Change, &Call),
        record: &Record,
    ) -> Option<(String, &'static str)> {
        // Of a row that is gone only its key is sent.
        if let Some(column) = record.no_json.as_ref().filter(|_| change != Change::Delete) {
            return Some((column.clone(), "is NaN or infinite, which JSON cannot hold"));
        }
        let path = call.path.of(|column| record.text(column));
        path.err().map(|column| {
            (
                column,
                "is NULL, empty or only dots, so it cannot be a part of a path",
            )
        })
    }

    /// The request for a piece.
    pub(super) fn request(&self, call: &Call, piece: &Piece<'_>) -> Result<Request> {
        let url = self.url(call, piece)?;
        let body = self.body(call, piece);
        let idempotency = self.send.idempotency_header.clone().map(|name| {
            let [from, to] = [piece.rows.start, piece.rows.end].map(|row| row.to_string());
            let key = digest(&[
                self.delivery,
                piece.change.word(),
                &from,
                &to,
                &piece.refused_before.to_string(),
                call.method.as_str(),
                url.as_str(),
                body.as_deref().unwrap_or_default(),
            ]);
            let key = HeaderValue::from_str(key.get(..32).unwrap_or(&key));
            key.map(|key| (name, key))
        });
        let idempotency = idempotency
            .transpose()
            .map_err(|_| of_table(self.table, "send.idempotency_header", "cannot be sent"))?;
        Ok(Request {
            method: call.method.clone(),
            url,
            body: body.map(Body::Json),
            accepts: BodyForm::JSON.accepts(),
            may_be_promised: true,
            write: Some(SentRows {
                idempotency,
                may_be_known: self.is_resumed,
            }),
        })
    }

    fn url(&self, call: &Call, piece: &Piece<'_>) -> Result<Url> {
        let option = || format!("{SEND}.{}", piece.change.word());
        let wrong = |why: String| of_table(self.table, &option(), why);
        let value = |column: &str| piece.records.first()?.text(column);
        let path = call.path.of(value);
        let path = path.map_err(|column| wrong(format!("needs a value of `{column}`")))?;
        let url = self.base.join(&path);
        let mut url = url.map_err(|_| wrong("does not make a valid URL".to_owned()))?;
        if path.is_empty()
            && let Ok(mut segments) = url.path_segments_mut()
        {
            // Without a path of its own the address is the connection's `url` as it was written.
            segments.pop_if_empty();
        }
        Ok(url)
    }

    fn body(&self, call: &Call, piece: &Piece<'_>) -> Option<String> {
        let is_delete = piece.change == Change::Delete;
        if is_delete && call.path.is_of_one_row() {
            return None;
        }
        let rows = piece.records.iter().map(|record| match is_delete {
            true => record.only(self.key),
            false => record.json.clone(),
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        let mut body = Vec::new();
        let place = self.send.place(call);
        for name in place {
            body.push(b'{');
            json_string(name.as_bytes(), &mut body);
            body.push(b':');
        }
        let mut body = String::from_utf8(body).unwrap_or_default();
        match self.send.is_list(call) {
            true => body.extend(["[", &rows, "]"]),
            false => body.push_str(&rows),
        }
        body.push_str(&"}".repeat(place.len()));
        Some(body)
    }
}

/// Whether a refusal with this status is about the rows of a request, not about the request as such.
pub(super) fn is_of_rows(status: u16, call: &Call) -> bool {
    match status {
        401 | 405 | 406 | 407 | 411 | 415 | 421 | 426 => false,
        404 | 410 => call.path.is_of_one_row(),
        _ => (400..500).contains(&status),
    }
}

/// True if a refusal says that what was asked is done already: the row is gone.
pub(super) fn is_gone(error: &RestError, change: Change, call: &Call) -> bool {
    let is_absent = matches!(
        error,
        RestError::Refused {
            status: 404 | 410,
            ..
        }
    );
    is_absent && change == Change::Delete && call.path.is_of_one_row()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use serde_json::{Value, json};

    use super::super::sent_keys::RowKey;
    use super::*;

    fn made(send: Value, change: Change, rows: &[&str], refused_before: u64) -> Request {
        let send = SendOptions::read("contacts", Some(&send)).unwrap();
        let base = Url::parse("https://crm.example.com/api/").unwrap();
        let record = |json: &&str| Record {
            key: RowKey::of(json.as_bytes()),
            json: (*json).to_owned(),
            no_json: None,
            again: false,
        };
        let records: Vec<Record> = rows.iter().map(record).collect();
        let maker = RequestMaker {
            table: "contacts",
            base: &base,
            send: &send,
            key: &["id".to_owned()],
            delivery: "d",
            is_resumed: false,
        };
        let piece = Piece {
            change,
            rows: 4..4 + records.len(),
            records: &records,
            refused_before,
        };
        maker.request(send.call(change).unwrap(), &piece).unwrap()
    }

    fn text(request: &Request) -> String {
        let body = request.body.as_ref().map(Body::text);
        format!(
            "{} {} {}",
            request.method,
            request.url.path(),
            body.unwrap_or_default()
        )
    }

    #[test]
    fn one_row_or_a_list_is_the_body_or_inside_it() {
        let row = r#"{"id":"a/b","n":1.10}"#;
        let send = json!({
            "type": "row", "insert": "POST contacts", "update": "PATCH contacts/{id}",
            "delete": "DELETE contacts/{id}", "records": "data.contact",
        });
        let of = |change| text(&made(send.clone(), change, &[row], 0));
        let inside = format!(r#"{{"data":{{"contact":{row}}}}}"#);
        assert_eq!(of(Change::Insert), format!("POST /api/contacts {inside}"));
        assert_eq!(
            of(Change::Update),
            format!("PATCH /api/contacts/a%2Fb {inside}")
        );
        assert_eq!(of(Change::Delete), "DELETE /api/contacts/a%2Fb ");
        let send = json!({
            "type": "batch", "size": 9, "upsert": "PUT ", "update": "PATCH c/{id}",
            "delete": "POST gone", "records": "rows",
        });
        let of = |change, rows: &[&str]| text(&made(send.clone(), change, rows, 0));
        assert_eq!(
            of(Change::Insert, &[row, "{}"]),
            format!(r#"PUT /api {{"rows":[{row},{{}}]}}"#)
        );
        assert_eq!(
            of(Change::Delete, &[row]),
            r#"POST /api/gone {"rows":[{"id":"a/b"}]}"#
        );
        assert_eq!(
            of(Change::Update, &[row]),
            format!("PATCH /api/c/a%2Fb {row}")
        );
    }

    #[test]
    fn a_request_that_comes_again_has_its_key_and_no_other_has_it() {
        let send =
            json!({ "type": "row", "insert": "POST c", "idempotency_header": "Idempotency-Key" });
        let key = |row: &str, refused| {
            let request = made(send.clone(), Change::Insert, &[row], refused);
            let (name, value) = request.write.unwrap().idempotency.unwrap();
            assert_eq!(name.as_str(), "idempotency-key");
            value.to_str().unwrap().to_owned()
        };
        assert_eq!(key("{}", 0), key("{}", 0));
        assert_ne!(key("{}", 0), key("{}", 1));
        assert_ne!(key("{}", 0), key("[]", 0));
    }
}
