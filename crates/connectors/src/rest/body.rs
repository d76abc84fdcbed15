//! The body of an answer that is not JSON, as JSON: CSV, lines of JSON, XML, and what is packed.
//!
//! Promise: each value keeps the text that the server wrote. A text that is a number or a truth value in
//! JSON is written as one, as the reader of CSV files takes it; whether its column is one, all values decide
//! later. A body that is not whole, or of another kind than the table says, is an error. Read next:
//! `xml.rs`, `page.rs`.

use std::collections::HashSet;
use std::io::{Cursor, Read};

use encoding_rs::{Encoding, UTF_8};
use glob::Pattern;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value};

use super::path::JsonPath;
use super::raw::Raw;
use super::xml;
use crate::exact::xml::scalar;
use crate::files::WholeCsv;

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    JsonLines,
    Csv {
        how: WholeCsv,
        has_header: bool,
        nulls: Vec<String>,
    },
    /// With the path of its records.
    Xml(JsonPath),
}

/// How a body is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Gzip,
    /// The members of an archive with such names.
    Zip(Pattern),
}

/// The bodies of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BodyForm {
    pub(super) kind: Kind,
    pub(super) packed: Packed,
    pub(super) encoding: Option<&'static Encoding>,
}

/// A body as JSON.
pub(super) struct Converted {
    pub(super) json: Vec<u8>,
    /// The names of its columns, where the body says them once for all records.
    pub(super) columns: Option<Vec<String>>,
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is not what the table says.
    Wrong(String),
    /// It is not whole.
    Cut(&'static str),
    TooLarge,
}

type Result<T> = std::result::Result<T, Unreadable>;

fn wrong<T>(why: impl Into<String>) -> Result<T> {
    Err(Unreadable::Wrong(why.into()))
}

impl BodyForm {
    /// What a table says that says nothing.
    pub(super) const JSON: Self = Self {
        kind: Kind::Json,
        packed: Packed::No,
        encoding: None,
    };

    /// The header `Accept` of its requests.
    pub(super) fn accepts(&self) -> &'static str {
        match (&self.packed, &self.kind) {
            (Packed::Gzip | Packed::Zip(_), _) => "*/*",
            (Packed::No, Kind::Json) => "application/json",
            (Packed::No, Kind::JsonLines) => "application/x-ndjson, application/jsonl, */*;q=0.5",
            (Packed::No, Kind::Csv { .. }) => "text/csv, text/plain;q=0.9, */*;q=0.5",
            (Packed::No, Kind::Xml(_)) => "application/xml, text/xml, */*;q=0.5",
        }
    }

    /// The word of its `type`.
    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            Kind::Json => "JSON",
            Kind::JsonLines => "lines of JSON",
            Kind::Csv { .. } => "CSV",
            Kind::Xml(_) => "XML",
        }
    }

    /// A body as JSON, of at most so many bytes once it is unpacked.
    pub(super) fn json(
        &self,
        body: Vec<u8>,
        headers: &HeaderMap,
        most: usize,
    ) -> Result<Converted> {
        let parts = match &self.packed {
            Packed::No => vec![body],
            Packed::Gzip => vec![ungzipped(&body, most)?],
            Packed::Zip(names) => self.unzipped(body, names, most)?,
        };
        let mut all = Converted {
            json: Vec::new(),
            columns: None,
        };
        for part in parts {
            let text = self.text(part, headers)?;
            let part = self.converted(&text, headers)?;
            if all.columns.is_some() && part.columns != all.columns {
                return wrong("its files have different headers");
            }
            all.columns = part.columns.or(all.columns);
            append(&mut all.json, part.json);
        }
        Ok(all)
    }

    /// The files of an archive. Only records that stand one behind the other can be in several.
    fn unzipped(&self, body: Vec<u8>, names: &Pattern, most: usize) -> Result<Vec<Vec<u8>>> {
        if !body.starts_with(b"PK") {
            return wrong("it is not a zip archive");
        }
        let broken = |_| Unreadable::Cut("it is not a whole zip archive");
        let mut archive = zip::ZipArchive::new(Cursor::new(body)).map_err(broken)?;
        let (mut parts, mut left) = (Vec::new(), most);
        for number in 0..archive.len() {
            let mut member = match archive.by_index(number) {
                Ok(member) => member,
                Err(zip::result::ZipError::UnsupportedArchive(why)) => {
                    return wrong(format!("its zip archive cannot be read: {why}"));
                }
                Err(_) => return Err(Unreadable::Cut("it is not a whole zip archive")),
            };
            let name = member.name().map_err(broken)?.into_owned();
            if member.is_dir() || !names.matches(&name) {
                continue;
            }
            let part = limited(&mut member, left, "a file of its zip archive is not whole")?;
            left -= part.len();
            parts.push(part);
        }
        match (parts.len(), &self.kind) {
            (0, _) => wrong(format!("its zip archive has no file `{names}`")),
            (1, _) | (_, Kind::Csv { .. } | Kind::JsonLines) => Ok(parts),
            (count, _) => wrong(format!(
                "its zip archive has {count} files, and only CSV and lines of JSON can be in several: choose one with `member`"
            )),
        }
    }

    /// A part in UTF-8.
    fn text(&self, part: Vec<u8>, headers: &HeaderMap) -> Result<String> {
        let marked = Encoding::for_bom(&part).map(|(encoding, _)| encoding);
        let declared = match self.kind {
            Kind::Xml(_) => xml::declared(&part),
            _ => None,
        };
        // Headers say how the answer is written, not what is packed in it.
        let said = charset(headers).filter(|_| self.packed == Packed::No);
        let encoding = marked.or(self.encoding).or(said).or(declared);
        let encoding = encoding.unwrap_or(UTF_8);
        let skipped = Encoding::for_bom(&part).map_or(0, |(_, length)| length);
        let bytes = part.get(skipped..).unwrap_or_default();
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
        match text {
            Some(text) => Ok(text.into_owned()),
            None => wrong(format!("it is not in {}", encoding.name())),
        }
    }

    fn converted(&self, text: &str, headers: &HeaderMap) -> Result<Converted> {
        let of = |json: String| Converted {
            json: json.into_bytes(),
            columns: None,
        };
        match &self.kind {
            Kind::Json => Ok(of(text.to_owned())),
            Kind::JsonLines => lines(text).map(of),
            Kind::Xml(records) => xml::json(text, records).map(of).map_err(Unreadable::Wrong),
            Kind::Csv {
                how,
                has_header,
                nulls,
            } => {
                // A page for people or a message would be a table of one column.
                if self.packed == Packed::No
                    && let Some(other) = other_kind(text, headers)
                {
                    return wrong(format!("it is {other}"));
                }
                csv(text, how, *has_header, nulls)
            }
        }
    }
}

/// Puts a JSON array behind another one; anything else is the only one.
fn append(all: &mut Vec<u8>, part: Vec<u8>) {
    if all.is_empty() {
        *all = part;
        return;
    }
    let is_empty = |list: &[u8]| list.trim_ascii() == b"[]";
    if is_empty(all) {
        *all = part;
    } else if !is_empty(&part) {
        all.pop();
        all.push(b',');
        all.extend_from_slice(part.get(1..).unwrap_or_default());
    }
}

fn ungzipped(body: &[u8], most: usize) -> Result<Vec<u8>> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return wrong("it is not packed with gzip");
    }
    let mut input = flate2::read::MultiGzDecoder::new(body);
    limited(&mut input, most, "its gzip data is not complete")
}

fn limited(input: &mut dyn Read, most: usize, cut: &'static str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let read = input.take(most as u64 + 1).read_to_end(&mut out);
    match read {
        Err(_) => Err(Unreadable::Cut(cut)),
        Ok(_) if out.len() > most => Err(Unreadable::TooLarge),
        Ok(_) => Ok(out),
    }
}

/// The encoding that the header says.
fn charset(headers: &HeaderMap) -> Option<&'static Encoding> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let label = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Encoding::for_label(label.trim().trim_matches('"').as_bytes())
}

/// What an answer is that should be CSV and is not.
fn other_kind(text: &str, headers: &HeaderMap) -> Option<&'static str> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let head = text
        .trim_start()
        .get(..9)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if kind.ends_with("/html") || head.starts_with("<html") || head == "<!doctype" {
        return Some("a page for people (HTML)");
    }
    let is_json = text.trim_start().starts_with(['{', '[']) && Raw::read(text).is_ok();
    if is_json || kind.ends_with("/json") || kind.ends_with("+json") {
        return Some("JSON");
    }
    let is_xml = kind.ends_with("/xml") || kind.ends_with("+xml") || head.starts_with("<?xml");
    is_xml.then_some("XML")
}

/// Lines of JSON as an array.
fn lines(text: &str) -> Result<String> {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('[');
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if Raw::read(line).is_err() {
            return wrong(format!("its line {} is not JSON", number + 1));
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(line.trim());
    }
    json.push(']');
    Ok(json)
}

/// CSV as an array of maps.
fn csv(text: &str, how: &WholeCsv, has_header: bool, nulls: &[String]) -> Result<Converted> {
    let mut json = String::with_capacity(text.len() * 2);
    json.push('[');
    let mut columns: Option<Vec<String>> = None;
    let read = how.records(text.as_bytes(), &mut |cells| {
        // Of valid UTF-8 each cell is, because it is cut at ASCII.
        let cell =
            |(text, quoted): (Vec<u8>, bool)| (String::from_utf8_lossy(&text).into_owned(), quoted);
        let cells: Vec<(String, bool)> = cells.into_iter().map(cell).collect();
        let Some(columns) = &columns else {
            let names = named(&cells, has_header);
            if !has_header {
                object(&mut json, &names, &cells, nulls);
            }
            columns = Some(names);
            return;
        };
        object(&mut json, columns, &cells, nulls);
    });
    if let Err((line, why)) = read {
        return wrong(format!("line {line}: {why}"));
    }
    if columns.is_none() && has_header {
        return wrong("it is empty, also without a header");
    }
    json.push(']');
    Ok(Converted {
        json: json.into_bytes(),
        columns: columns.filter(|_| has_header),
    })
}

/// Names of columns, by the rules of CSV files.
fn named(cells: &[(String, bool)], has_header: bool) -> Vec<String> {
    let mut used = HashSet::new();
    let names = cells.iter().enumerate().map(|(at, (name, _))| {
        let name = match (has_header, name.is_empty()) {
            (false, _) => format!("column{}", at + 1),
            (true, true) => format!("column{at}"),
            (true, false) => name.clone(),
        };
        let again = (1..).map(|count| format!("{name}_{count}"));
        let mut names = std::iter::once(name.clone()).chain(again);
        let free = names.find(|name| !used.contains(name)).unwrap_or(name);
        used.insert(free.clone());
        free
    });
    names.collect()
}

fn object(json: &mut String, columns: &[String], cells: &[(String, bool)], nulls: &[String]) {
    if json.len() > 1 {
        json.push(',');
    }
    let values = columns.iter().zip(cells).map(|(name, (text, quoted))| {
        let is_null = match quoted {
            true => text.is_empty() && nulls.iter().any(String::is_empty),
            false => text.is_empty() || nulls.contains(text),
        };
        let value = if is_null { Value::Null } else { scalar(text) };
        (name.clone(), value)
    });
    let object = Value::Object(values.collect::<Map<_, _>>());
    json.push_str(&object.to_string());
}
