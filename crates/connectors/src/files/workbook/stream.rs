//! A sheet as a stream of text, made by a thread of its own.
//!
//! Promise: the text ends only where the sheet ends; whatever stops the thread before is an error of the
//! read. The thread ends when nobody reads any more. Read next: `open.rs`, `cell.rs`.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use calamine::XlsxError;

use super::cell::{self, DELIMITER, ROW_END};
use super::choice::{SheetChoice, name_of};
use super::open::{self, OpenWorkbook, SheetExtent};
use crate::files::columnar::quietly;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// Bytes that are sent at once, and how many such pieces wait.
const PIECE: usize = 64 << 10;
const WAITING: usize = 4;

enum Piece {
    /// The sheet is found; with what to say about it.
    Ready(Vec<String>),
    Text(Vec<u8>),
    End,
    Failed(FilesError),
}

/// The text of the sheet that a file chooses, and what to say about the choice.
pub(crate) fn open(file: &InputFile) -> Result<(Box<dyn Read + Send>, Vec<String>), FilesError> {
    let (sender, receiver) = sync_channel(WAITING);
    let read = file.clone();
    let thread = std::thread::Builder::new().name("workbook".to_owned());
    let started = thread.spawn(move || run(&read, &sender));
    started.map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    match receiver.recv() {
        Ok(Piece::Ready(notes)) => {
            let text = SheetText {
                receiver,
                piece: Vec::new(),
                at: 0,
                has_ended: false,
            };
            Ok((Box::new(text), notes))
        }
        Ok(Piece::Failed(error)) => Err(error),
        _ => Err(FilesError::Broken {
            path: file.object.clone(),
        }),
    }
}

fn run(file: &InputFile, sender: &SyncSender<Piece>) {
    let done = quietly(|| send(file, sender));
    let last = match done {
        Ok(Ok(())) => Piece::End,
        Ok(Err(error)) => Piece::Failed(error),
        Err(why) => Piece::Failed(open::unreadable(file, &why)),
    };
    // Nobody may listen any more.
    let _ = sender.send(last);
}

fn send(file: &InputFile, sender: &SyncSender<Piece>) -> Result<(), FilesError> {
    let (mut opened, sheet, note) = open::open(file)?;
    let failed = |error: XlsxError| open::failed(file, &error);
    let extent = open::measure(&mut opened, &sheet, &file.sheet).map_err(failed)?;
    if let Some((count, first)) = extent.uncalculated {
        return Err(FilesError::Uncalculated {
            path: file.object.clone(),
            sheet,
            count,
            first: name_of(first),
        });
    }
    let rounded = extent.rounded.map(|(count, first)| {
        format!(
            "the sheet `{sheet}` of `{}` has {count} numbers of 2^53 (9007199254740992) or more, the first one in {}: they are read with 15 to 17 digits, as Excel stores them; identifiers with more digits must be texts in the workbook",
            file.object,
            name_of(first)
        )
    });
    let notes = note.into_iter().chain(rounded).collect();
    if sender.send(Piece::Ready(notes)).is_err() {
        return Ok(());
    }
    match rows(&mut opened, &sheet, &file.sheet, &extent, sender) {
        // Nobody reads any more.
        Err(XlsxError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(failed),
    }
}

/// Sends all rows. Each has as many cells as the widest; one without a value is a blank line.
fn rows(
    opened: &mut OpenWorkbook,
    sheet: &str,
    choice: &SheetChoice,
    extent: &SheetExtent,
    sender: &SyncSender<Piece>,
) -> Result<(), XlsxError> {
    let mut text = Vec::with_capacity(PIECE);
    let (mut row, mut column) = (0, None);
    let end = |text: &mut Vec<u8>, column: Option<u32>| {
        if let Some(column) = column {
            text.extend((column..extent.last_column).map(|_| DELIMITER));
        }
        text.push(ROW_END);
    };
    let push = |text: &mut Vec<u8>| {
        let piece = std::mem::replace(text, Vec::with_capacity(PIECE));
        let sent = sender.send(Piece::Text(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    open::each_of(opened, sheet, choice.area, extent, |(at, place), value| {
        while row < at {
            end(&mut text, column.take());
            row += 1;
        }
        let from = column.unwrap_or(extent.first_column);
        text.extend((from..place).map(|_| DELIMITER));
        column = Some(place);
        let with_time = extent.times.contains(&place);
        cell::write(value, extent.calendar, with_time, &mut text);
        match text.len() >= PIECE {
            true => push(&mut text),
            false => Ok(()),
        }
    })?;
    if extent.last_row.is_some() {
        end(&mut text, column);
    }
    push(&mut text).map_err(XlsxError::Io)
}

/// The reading end.
struct SheetText {
    receiver: Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    has_ended: bool,
}

impl Read for SheetText {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() && !self.has_ended {
            let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
            match self.receiver.recv() {
                Ok(Piece::Text(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Piece::End) => self.has_ended = true,
                Ok(Piece::Failed(error)) => return Err(wrong(error.to_string())),
                Ok(Piece::Ready(_)) | Err(_) => {
                    return Err(wrong("its reader ended early".to_owned()));
                }
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}
