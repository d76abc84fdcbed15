//! Opens a workbook, finds its sheet and looks over the cells that are read.
//!
//! Promise: what the library would take into memory is measured before, so that a small file cannot
//! unpack to more than the limit, and each part has the checksum that was written with it. It writes no
//! row: see `stream.rs`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read as _};

use calamine::{Reader as _, SheetType, SheetVisible, Xlsx, XlsxError};
use zip::ZipArchive;

use super::cell::{has_time, is_filled};
use super::choice::{Area, MOST_COLUMNS, MOST_ROWS, SheetChoice};
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::options::Compression;

/// Unpacked, all parts that are read before the first row.
const MOST_BYTES: u64 = 256 << 20;

/// How a file begins that is no archive: an old workbook, or one that is encrypted.
const OLD_OR_LOCKED: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0];

/// A workbook that is open.
pub(super) type Book = Xlsx<BufReader<File>>;

/// Where the values of a sheet are.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pub(super) first_column: u32,
    pub(super) last_column: u32,
    /// `None`: there is no value.
    pub(super) last_row: Option<u32>,
    /// Columns with a time of day in them.
    pub(super) times: BTreeSet<u32>,
}

/// The workbook, its sheet, and a note about other sheets.
pub(super) fn open(file: &InputFile) -> Result<(Book, String, Option<String>), FilesError> {
    if file.compression != Compression::None {
        return Err(unreadable(file, "it is packed once more: unpack it first"));
    }
    let opened = || {
        let opened = File::open(&file.path);
        opened.map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })
    };
    let mut start = Vec::with_capacity(OLD_OR_LOCKED.len());
    let read = opened()?
        .take(OLD_OR_LOCKED.len() as u64)
        .read_to_end(&mut start);
    read.map_err(|error| unreadable(file, &error.to_string()))?;
    if start == OLD_OR_LOCKED {
        return Err(unreadable(
            file,
            "it is protected with a password, or one of Excel 97",
        ));
    }
    measured(opened()?).map_err(|why| unreadable(file, &why))?;
    let book = Xlsx::new(BufReader::new(opened()?)).map_err(|error| failed(file, &error))?;
    let (sheet, note) = chosen(&book, file)?;
    Ok((book, sheet, note))
}

/// Refuses a workbook whose parts are damaged, too large, or say of themselves that they are. A sheet may
/// be of any size: it is read row by row.
fn measured(file: File) -> Result<(), String> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut left = MOST_BYTES;
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).map_err(|error| error.to_string())?;
        let name = part.name().map_err(|error| error.to_string())?;
        let name = name.to_ascii_lowercase();
        if name.contains("/worksheets/") {
            io::copy(&mut part, &mut io::sink()).map_err(|error| error.to_string())?;
            continue;
        }
        if name.contains("/media/") || name.ends_with('/') {
            continue;
        }
        let mut head = Vec::new();
        let read = part.by_ref().take(4096).read_to_end(&mut head);
        read.map_err(|error| error.to_string())?;
        let rest = io::copy(&mut part.take(left + 1), &mut io::sink());
        let bytes = head.len() as u64 + rest.map_err(|error| error.to_string())?;
        left = left
            .checked_sub(bytes)
            .ok_or_else(|| format!("its texts and styles are more than {} MB", MOST_BYTES >> 20))?;
        if counted(&head).is_some_and(|count| count > bytes) {
            return Err("it counts more texts than it has".to_owned());
        }
    }
    Ok(())
}

/// The number of texts that the table of texts says it has.
fn counted(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head);
    let (_, rest) = text.split_once("uniqueCount=")?;
    let digits = rest.get(1..)?.split(['"', '\'']).next()?;
    digits.trim().parse().ok()
}

fn chosen(book: &Book, file: &InputFile) -> Result<(String, Option<String>), FilesError> {
    let sheets = book.sheets_metadata().iter();
    let sheets: Vec<_> = sheets
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .collect();
    let wanted = file.sheet.sheet.as_deref();
    let by_place = || {
        let place = wanted?.parse::<usize>().ok()?.checked_sub(1)?;
        sheets.get(place)
    };
    let found = match wanted {
        Some(name) => sheets
            .iter()
            .find(|sheet| sheet.name == name)
            .or_else(by_place),
        None => {
            let mut shown = sheets.iter();
            shown.find(|sheet| sheet.visible == SheetVisible::Visible)
        }
    };
    let names = || sheets.iter().map(|sheet| sheet.name.clone());
    let Some(found) = found else {
        return Err(FilesError::NoSheet {
            path: file.object.clone(),
            sheet: wanted.unwrap_or_default().to_owned(),
            present: names().collect(),
        });
    };
    let others: Vec<String> = names()
        .filter(|name| *name != found.name)
        .map(|name| format!("`{name}`"))
        .collect();
    let note = (wanted.is_none() && !others.is_empty()).then(|| {
        format!(
            "the sheet `{}` of `{}` is read; `sheet: NAME` reads another one: {}",
            found.name,
            file.object,
            others.join(", ")
        )
    });
    Ok((found.name.clone(), note))
}

/// Looks at all cells once.
pub(super) fn look(
    book: &mut Book,
    sheet: &str,
    choice: &SheetChoice,
) -> Result<Extent, XlsxError> {
    let mut extent = Extent::default();
    each(book, sheet, choice.area, |(row, column), value| {
        let is_first = extent.last_row.is_none();
        extent.first_column = match is_first {
            true => column,
            false => extent.first_column.min(column),
        };
        extent.last_column = extent.last_column.max(column);
        extent.last_row = Some(row);
        if has_time(value) {
            extent.times.insert(column);
        }
        Ok(())
    })?;
    Ok(extent)
}

/// Gives each cell that has a value, by rows.
pub(super) fn each(
    book: &mut Book,
    sheet: &str,
    area: Area,
    mut take: impl FnMut((u32, u32), &calamine::DataRef<'_>) -> io::Result<()>,
) -> Result<(), XlsxError> {
    let mut cells = book.worksheet_cells_reader(sheet)?;
    let mut before = None;
    while let Some(cell) = cells.next_cell()? {
        let place = cell.get_position();
        if place.0 >= MOST_ROWS || place.1 >= MOST_COLUMNS {
            return Err(XlsxError::Unexpected(
                "a cell outside of what a sheet can have",
            ));
        }
        if before.is_some_and(|before| before >= place) {
            return Err(XlsxError::Unexpected("its cells are not in order"));
        }
        before = Some(place);
        if is_filled(cell.get_value()) && area.has(place) {
            take(place, cell.get_value()).map_err(XlsxError::Io)?;
        }
    }
    Ok(())
}

/// Why a workbook cannot be read.
pub(super) fn failed(file: &InputFile, error: &XlsxError) -> FilesError {
    unreadable(file, &error.to_string())
}

pub(super) fn unreadable(file: &InputFile, why: &str) -> FilesError {
    FilesError::Workbook {
        path: file.object.clone(),
        why: why.to_owned(),
    }
}
