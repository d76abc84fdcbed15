//! Answers that are not JSON: CSV, lines of JSON, XML, and what is packed; whole and exact, or a failure.

use std::io::Write as _;

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};
use zip::write::SimpleFileOptions;

use crate::{Api, number, rows};

fn csv(body: impl Into<Vec<u8>>) -> HttpAnswer {
    HttpAnswer::new(200, body).header("content-type", "text/csv")
}

fn xml(body: impl Into<Vec<u8>>) -> HttpAnswer {
    HttpAnswer::new(200, body).header("content-type", "application/xml")
}

/// An API that gives one answer.
fn one(items: Value, answer: HttpAnswer) -> Api {
    Api::new(items, move |_| answer.clone())
}

fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive
        .add_directory("parts", SimpleFileOptions::default())
        .unwrap();
    for (name, text) in files {
        archive
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[tokio::test]
async fn csv_is_read_as_files_are() {
    let body = "id,price,code,said,at\r\n1,1.10,007,\"a \"\"b\"\",\nc\",2024-01-02\r\n2,20,1.10,,2024-01-03\n\n3,,x,\"\",2024-01-04";
    let items = json!({ "response": { "type": "csv" } });
    let api = one(items, csv(body));
    let read = api.rows().await.unwrap();
    assert_eq!(
        api.server.requests()[0].header("accept"),
        Some("text/csv, text/plain;q=0.9, */*;q=0.5")
    );
    let read: Vec<Value> = read
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(read[0]["id"], "1");
    assert_eq!(read[0]["price"], "1.1");
}

#[tokio::test]
async fn csv_of_another_form_is_read() {
    let items = json!({ "response": {
        "type": "csv", "delimiter": "tab", "quote": "", "header": false,
        "null_values": ["NA"], "encoding": "windows-1252",
    } });
    let api = one(
        items,
        HttpAnswer::new(200, b"1\t\"caf\xe9\n2\tNA\n".to_vec()),
    );
    let read = api.rows().await.unwrap();
    assert_eq!(read[0], "{\"column1\":\"1\",\"column2\":\"\\\"café\"}");
    assert!(!read[1].contains("NA"), "{read:?}");
    let latin = HttpAnswer::new(200, b"name\ncaf\xe9\n".to_vec())
        .header("content-type", "text/csv; charset=ISO-8859-1");
    let api = one(json!({ "response": { "type": "csv" } }), latin);
    assert_eq!(api.rows().await.unwrap(), ["{\"name\":\"café\"}"]);
}

#[tokio::test]
async fn pages_of_csv_end_and_repeat_like_others() {
    let items = json!({ "response": { "type": "csv" }, "paginate": { "type": "page" } });
    let api = Api::new(items.clone(), |request| match number(request, "page") {
        1 => csv("id\n1\n2\n"),
        2 => csv("id\n3\n"),
        _ => csv("id\n"),
    });
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    let api = Api::new(items.clone(), |_| csv("id\n1\n2\n"));
    assert_eq!(api.failure().await.code, "R0361");
    // A later page without a header would lose its first record.
    let api = Api::new(items, |request| match number(request, "page") {
        1 => csv("id\n1\n2\n"),
        2 => csv("3\n4\n"),
        _ => csv("id\n"),
    });
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0382");
    assert!(failure.message.contains("header"), "{failure:?}");
}

#[tokio::test]
async fn what_is_not_csv_is_a_failure() {
    let items = || json!({ "response": { "type": "csv" } });
    for (answer, why) in [
        (csv("a,b\n1,2\n3\n"), "line 3"),
        (csv("a,b\n1,\"2\n3,4\n"), "line 2"),
        (csv("a\n\"1\"x\n"), "line 2"),
        (csv(""), "empty"),
        (csv(b"a\n\xff\xfe\n".to_vec()), "UTF-8"),
        (HttpAnswer::new(200, "<!DOCTYPE html><p>Log in</p>"), "HTML"),
        (
            HttpAnswer::new(200, "Log in").header("content-type", "text/html; charset=utf-8"),
            "HTML",
        ),
        (HttpAnswer::json("{\"error\":\"no\"}"), "JSON"),
        (csv("{\"error\":\"no\"}"), "JSON"),
        (HttpAnswer::new(200, "<?xml version=\"1.0\"?><e/>"), "XML"),
    ] {
        let failure = one(items(), answer).failure().await;
        assert_eq!(failure.code, "R0382", "{why}: {failure:?}");
        assert!(failure.message.contains(why), "{why}: {failure:?}");
    }
    let api = one(items(), csv("a\n1\n2\n3\n4\n").cut_after(4)).option("retries", json!(1));
    assert_eq!(api.failure().await.code, "R0352");
    assert_eq!(api.server.requests().len(), 2);
    let api = one(items(), csv("a\n1\n2\n3\n4\n")).option("max_page_bytes", json!(5));
    assert_eq!(api.failure().await.code, "R0359");
}

#[tokio::test]
async fn lines_of_json_are_records() {
    let items = json!({ "response": { "type": "jsonl" } });
    let api = one(
        items.clone(),
        HttpAnswer::new(200, "{\"id\":1}\n\n{\"id\":2}\r\n"),
    );
    assert_eq!(api.rows().await.unwrap(), rows(1..3));
    for (body, line) in [
        ("{\"id\":1}\n{\"id\":", "line 2"),
        ("{\"id\":1},\n{\"id\":2}", "line 1"),
    ] {
        let failure = one(items.clone(), HttpAnswer::new(200, body))
            .failure()
            .await;
        assert_eq!(failure.code, "R0382");
        assert!(failure.message.contains(line), "{failure:?}");
    }
}

fn feed() -> Value {
    json!({
        "response": { "type": "xml" },
        "records": "feed.entry",
        "paginate": { "type": "cursor", "at": "feed.next", "param": "c" },
    })
}

#[tokio::test]
async fn xml_is_read_by_one_rule_and_its_pages_are_followed() {
    let api = Api::new(feed(), |request: &HttpRequest| match number(request, "c") {
        0 => xml(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a:feed xmlns:a=\"u\"><a:entry><id>1</id><price cur=\"EUR\">1.10</price></a:entry><a:entry><id>2</id></a:entry><next>7</next></a:feed>",
        ),
        7 => xml("<feed><entry><id>3</id></entry><next>8</next></feed>"),
        _ => xml("<feed><next/></feed>"),
    });
    let read = api.rows().await.unwrap();
    assert_eq!(read.len(), 3, "{read:?}");
    assert!(
        read[0].contains("\"id\":\"1\"") && read[0].contains("1.10") && read[0].contains("EUR"),
        "{read:?}"
    );
    assert!(read[2].contains("\"id\":\"3\""), "{read:?}");
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><feed><entry><id>caf\xe9</id></entry><next/></feed>";
    let api = one(feed(), HttpAnswer::new(200, latin.to_vec()));
    assert_eq!(api.rows().await.unwrap(), ["{\"id\":\"café\"}"]);
}

#[tokio::test]
async fn what_is_not_whole_xml_is_a_failure() {
    for (answer, code) in [
        (xml("<feed><entry><id>1</id></entry>"), "R0382"),
        (
            xml(
                "<!DOCTYPE feed [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><feed><entry>&x;</entry></feed>",
            ),
            "R0382",
        ),
        (xml("not xml"), "R0382"),
        (xml("<error>no</error>"), "R0360"),
        // The field that says whether there are more is not there.
        (xml("<feed><entry><id>1</id></entry></feed>"), "R0372"),
    ] {
        let failure = one(feed(), answer).failure().await;
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(!format!("{failure:?}").contains("root:"), "{failure:?}");
    }
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let gzip = json!({ "response": { "type": "csv", "unpack": "gzip" } });
    let api = one(gzip.clone(), HttpAnswer::new(200, gzipped(b"id\n1\n2\n")));
    assert_eq!(api.rows().await.unwrap(), rows(1..3));
    let zip = json!({ "response": { "type": "csv", "unpack": "zip", "member": "*.csv" } });
    let two = zipped(&[
        ("parts/a.csv", "id\n1\n"),
        ("parts/b.csv", "id\n2\n3\n"),
        ("read.me", "hi"),
    ]);
    let api = one(zip.clone(), HttpAnswer::new(200, two.clone()));
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    let json = json!({ "response": { "type": "json", "unpack": "zip" }, "records": "data" });
    let api = one(
        json.clone(),
        HttpAnswer::new(200, zipped(&[("x.json", "{\"data\":[{\"id\":1}]}")])),
    );
    assert_eq!(api.rows().await.unwrap(), rows(1..2));

    let big = gzipped(format!("id\n{}", "1\n".repeat(100_000)).as_bytes());
    for (items, body, code) in [
        (gzip.clone(), gzipped(b"id\n1\n2\n")[..20].to_vec(), "R0352"),
        (gzip.clone(), b"id\n1\n".to_vec(), "R0382"),
        (gzip, big, "R0359"),
        (zip.clone(), two[..two.len() - 30].to_vec(), "R0352"),
        (zip.clone(), b"id\n1\n".to_vec(), "R0382"),
        (zip.clone(), zipped(&[("x.txt", "id\n1\n")]), "R0382"),
        (
            zip,
            zipped(&[("a.csv", "id\n1\n"), ("b.csv", "name\n1\n")]),
            "R0382",
        ),
        (json, two, "R0382"),
    ] {
        let api =
            one(items.clone(), HttpAnswer::new(200, body)).option("max_page_bytes", json!(10_000));
        let failure = api.failure().await;
        assert_eq!(failure.code, code, "{items} {failure:?}");
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_meant_is_refused() {
    for items in [
        json!({ "response": { "type": "csv" }, "records": "data" }),
        json!({ "response": { "type": "xml" } }),
        json!({ "response": { "type": "xml" }, "records": "$" }),
        json!({ "response": { "type": "yaml" } }),
        json!({ "response": { "type": "csv", "delimiter": ";;" } }),
        json!({ "response": { "type": "csv", "delimiter": "" } }),
        json!({ "response": { "type": "csv", "delimiter": "|", "quote": "|" } }),
        json!({ "response": { "type": "csv", "header": "yes" } }),
        json!({ "response": { "type": "csv", "encoding": "klingon" } }),
        json!({ "response": { "type": "csv", "unpack": "rar" } }),
        json!({ "response": { "type": "csv", "member": "a" } }),
        json!({ "response": { "type": "csv", "unpack": "zip", "member": "[" } }),
        json!({ "response": { "type": "csv" }, "graphql": "{ a }" }),
    ] {
        let api = one(items.clone(), csv("id\n1\n"));
        assert_eq!(api.failure().await.code, "R0350", "{items}");
        assert!(api.server.requests().is_empty(), "{items}");
    }
}
