//! The footer of a file: its columns with the types they are read as, and the rows it counts.
//!
//! Promise: a column is found by its place in the file's own schema, so that a group without members
//! shifts nothing. INT96 and INTERVAL values are read as the 12 bytes they are stored in, because the
//! library's own readings wrap or drop parts; `columnar/form.rs` says what the bytes mean. It reads no page.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::files::columnar::{FileColumn, FileSummary, Form, Leaf, quietly, unread};
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::place::RangedFile;

/// Where the writer's own Arrow schema is kept.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// What is known of a file before its pages are read.
pub(super) struct Footer {
    pub(super) metadata: ArrowReaderMetadata,
    /// Rows of the file as its footer says; some writers leave it at zero.
    counted: i64,
    pub(super) columns: Vec<FileColumn>,
}

pub(super) fn broken(file: &InputFile, error: impl std::fmt::Display) -> FilesError {
    if let Some(failure) = file.place.failure() {
        return failure;
    }
    FilesError::Unreadable {
        path: file.object.clone(),
        kind: "Parquet",
        why: reason(&error.to_string()).to_owned(),
    }
}

/// What is wrong, without the library's words for its own kinds of errors.
pub(super) fn reason(mut text: &str) -> &str {
    const KINDS: [&str; 4] = [
        "Parquet argument error: ",
        "Parquet error: ",
        "Arrow: ",
        "EOF: ",
    ];
    while let Some(rest) = KINDS.iter().find_map(|kind| text.strip_prefix(kind)) {
        text = rest;
    }
    text
}

/// Reads the footer.
pub(super) fn open(file: &InputFile) -> Result<Footer, FilesError> {
    let handle = file.place.ranges().map_err(unread(file))?;
    quietly(|| read(&handle))
        .map_err(|panic| broken(file, panic))?
        .map_err(|error| broken(file, error))
}

fn read(handle: &RangedFile) -> Result<Footer, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(false);
    let loaded = ArrowReaderMetadata::load(handle, options.clone())?;
    let leaves = leaves(loaded.metadata());
    let counted = loaded.metadata().file_metadata().num_rows();
    let metadata = match corrected(loaded.metadata())? {
        Some(metadata) => ArrowReaderMetadata::try_new(Arc::new(metadata), options)?,
        None => loaded,
    };
    let descriptor = metadata.parquet_schema();
    let mut roots: Vec<usize> = (0..descriptor.num_columns())
        .map(|leaf| descriptor.get_column_root_idx(leaf))
        .collect();
    roots.dedup();
    let fields = metadata.schema().fields();
    if fields.len() != roots.len() {
        let why = "its columns and their types do not go together".to_owned();
        return Err(ParquetError::General(why));
    }
    let mut leaves = leaves.into_iter();
    let columns = fields
        .iter()
        .zip(roots)
        .map(|(field, root)| FileColumn {
            name: field.name().clone(),
            root,
            form: Form::of(field.data_type(), &mut leaves),
        })
        .collect();
    Ok(Footer {
        metadata,
        counted,
        columns,
    })
}

/// What the bytes of each leaf mean, where the library does not say it.
fn leaves(metadata: &ParquetMetaData) -> Vec<Leaf> {
    let file = metadata.file_metadata();
    let by_arrow = file
        .key_value_metadata()
        .is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ARROW_SCHEMA));
    let columns = file.schema_descr().columns().iter();
    columns
        .map(|column| match column.physical_type() {
            PhysicalType::INT96 if !is_unknown(column.self_type()) => Leaf::Int96,
            PhysicalType::FIXED_LEN_BYTE_ARRAY if is_interval(column.self_type()) => {
                Leaf::Interval { signed: by_arrow }
            }
            PhysicalType::FIXED_LEN_BYTE_ARRAY if is_uuid(column.self_type()) => Leaf::Uuid,
            _ => Leaf::Other,
        })
        .collect()
}

/// Always null: the library knows it by its annotation, whatever is stored.
fn is_unknown(leaf: &Type) -> bool {
    leaf.get_basic_info().logical_type_ref() == Some(&LogicalType::Unknown)
}

fn is_interval(leaf: &Type) -> bool {
    leaf.get_basic_info().converted_type() == ConvertedType::INTERVAL && length_of(leaf) == 12
}

fn is_uuid(leaf: &Type) -> bool {
    leaf.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid) && length_of(leaf) == 16
}

fn length_of(leaf: &Type) -> i32 {
    match leaf {
        Type::PrimitiveType { type_length, .. } => *type_length,
        Type::GroupType { .. } => 0,
    }
}

/// The metadata with INT96 and INTERVAL leaves as 12 plain bytes, which is how both are stored in every
/// encoding, and with the rows of all row groups: the library reads no more than the file's count.
/// `None` where nothing has to change.
fn corrected(metadata: &ParquetMetaData) -> Result<Option<ParquetMetaData>, ParquetError> {
    let file = metadata.file_metadata();
    let root = file.schema_descr().root_schema_ptr();
    let plain = plain_type(&root)?;
    let rows = rows_of(metadata);
    if Arc::ptr_eq(&plain, &root) && u64::try_from(file.num_rows()) == Ok(rows) {
        return Ok(None);
    }
    let file = FileMetaData::new(
        file.version(),
        i64::try_from(rows).unwrap_or(i64::MAX),
        file.created_by().map(str::to_owned),
        file.key_value_metadata().cloned(),
        Arc::new(SchemaDescriptor::new(plain)),
        file.column_orders().cloned(),
    );
    let builder = ParquetMetaDataBuilder::new(file).set_row_groups(metadata.row_groups().to_vec());
    Ok(Some(builder.build()))
}

/// The same type when nothing below it has to change.
fn plain_type(given: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = given.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if given.is_primitive() {
        let is_int96 = given.get_physical_type() == PhysicalType::INT96 && !is_unknown(given);
        if !is_int96 && !is_interval(given) {
            return Ok(Arc::clone(given));
        }
        let builder =
            Type::primitive_type_builder(given.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
                .with_repetition(info.repetition())
                .with_length(12)
                .with_id(id);
        return builder.build().map(Arc::new);
    }
    let members = given.get_fields().iter().map(plain_type);
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let same = |(one, other): (&TypePtr, &TypePtr)| Arc::ptr_eq(one, other);
    if members.iter().zip(given.get_fields()).all(same) {
        return Ok(Arc::clone(given));
    }
    let mut builder = Type::group_type_builder(given.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(members)
        .with_id(id);
    if info.has_repetition() {
        builder = builder.with_repetition(info.repetition());
    }
    builder.build().map(Arc::new)
}

/// Reads a file's footer.
pub(in crate::files) fn read_footer(file: &InputFile) -> Result<FileSummary, FilesError> {
    let footer = open(file)?;
    let (rows, mut notes) = (footer.rows(), Vec::new());
    let counted = footer.counted;
    if u64::try_from(counted) != Ok(rows) {
        notes.push(format!(
            "the footer of `{}` counts {counted} rows and its row groups {rows}: the rows of the row groups are read",
            file.object
        ));
    }
    FileSummary::of(file, &footer.columns, Some(rows), notes)
}

impl Footer {
    /// Rows of all row groups.
    pub(super) fn rows(&self) -> u64 {
        rows_of(self.metadata.metadata())
    }
}

fn rows_of(metadata: &ParquetMetaData) -> u64 {
    let groups = metadata.row_groups().iter();
    groups
        .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
        .fold(0, u64::saturating_add)
}
