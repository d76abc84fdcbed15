//! Opens a workbook, finds its sheet and looks over the cells that are read.
//!
//! Promise: what the library would take into memory is measured before, so that a small file cannot
//! unpack to more than the limit, and each part has the checksum that was written with it. It writes no
//! row: see `stream.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read as _, Write as _};

use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Xlsx, XlsxError};
use zip::ZipArchive;

use super::cell::{Calendar, has_time, is_filled, is_rounded};
use super::choice::{Area, MOST_COLUMNS, MOST_ROWS, SheetChoice};
use super::relationships::{self, MOST_RELATIONSHIPS};
use super::weigh::Weight;
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::options::Compression;
use crate::files::place::OpenFile;

/// In memory, all parts that are read before the first row.
const MOST_BYTES: u64 = 256 << 20;
/// What the library needs for a text beside its bytes, and at most for an element of another part.
const TEXT_BYTES: u64 = 48;
const TAG_BYTES: u64 = 512;
/// One cell in a sheet: Excel writes at most 32,767 characters.
const MOST_CELL: u64 = 16 << 20;
/// Errors in a sheet that the library does not know.
const MOST_ERRORS: usize = 100_000;
const MOST_ERROR: usize = 64;

/// Folders of an archive with parts that are never read.
const UNREAD: [&str; 9] = [
    "/media/",
    "/pivotcache/",
    "/pivottables/",
    "/drawings/",
    "/charts/",
    "/embeddings/",
    "/externallinks/",
    "/printersettings/",
    "customxml/",
];
/// Parts that the library reads by these names, in whatever folder.
const READ: [&str; 3] = ["sharedstrings.xml", "styles.xml", ".rels"];

/// How a file begins that is no archive: an old workbook, or one that is encrypted.
const OLD_OR_LOCKED: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0];

/// A workbook that is open.
pub(super) type OpenWorkbook = Xlsx<BufReader<OpenFile>>;

/// Where the values of a sheet are.
#[derive(Debug, Default)]
pub(super) struct SheetExtent {
    pub(super) first_column: u32,
    pub(super) last_column: u32,
    /// `None`: there is no value.
    pub(super) last_row: Option<u32>,
    /// Columns with a time of day in them.
    pub(super) times: BTreeSet<u32>,
    pub(super) calendar: Calendar,
    /// How many formulas have no stored value, and where the first one is.
    pub(super) uncalculated: Option<Cells>,
    /// How many numbers can have lost digits, and where the first one is.
    pub(super) rounded: Option<Cells>,
    errors: Errors,
}

/// How many cells, and where the first one is.
type Cells = (u64, (u32, u32));

/// Where errors are that the library does not know, such as `#SPILL!`, by the number of the cell: it gives
/// the name of such an error, and not the place.
type Errors = BTreeMap<u64, (u32, u32)>;

/// The workbook, its sheet, and a note about other sheets.
pub(super) fn open(file: &InputFile) -> Result<(OpenWorkbook, String, Option<String>), FilesError> {
    if file.compression != Compression::None {
        return Err(unreadable(file, "it is packed once more: unpack it first"));
    }
    let opened = || {
        let opened = file.place.open();
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
    let workbook = Xlsx::new(BufReader::new(opened()?)).map_err(|error| failed(file, &error))?;
    let (sheet, note) = chosen(&workbook, file)?;
    Ok((workbook, sheet, note))
}

/// Refuses a workbook whose parts are damaged, too large, or say of themselves that they are. A sheet may
/// be of any size: it is read row by row.
fn measured(file: OpenFile) -> Result<(), String> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut left = MOST_BYTES;
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).map_err(|error| error.to_string())?;
        let name = part.name().map_err(|error| error.to_string())?;
        let name = format!("/{}", name.to_ascii_lowercase());
        let is_read = READ.iter().any(|end| name.ends_with(end));
        if name.ends_with('/') || !is_read && UNREAD.iter().any(|folder| name.contains(folder)) {
            continue;
        }
        if name.ends_with(".rels") {
            let weight = relations(part)?;
            within(needed(&weight, &name), left, "its texts and styles are")?;
            left -= needed(&weight, &name);
            continue;
        }
        let mut weight = Weight::default();
        loop {
            let copied = io::copy(&mut part.by_ref().take(1 << 20), &mut weight);
            if copied.map_err(|error| error.to_string())? == 0 {
                break;
            }
            if weight.is_sheet && !is_read {
                within(weight.longest, MOST_CELL, "one of its cells is")?;
            } else {
                within(needed(&weight, &name), left, "its texts and styles are")?;
            }
        }
        if !weight.is_sheet || is_read {
            left -= needed(&weight, &name);
        }
    }
    Ok(())
}

/// Checks relationships, and counts what they hold.
fn relations(part: impl io::Read) -> Result<Weight, String> {
    let mut text = Vec::new();
    let read = part.take(MOST_RELATIONSHIPS + 1).read_to_end(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_RELATIONSHIPS {
        return Err("its relationships are more than 16 MB".to_owned());
    }
    relationships::check(&text, &UNREAD)?;
    let mut weight = Weight::default();
    weight.write_all(&text).map_err(|error| error.to_string())?;
    Ok(weight)
}

fn within(bytes: u64, most: u64, what: &str) -> Result<(), String> {
    let limit = if most == MOST_CELL { most } else { MOST_BYTES };
    match bytes > most {
        true => Err(format!("{what} more than {} MB", limit >> 20)),
        false => Ok(()),
    }
}

/// What the library takes into memory for a part.
fn needed(weight: &Weight, name: &str) -> u64 {
    let others = match name.ends_with("sharedstrings.xml") {
        true => 0,
        false => weight.tags.saturating_mul(TAG_BYTES),
    };
    let texts = weight.texts.max(counted(weight.table.as_deref()));
    weight
        .bytes
        .saturating_add(texts.saturating_mul(TEXT_BYTES))
        .saturating_add(others)
}

/// The number of texts that the table of texts says it has; too many where that cannot be read.
fn counted(table: Option<&[u8]>) -> u64 {
    let Some(table) = table else { return 0 };
    if table.len() >= 4096 && !table.contains(&b'>') {
        return u64::MAX;
    }
    let text = String::from_utf8_lossy(table);
    let counts = text.split("uniqueCount").skip(1).map(|rest| {
        let value = rest.split(['"', '\'']).nth(1).unwrap_or_default();
        value.trim().parse().unwrap_or(u64::MAX)
    });
    counts.max().unwrap_or(0)
}

fn chosen(
    workbook: &OpenWorkbook,
    file: &InputFile,
) -> Result<(String, Option<String>), FilesError> {
    let sheets = workbook.sheets_metadata().iter();
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
            // Excel does not tell them apart either.
            .or_else(|| sheets.iter().find(|sheet| is_alike(&sheet.name, name)))
            .or_else(by_place),
        None => {
            let mut shown = sheets.iter();
            shown
                .find(|sheet| sheet.visible == SheetVisible::Visible)
                .or(sheets.first())
        }
    };
    if sheets.is_empty() {
        return Err(unreadable(file, "it has no sheet with cells"));
    }
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

fn is_alike(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

impl SheetExtent {
    fn add(&mut self, (row, column): (u32, u32)) {
        self.first_column = match self.last_row {
            None => column,
            Some(_) => self.first_column.min(column),
        };
        self.last_column = self.last_column.max(column);
        self.last_row = self.last_row.max(Some(row));
    }
}

/// Looks at all cells once.
pub(super) fn measure(
    workbook: &mut OpenWorkbook,
    sheet: &str,
    choice: &SheetChoice,
) -> Result<SheetExtent, XlsxError> {
    let calendar = Calendar {
        is_from_1904: workbook.has_1904_epoch(),
    };
    let mut extent = SheetExtent {
        calendar,
        ..SheetExtent::default()
    };
    let mut has_empty = false;
    let unknown = each(
        workbook,
        sheet,
        choice.area,
        &Errors::new(),
        |place, value| {
            if !is_filled(value) {
                has_empty |= matches!(value, DataRef::Empty);
                return Ok(());
            }
            extent.add(place);
            if is_rounded(value) {
                let (count, first) = extent.rounded.unwrap_or((0, place));
                extent.rounded = Some((count + 1, first));
            }
            if has_time(value, calendar) {
                extent.times.insert(place.1);
            }
            Ok(())
        },
    )?;
    if !unknown.is_empty() {
        extent.errors = places(workbook, sheet, &unknown)?;
        // With these in their places, all cells must still be in order.
        each_of(workbook, sheet, choice.area, &extent, |_, _| Ok(()))?;
        let places = extent.errors.values().copied();
        let inside: Vec<_> = places.filter(|place| choice.area.has(*place)).collect();
        inside.into_iter().for_each(|place| extent.add(place));
    }
    if has_empty {
        extent.uncalculated = uncalculated(workbook, sheet, choice.area)?;
    }
    Ok(extent)
}

/// Counts the formulas that have no stored value, and finds the first one. A formula with an empty text as
/// its value is not one of them.
fn uncalculated(
    workbook: &mut OpenWorkbook,
    sheet: &str,
    area: Area,
) -> Result<Option<Cells>, XlsxError> {
    let mut cells = workbook.worksheet_cells_reader(sheet)?;
    let mut found = None;
    loop {
        let cell = match cells.next_cell_with_formula_metadata() {
            Ok(Some(cell)) => cell,
            Ok(None) => return Ok(found),
            // It has a value: an error that the library does not know.
            Err(XlsxError::CellError(name)) if is_error(&name) => continue,
            Err(error) => return Err(error),
        };
        if cell.formula.is_some() && cell.value == DataRef::Empty && area.has(cell.pos) {
            let (count, first) = found.unwrap_or((0, cell.pos));
            found = Some((count + 1, first));
        }
    }
}

/// Gives each cell of a sheet that was looked over and has a value, by rows.
pub(super) fn each_of(
    workbook: &mut OpenWorkbook,
    sheet: &str,
    area: Area,
    extent: &SheetExtent,
    mut take: impl FnMut((u32, u32), &DataRef<'_>) -> io::Result<()>,
) -> Result<(), XlsxError> {
    let unknown = each(
        workbook,
        sheet,
        area,
        &extent.errors,
        |place, value| match is_filled(value) {
            true => take(place, value),
            false => Ok(()),
        },
    )?;
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(XlsxError::Unexpected("it changed while it was read")),
    }
}

/// Gives each cell, also one without a value, by rows; returns the numbers of those with an error that has no known
/// place.
fn each(
    workbook: &mut OpenWorkbook,
    sheet: &str,
    area: Area,
    errors: &Errors,
    mut take: impl FnMut((u32, u32), &DataRef<'_>) -> io::Result<()>,
) -> Result<Vec<u64>, XlsxError> {
    let mut cells = workbook.worksheet_cells_reader(sheet)?;
    let (mut before, mut number, mut unknown) = (None, 0_u64, Vec::new());
    loop {
        number += 1;
        let (place, value) = match cells.next_cell() {
            Ok(Some(cell)) => (cell.get_position(), cell.get_value().clone()),
            Ok(None) => return Ok(unknown),
            Err(XlsxError::CellError(name)) if is_error(&name) => match errors.get(&number) {
                Some(place) => (*place, DataRef::String(name)),
                None if unknown.len() < MOST_ERRORS => {
                    unknown.push(number);
                    continue;
                }
                None => return Err(XlsxError::CellError(name)),
            },
            Err(error) => return Err(error),
        };
        if place.0 >= MOST_ROWS || place.1 >= MOST_COLUMNS {
            return Err(XlsxError::Unexpected(
                "a cell outside of what a sheet can have",
            ));
        }
        if before.is_some_and(|before| before >= place) {
            return Err(XlsxError::Unexpected("its cells are not in order"));
        }
        before = Some(place);
        if area.has(place) {
            take(place, &value).map_err(XlsxError::Io)?;
        }
    }
}

/// Whether this is the name of an error in a cell.
fn is_error(name: &str) -> bool {
    name.starts_with('#') && name.len() <= MOST_ERROR
}

/// The places of cells by their numbers.
fn places(workbook: &mut OpenWorkbook, sheet: &str, wanted: &[u64]) -> Result<Errors, XlsxError> {
    let mut cells = workbook.worksheet_cells_reader(sheet)?;
    let (mut found, mut number) = (Errors::new(), 0_u64);
    let mut wanted = wanted.iter().peekable();
    // What is asked for here are formulas, so no value can stop it.
    while let (Some(next), Some(cell)) = (wanted.peek(), cells.next_formula()?) {
        number += 1;
        if **next == number {
            found.insert(number, cell.get_position());
            wanted.next();
        }
    }
    Ok(found)
}

/// Why a workbook cannot be read.
pub(super) fn failed(file: &InputFile, error: &XlsxError) -> FilesError {
    unreadable(file, &error.to_string())
}

pub(super) fn unreadable(file: &InputFile, why: &str) -> FilesError {
    if let Some(failure) = file.place.failure() {
        return failure;
    }
    FilesError::Workbook {
        path: file.object.clone(),
        why: why.to_owned(),
    }
}
