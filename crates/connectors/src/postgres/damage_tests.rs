//! Damaged copies: whatever bytes come, a read ends with rows, rejects or an error.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::{Field, Schema};
use bytes::BufMut;
use towpath_ports::Event;
use towpath_vocab::TableName;

use super::assemble::{Assembler, BatchLayout};
use super::error::Result;
use super::literal;
use super::numeric::write_i128;
use super::types::{Column, Kind};
use crate::damage::Dice;
use crate::relational::reader::ReadLayout;

/// Rows in the copy.
const ROWS: i32 = 40;
/// Damaged copies that are read.
const TRIES: usize = 1_500;

fn list(item: Kind) -> Kind {
    Kind::List(Box::new(item))
}

/// Every kind of a column, and lists of some.
fn kinds() -> Vec<Kind> {
    let decimal = Kind::Decimal {
        precision: 12,
        scale: 3,
    };
    vec![
        Kind::Bool,
        Kind::Int2,
        Kind::Int4,
        Kind::Int8,
        Kind::Float4,
        Kind::Float8,
        decimal.clone(),
        Kind::NumericText,
        Kind::Text,
        Kind::Bytes,
        Kind::Date,
        Kind::Time,
        Kind::Timestamp,
        Kind::Instant,
        Kind::Uuid,
        Kind::Jsonb,
        list(Kind::Int4),
        list(Kind::Text),
        list(decimal),
        list(Kind::Timestamp),
    ]
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap());
    out.put_slice(bytes);
}

/// A value as the server sends it, with its length.
fn cell(kind: &Kind, n: i32, out: &mut Vec<u8>) {
    if n % 7 == 3 {
        return out.put_i32(-1);
    }
    let number = i64::from(n) * 1_000_003;
    match kind {
        Kind::Bool => counted(out, &[u8::from(n % 2 == 0)]),
        Kind::Int2 => counted(out, &i16::try_from(n).unwrap().to_be_bytes()),
        Kind::Int4 | Kind::Date => counted(out, &n.to_be_bytes()),
        Kind::Int8 | Kind::Timestamp | Kind::Instant | Kind::Time => {
            counted(out, &number.to_be_bytes());
        }
        Kind::Float4 => counted(out, &1.5_f32.to_be_bytes()),
        Kind::Float8 => counted(out, &f64::from(n).to_be_bytes()),
        Kind::Decimal { .. } | Kind::NumericText => write_i128(out, number.into(), 3),
        Kind::Text => counted(out, format!("wört {n}").as_bytes()),
        Kind::Bytes => counted(out, &[0, 255, 7]),
        Kind::Uuid => counted(out, &[7; 16]),
        Kind::Jsonb => counted(out, b"\x01{\"a\": 1}"),
        Kind::List(item) => {
            let mut array = Vec::new();
            for word in [1, 1, 25, 3, 1] {
                array.put_i32(word);
            }
            (0..3).for_each(|at| cell(item, n + at, &mut array));
            counted(out, &array);
        }
    }
}

fn whole(kinds: &[Kind]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0".to_vec();
    out.put_i32(0);
    out.put_i32(0);
    for row in 0..ROWS {
        out.put_i16(i16::try_from(kinds.len()).unwrap());
        for kind in kinds {
            cell(kind, row, &mut out);
        }
    }
    out.put_i16(-1);
    out
}

fn layout(kinds: &[Kind]) -> BatchLayout {
    let columns: Vec<Column> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| Column {
            name: format!("c{at}"),
            expression: String::new(),
            kind: kind.clone(),
            field: Field::new(format!("c{at}"), kind.data_type(), true),
            type_name: String::new(),
            note: None,
        })
        .collect();
    let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
    BatchLayout {
        read: ReadLayout {
            table: TableName::new("raw", "t"),
            object: "public.t".to_owned(),
            schema: Arc::new(Schema::new(fields)),
            batch_rows: 16,
            batch_bytes: 64 << 10,
        },
        columns: columns.into(),
    }
}

/// Rows and rejects of a copy that comes in pieces.
fn read(layout: &BatchLayout, bytes: &[u8], dice: &mut Dice) -> Result<(usize, usize)> {
    let mut assembler = Assembler::new(layout.clone(), 0);
    let (mut events, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + dice.below(400)).min(rest.len()));
        assembler.feed(now, &mut events)?;
        rest = later;
    }
    assembler.finish(&mut events)?;
    Ok(events
        .iter()
        .fold((0, 0), |(rows, rejects), event| match event {
            Event::Rows(batch) => (rows + batch.batch.num_rows(), rejects),
            Event::Rejects(some) => (rows, rejects + some.len()),
            _ => (rows, rejects),
        }))
}

#[test]
fn a_damaged_copy_is_rows_rejects_or_an_error() {
    let kinds = kinds();
    let (layout, whole) = (layout(&kinds), whole(&kinds));
    let mut dice = Dice::new(7);
    let rows = usize::try_from(ROWS).unwrap();
    assert_eq!(read(&layout, &whole, &mut dice).unwrap(), (rows, 0));
    let (mut refused, mut rejected) = (0, 0);
    for tried in 0..TRIES {
        let bytes = dice.damaged(&whole);
        match read(&layout, &bytes, &mut dice) {
            Err(_) => refused += 1,
            // The flaws are shorter than a row, so each row is there or is a reject.
            Ok((kept, rejects)) => {
                assert_eq!(kept + rejects, rows, "{tried}");
                rejected += rejects;
            }
        }
    }
    assert!(refused > 0 && rejected > 0, "{refused} {rejected}");
}

#[test]
fn an_array_that_promises_more_than_it_has_is_no_array() {
    let dimensions = |sizes: &[i32]| {
        let mut bytes = Vec::new();
        bytes.put_i32(i32::try_from(sizes.len()).unwrap());
        bytes.put_i32(0);
        bytes.put_i32(23);
        for size in sizes {
            bytes.put_i32(*size);
            bytes.put_i32(1);
        }
        bytes
    };
    let began = Instant::now();
    for sizes in [
        vec![i32::MAX, 0],
        vec![i32::MAX],
        vec![1; 100_000],
        vec![-1],
        vec![7, 0, 9],
    ] {
        assert_eq!(
            literal::array(&Kind::Int4, &dimensions(&sizes)),
            None,
            "{}",
            sizes.len()
        );
    }
    let mut two = dimensions(&[2, 1]);
    [1, 2]
        .iter()
        .for_each(|n: &i32| counted(&mut two, &n.to_be_bytes()));
    assert_eq!(
        literal::array(&Kind::Int4, &two).as_deref(),
        Some("{{1},{2}}")
    );
    assert_eq!(
        literal::array(&Kind::Int4, &dimensions(&[])).as_deref(),
        Some("{}")
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_cell_longer_than_any_is_refused_before_it_is_waited_for() {
    let layout = layout(&[Kind::Text]);
    let mut bytes = whole(&[Kind::Text]);
    bytes.truncate(19);
    bytes.put_i16(1);
    bytes.put_i32(i32::MAX);
    let mut assembler = Assembler::new(layout, 0);
    assert!(assembler.feed(&bytes, &mut Vec::new()).is_err());
}
