//! Spill files for keyed state above its memory limit: files without a name, in one folder.
//!
//! Promise: a spill file is deleted when its last user drops it, also after a kill, and only this user can
//! read it. Rows are stored as Arrow IPC, hashes as eight bytes each. Writing and reading block the calling
//! thread for one batch. It does not know what the rows mean. Read next: `dedup.rs`, `sorted_runs.rs`,
//! `compare.rs`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use towpath_ports::Result;
use towpath_vocab::{Failure, Remedy};

/// Bytes written or read at once.
const BUFFER: usize = 32 << 10;

/// A folder for state that does not fit in memory.
#[derive(Clone, Debug)]
pub struct SpillFolder {
    folder: PathBuf,
}

impl SpillFolder {
    /// Uses this folder, which is created when it is first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// A new file without a name.
    pub(crate) fn file(&self) -> Result<File> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.folder)
            .and_then(|()| tempfile::tempfile_in(&self.folder))
            .map_err(|error| failed(&self.folder.display().to_string(), &error))
    }
}

/// The failure if the disk is full or the folder cannot be written.
pub(crate) fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    let message =
        format!("state that does not fit into memory cannot be kept on disk: {what}: {error}");
    Failure::new("R0723", Remedy::FixConfig, message)
        .help("free disk space where the project's `.towpath` folder is, or raise `memory:`")
}

fn ipc(error: ArrowError) -> Failure {
    failed("a spill file", &error)
}

/// Writes batches to a file.
pub(crate) struct BatchWriter {
    writer: StreamWriter<BufWriter<File>>,
}

impl BatchWriter {
    pub(crate) fn new(folder: &SpillFolder, schema: &SchemaRef) -> Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, folder.file()?);
        let writer = StreamWriter::try_new(file, schema).map_err(ipc)?;
        Ok(Self { writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(ipc)
    }

    /// Ends writing, and reads the batches from the start.
    pub(crate) fn read(mut self) -> Result<BatchReader> {
        self.writer.finish().map_err(ipc)?;
        let file = self.writer.into_inner().map_err(ipc)?;
        let again = || -> std::io::Result<File> {
            let mut file = file
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let file = again().map_err(|error| failed("a spill file", &error))?;
        let file = BufReader::with_capacity(BUFFER, file);
        let reader = StreamReader::try_new(file, None).map_err(ipc)?;
        Ok(BatchReader { reader })
    }
}

/// Reads batches from a file.
pub(crate) struct BatchReader {
    reader: StreamReader<BufReader<File>>,
}

impl Iterator for BatchReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.map_err(ipc))
    }
}

/// The number of files into which rows are partitioned by key.
pub(crate) const PARTITIONS: usize = 16;

/// Rows partitioned by key: equal keys are in one part.
pub(crate) struct Partitions {
    folder: SpillFolder,
    schema: SchemaRef,
    writers: Vec<Option<BatchWriter>>,
}

impl Partitions {
    pub(crate) fn new(folder: &SpillFolder, schema: &SchemaRef) -> Self {
        Self {
            folder: folder.clone(),
            schema: SchemaRef::clone(schema),
            writers: (0..PARTITIONS).map(|_| None).collect(),
        }
    }

    pub(crate) fn write(&mut self, part: usize, batch: &RecordBatch) -> Result<()> {
        let Some(slot) = self.writers.get_mut(part) else {
            return Ok(());
        };
        let writer = match slot {
            Some(writer) => writer,
            None => slot.insert(BatchWriter::new(&self.folder, &self.schema)?),
        };
        writer.write(batch)
    }

    /// The parts by their number; `None` for one without rows.
    pub(crate) fn read(self) -> Result<Vec<Option<BatchReader>>> {
        let readers = self.writers.into_iter();
        readers
            .map(|writer| writer.map(BatchWriter::read).transpose())
            .collect()
    }
}
