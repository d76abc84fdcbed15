//! Damaged answers of a server: whatever bytes come, a question ends with rows or an error.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use towpath_vocab::RawRecord;

use super::cells::{cells, digest, raw, values};
use super::login::is_greeting;
use super::packet::{Channel, server_error};
use super::session::Session;
use super::settings::ZeroDates;
use super::types::{Column, Definition};
use crate::damage::Dice;

/// Damaged answers that are read.
const TRIES: usize = 1_500;

/// The types of the columns: code, flags, character set, length, digits behind the point.
const COLUMNS: [(u8, u16, u16, u32, u8); 14] = [
    (1, 0, 63, 4, 0),
    (2, 32, 63, 5, 0),
    (3, 0, 63, 11, 0),
    (8, 32, 63, 20, 0),
    (4, 0, 63, 12, 31),
    (5, 0, 63, 22, 31),
    (246, 0, 63, 14, 3),
    (253, 0, 45, 400, 0),
    (252, 0, 63, 65_535, 0),
    (10, 0, 63, 10, 0),
    (12, 0, 63, 26, 6),
    (11, 0, 63, 17, 6),
    (16, 32, 63, 12, 0),
    (245, 0, 45, 1_000, 0),
];

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(u8::try_from(bytes.len()).unwrap());
    out.extend_from_slice(bytes);
}

fn definition(at: usize) -> Vec<u8> {
    let (code, flags, charset, length, decimals) = COLUMNS[at];
    let name = format!("c{at}");
    let mut out = Vec::new();
    for part in ["def", "shop", "t", "t", &name, &name] {
        counted(&mut out, part.as_bytes());
    }
    out.push(12);
    out.extend(charset.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.push(code);
    out.extend(flags.to_le_bytes());
    out.extend([decimals, 0, 0]);
    out
}

/// A row of the binary protocol; every third column is NULL in every other row.
fn row(n: usize) -> Vec<u8> {
    let is_null = |at: usize| n % 2 == 1 && at.is_multiple_of(3);
    let mut nulls = [0_u8; 3];
    let mut values = Vec::new();
    for at in 0..COLUMNS.len() {
        if is_null(at) {
            nulls[(at + 2) / 8] |= 1 << ((at + 2) % 8);
            continue;
        }
        match COLUMNS[at].0 {
            1 => values.push(7),
            2 => values.extend(700_u16.to_le_bytes()),
            3 => values.extend(70_000_u32.to_le_bytes()),
            8 => values.extend(u64::MAX.to_le_bytes()),
            4 => values.extend(1.5_f32.to_le_bytes()),
            5 => values.extend(2.5_f64.to_le_bytes()),
            10 => counted(&mut values, &[0xE8, 7, 2, 29]),
            12 => counted(&mut values, &[0xE8, 7, 2, 29, 23, 59, 59, 1, 0, 0, 0]),
            11 => counted(&mut values, &[1, 34, 0, 0, 0, 22, 59, 59, 1, 0, 0, 0]),
            16 => counted(&mut values, &[3, 255]),
            246 => counted(&mut values, b"-12345.678"),
            245 => counted(&mut values, b"{\"a\": 1}"),
            _ => counted(&mut values, "größer".as_bytes()),
        }
    }
    let mut out = vec![0];
    out.extend(&nulls[..(COLUMNS.len() + 9) / 8]);
    out.extend(values);
    out
}

fn packet(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    out.extend(&u32::try_from(payload.len()).unwrap().to_le_bytes()[..3]);
    out.push(*sequence);
    *sequence = sequence.wrapping_add(1);
    out.extend_from_slice(payload);
}

/// What a server answers to a statement that is prepared and run.
fn answers() -> Vec<u8> {
    let end = [0xFE, 0, 0, 2, 0];
    let (mut out, mut sequence) = (Vec::new(), 1);
    let columns = u16::try_from(COLUMNS.len()).unwrap();
    let mut prepared = vec![0, 1, 0, 0, 0];
    prepared.extend(columns.to_le_bytes());
    prepared.extend([0, 0, 0, 0, 0]);
    packet(&mut out, &mut sequence, &prepared);
    for again in [false, true] {
        if again {
            sequence = 1;
            packet(&mut out, &mut sequence, &[u8::try_from(columns).unwrap()]);
        }
        (0..COLUMNS.len()).for_each(|at| packet(&mut out, &mut sequence, &definition(at)));
        packet(&mut out, &mut sequence, &end);
    }
    (0..20).for_each(|n| packet(&mut out, &mut sequence, &row(n)));
    packet(&mut out, &mut sequence, &end);
    out
}

async fn asked(bytes: &[u8]) -> Option<usize> {
    let (client, mut server) = tokio::io::duplex(1 << 20);
    server.write_all(bytes).await.unwrap();
    server.shutdown().await.unwrap();
    let mut session = Session::on(client);
    let asking = session.rows("SELECT * FROM t", "reading");
    let rows = tokio::time::timeout(Duration::from_secs(5), asking).await;
    rows.unwrap_or_else(|_| panic!("the answer has no end"))
        .ok()
        .map(|rows| rows.len())
}

#[tokio::test]
async fn damaged_answers_are_rows_or_an_error() {
    let whole = answers();
    assert_eq!(asked(&whole).await, Some(20));
    let mut dice = Dice::new(11);
    let (mut refused, mut read) = (0, 0);
    for tried in 0..TRIES {
        match asked(&dice.damaged(&whole)).await {
            None => refused += 1,
            // A row is never left out, and none comes twice: the packets are numbered.
            Some(rows) => {
                assert_eq!(rows, 20, "{tried}");
                read += 1;
            }
        }
    }
    assert!(refused > 0 && read > 0, "{refused} {read}");
}

#[test]
fn damaged_rows_fit_are_rejected_or_are_malformed() {
    let mut dice = Dice::new(13);
    let known: Vec<Definition> = (0..COLUMNS.len())
        .map(|at| Definition::read(&definition(at)).unwrap())
        .collect();
    let places: Vec<usize> = (0..known.len()).collect();
    let (mut kept, mut rejected, mut malformed) = (0, 0, 0);
    for n in 0..20_000 {
        let bytes = dice.damaged(&row(n));
        // The definitions may be damaged too.
        let mut definitions = known.clone();
        let at = dice.below(definitions.len());
        if let Some(other) = Definition::read(&dice.damaged(&definition(at))) {
            definitions[at] = other;
        }
        let columns: Vec<Column> = definitions.iter().map(|d| Column::of(d, None)).collect();
        let Some(values) = values(&bytes, &definitions) else {
            malformed += 1;
            continue;
        };
        let whole = raw(&values, &columns);
        assert!(matches!(whole, RawRecord::Row(text) if text.starts_with('{')));
        assert!(!digest(&values, &places).is_empty());
        match cells(&values, &columns, ZeroDates::Reject) {
            Ok(_) => kept += 1,
            Err(reasons) => rejected += usize::from(!reasons.is_empty()),
        }
    }
    assert!(
        kept > 0 && rejected > 0 && malformed > 0,
        "{kept} {rejected} {malformed}"
    );
}

#[tokio::test]
async fn damaged_greetings_and_errors_are_read_or_refused() {
    let mut greeting = b"\x0A8.0.36\0\x01\0\0\0abcdefgh\0\xFF\xFF\x2D\x02\0\xFF\xDF\x15".to_vec();
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0caching_sha2_password\0");
    let error = b"\xFF\x15\x04#28000Access denied for user".to_vec();
    assert!(is_greeting(&greeting) && server_error(&error).is_some());
    let mut dice = Dice::new(17);
    let (mut read, mut packets) = (0, 0);
    for _ in 0..5_000 {
        read += usize::from(is_greeting(&dice.damaged(&greeting)));
        read += usize::from(server_error(&dice.damaged(&error)).is_some());
        let (mut stream, mut sequence) = (Vec::new(), 0);
        packet(&mut stream, &mut sequence, &greeting);
        packet(&mut stream, &mut sequence, &error);
        let (client, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(&dice.damaged(&stream)).await.unwrap();
        drop(server);
        let mut channel = Channel::new(client);
        while channel.receive().await.is_ok() {
            packets += 1;
        }
    }
    assert!(read > 0 && packets > 0);
}
