//! Records of Avro blocks as rows.
//!
//! Promise: blocks are decoded together up to a size. The library reads each of them as a list of records with a seal
//! behind it: bytes which are left over or missing break the seal, and the list must be as long as the block says.
//! A block is unpacked before memory is held for it, to no more than a part may take. It knows no declared types.
//! Read next: `container.rs`.

use std::io::Read;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow_avro::reader::ReaderBuilder;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use serde_json::json;

use super::codec::UnpackError;
use super::container::{BlockHead, Container, unreadable};
use super::schema;
use crate::files::columnar::{
    FileColumn, FileSummary, Limits, Opened, Part, Parts, damaged, fitting, quietly,
};
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// Behind the records.
const SEAL: [u8; 16] = *b"towpath: no more";
/// Places in a batch are 32 bits wide.
const MOST_ROWS: u64 = i32::MAX as u64;
const MOST_BYTES: u64 = 1 << 30;

/// A file's columns; with `count`, the rows that its blocks say they have.
pub(in crate::files) fn summary(file: &InputFile, count: bool) -> Result<FileSummary, FilesError> {
    let read = quietly(|| -> Result<FileSummary, FilesError> {
        let mut container = Container::open(file, count)?;
        let layout = Layout::of(file, &container)?;
        let columns = FileColumn::of_schema(&layout.schema);
        let mut rows = None;
        if count {
            let mut sum: u64 = 0;
            while let Some(head) = container.next()? {
                container.pass(head)?;
                sum = sum.saturating_add(head.count);
            }
            rows = Some(sum);
        }
        FileSummary::of(file, &columns, rows, Vec::new())
    });
    read.map_err(|panic| unreadable(file, panic))?
}

/// Opens a file for a read of the columns of these names.
pub(in crate::files) fn open(
    file: &InputFile,
    is_read: &dyn Fn(&str) -> bool,
    limits: Limits,
) -> Result<Opened, FilesError> {
    let container = Container::open(file, true)?;
    let layout = Layout::of(file, &container)?;
    let mut columns = FileColumn::of_schema(&layout.schema);
    columns.retain(|column| is_read(&column.name));
    Ok(Opened {
        parts: Box::new(Blocks {
            file: file.clone(),
            limits,
            container,
            layout,
            kept: columns.iter().map(|column| column.root).collect(),
            data: Vec::new(),
            counts: Vec::new(),
            rows: 0,
            name: String::new(),
        }),
        columns,
    })
}

/// How records are given to the library.
struct Layout {
    /// A file without a block: its records are a block of the file each, as a list of records and the seal.
    head: Vec<u8>,
    /// The columns of the records.
    schema: SchemaRef,
    /// Where each of them is in what the library gives; nowhere, if it is always null.
    places: Vec<Option<usize>>,
    /// The least that the values of a row take when they are decoded.
    row: u64,
    /// What a byte of a record may become.
    growth: u64,
}

impl Layout {
    fn of(file: &InputFile, container: &Container) -> Result<Self, FilesError> {
        let plain = schema::plain(&container.schema).map_err(|why| unreadable(file, why))?;
        let around = json!({
            "type": "record",
            "name": "towpath_rows",
            "fields": [
                {"name": "rows", "type": {"type": "array", "items": plain.record}},
                {"name": "seal", "type": {"type": "fixed", "name": "towpath_seal", "size": SEAL.len()}},
            ],
        });
        let mut head = b"Obj\x01".to_vec();
        // Two pairs, the end of the pairs, the mark.
        put_long(2, &mut head);
        put_bytes(b"avro.schema", &mut head);
        put_bytes(around.to_string().as_bytes(), &mut head);
        put_bytes(b"avro.codec", &mut head);
        put_bytes(b"null", &mut head);
        put_long(0, &mut head);
        head.extend_from_slice(&SEAL);
        let reader = ReaderBuilder::new().build(head.as_slice());
        let reader = reader.map_err(|error| unreadable(file, reason(&error)))?;
        let schema = reader.schema();
        let rows = schema.fields().first().map(|field| field.data_type());
        let Some(DataType::List(item)) = rows else {
            return Err(unreadable(file, "its rows are not records"));
        };
        let DataType::Struct(fields) = item.data_type() else {
            return Err(unreadable(file, "its rows are not records"));
        };
        let mut all: Vec<FieldRef> = fields.iter().cloned().collect();
        let mut places: Vec<Option<usize>> = (0..all.len()).map(Some).collect();
        for (at, name) in plain.nulls {
            let at = at.min(all.len());
            all.insert(at, Arc::new(Field::new(name, DataType::Null, true)));
            places.insert(at, None);
        }
        Ok(Self {
            row: width_of(fields),
            growth: growth(fields),
            schema: Schema::new(all).into(),
            places,
            head,
        })
    }

    /// What so many rows of so many bytes take: themselves, the library's copy, the values, and what they are turned
    /// into.
    fn weight(&self, bytes: usize, rows: u64) -> u64 {
        let bytes = bytes as u64;
        let values = bytes.saturating_mul(self.growth);
        let values = values.saturating_add(rows.saturating_mul(self.row));
        bytes
            .saturating_mul(2)
            .saturating_add(values.saturating_mul(2))
    }
}

struct Blocks {
    file: InputFile,
    limits: Limits,
    container: Container,
    layout: Layout,
    /// The columns that are read.
    kept: Vec<usize>,
    /// The records of blocks that are decoded together, each as a list with the seal behind it.
    data: Vec<u8>,
    /// The rows that each of them says it has.
    counts: Vec<u64>,
    rows: u64,
    name: String,
}

impl Blocks {
    fn most(&self) -> u64 {
        self.limits.most.min(MOST_BYTES)
    }

    fn add(&mut self, head: BlockHead) -> Result<(), FilesError> {
        let (name, most) = (self.container.name(), self.most());
        let large = |file: &InputFile, bytes| FilesError::LargePart {
            path: file.object.clone(),
            part: name.clone(),
            bytes,
            most,
            is_fixed: most == MOST_BYTES,
        };
        if head.bytes > most {
            return Err(large(&self.file, head.bytes));
        }
        let block = self.container.block(head)?;
        put_long(head.count.cast_signed(), &mut self.data);
        let codec = self.container.codec;
        match codec.unpack(&block, most, &mut self.data) {
            Ok(()) => {}
            Err(UnpackError::Large) => return Err(large(&self.file, most.saturating_add(1))),
            Err(UnpackError::Broken(why)) => return Err(damaged(&self.file, &name, why)),
        }
        // A list that is not empty has an end.
        if head.count > 0 {
            self.data.push(0);
        }
        self.data.extend_from_slice(&SEAL);
        self.counts.push(head.count);
        self.rows = self.rows.saturating_add(head.count);
        match self.rows <= MOST_ROWS {
            true => Ok(()),
            false => Err(damaged(
                &self.file,
                &name,
                "it says that it has too many rows",
            )),
        }
    }

    fn decoded(&self) -> Result<RecordBatch, String> {
        let blocks = self.counts.len();
        let mut head = self.layout.head.clone();
        put_long(blocks as i64, &mut head);
        put_long(self.data.len() as i64, &mut head);
        // Behind the records.
        let mark = SEAL;
        let file = head
            .as_slice()
            .chain(self.data.as_slice())
            .chain(mark.as_slice());
        let reader = ReaderBuilder::new().with_batch_size(blocks).build(file);
        let mut reader = reader.map_err(|error| reason(&error))?;
        let read = reader.next().ok_or("it has no rows")?;
        self.unsealed(&read.map_err(|error| reason(&error))?)
            .ok_or_else(|| "its records do not end where it ends".to_owned())
    }

    /// The rows, if each block has as many as it says, and the seal behind them.
    fn unsealed(&self, read: &RecordBatch) -> Option<RecordBatch> {
        let seal = read.column(1).as_fixed_size_binary_opt()?;
        let lists = read.column(0).as_list_opt::<i32>()?;
        let rows = lists.values().as_struct_opt()?;
        let is_sealed = seal.iter().all(|found| found == Some(SEAL.as_slice()));
        let found = (0..lists.len()).map(|block| u64::try_from(lists.value_length(block)).ok());
        let is_whole = is_sealed
            && found.eq(self.counts.iter().copied().map(Some))
            && u64::try_from(rows.len()) == Ok(self.rows);
        let column = |at: &usize| match self.layout.places.get(*at)? {
            Some(place) => rows.columns().get(*place).cloned(),
            None => Some(Arc::new(NullArray::new(rows.len())) as ArrayRef),
        };
        let columns = self.kept.iter().map(column);
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let schema = self.layout.schema.project(&self.kept).ok()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema), columns, &options);
        batch.ok().filter(|_| is_whole)
    }
}

impl Parts for Blocks {
    fn next(&mut self) -> Result<Option<Part>, FilesError> {
        (self.data, self.counts, self.rows) = (Vec::new(), Vec::new(), 0);
        let first = self.container.blocks + 1;
        while self.layout.weight(self.data.len(), self.rows) < self.limits.part {
            let Some(head) = self.container.next()? else {
                break;
            };
            self.add(head)?;
        }
        if self.counts.is_empty() {
            return Ok(None);
        }
        self.name = match self.container.blocks {
            last if last > first => format!("blocks {first} to {last}"),
            _ => format!("block {first}"),
        };
        let part = Part {
            name: self.name.clone(),
            bytes: self.layout.weight(self.data.len(), self.rows),
        };
        fitting(&self.file, part, self.limits).map(Some)
    }

    fn rows(&mut self) -> Result<RecordBatch, FilesError> {
        let decoded = self.decoded();
        self.data = Vec::new();
        decoded.map_err(|why| damaged(&self.file, &self.name, why))
    }
}

/// What is wrong, without the library's words for its own kinds of errors.
fn reason(error: &ArrowError) -> String {
    const KINDS: [&str; 6] = [
        "Parser error: ",
        "External error: ",
        "Schema error: ",
        "Avro error: ",
        "Arrow: ",
        "EOF: ",
    ];
    let text = error.to_string();
    let mut rest = text.as_str();
    while let Some(shorter) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = shorter;
    }
    rest.to_owned()
}

/// Appends a whole number in the form that Avro has for it.
pub(in crate::files) fn put_long(value: i64, to: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        to.push(u8::try_from(rest & 0x7F).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    to.push(u8::try_from(rest).unwrap_or(0));
}

/// Appends bytes behind their count.
pub(in crate::files) fn put_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    put_long(i64::try_from(bytes.len()).unwrap_or(0), to);
    to.extend_from_slice(bytes);
}

fn width_of(fields: &Fields) -> u64 {
    let widths = fields.iter().map(|field| width(field.data_type()));
    widths.fold(0, u64::saturating_add)
}

/// The least that a decoded value takes.
fn width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Null => 0,
        DataType::Struct(fields) => 1 + width_of(fields),
        DataType::FixedSizeBinary(size) => u64::try_from(*size).unwrap_or(0) + 1,
        DataType::Union(branches, _) => {
            let widths = branches.iter().map(|(_, branch)| width(branch.data_type()));
            5 + widths.fold(0, u64::saturating_add)
        }
        other => other.primitive_width().unwrap_or(4) as u64 + 1,
    }
}

/// What a byte of a row may become where a row may have any number of values: an item takes at least one.
fn growth(fields: &Fields) -> u64 {
    let of = |field: &FieldRef| match field.data_type() {
        DataType::List(item) => {
            let inner = Fields::from(vec![Arc::clone(item)]);
            growth(&inner).max(width(item.data_type()))
        }
        DataType::Map(entries, _) => {
            let inner = Fields::from(vec![Arc::clone(entries)]);
            growth(&inner).max(width(entries.data_type()))
        }
        DataType::Struct(fields) => growth(fields),
        DataType::Union(branches, _) => growth(
            &branches
                .iter()
                .map(|(_, branch)| Arc::clone(branch))
                .collect(),
        ),
        _ => 1,
    };
    fields.iter().map(of).max().unwrap_or(1)
}
