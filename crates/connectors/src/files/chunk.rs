//! A file as a sequence of chunks: pieces of a few megabytes that hold whole records.
//!
//! Promise: the bytes are those of the unpacked file in UTF-8 (other encodings are turned into it; a
//! byte that means nothing becomes 0xFF, which no UTF-8 holds, so the row is rejected later). A chunk
//! knows where it starts, so that any byte in it has an offset and a line. Memory is held for a chunk
//! until the last one who can ask about its rows is gone. What a record is, the `Cutter` says.

use std::fmt;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::{Arc, OnceLock};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use towpath_ports::ReservedMemory;

use super::error::FilesError;
use super::find::InputFile;
use super::line_count::{count, pass_over};
use super::options::{Compression, Format};
use super::spare::SpareBuffers;
use super::transcoder::Transcoder;
use super::workbook;
use super::xml::Damage;

/// Where a quote inside an unquoted field is mistrusted (see `csv/scan.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspicion {
    /// Before this place, because of what stood before the chunk.
    pub(crate) until: usize,
    /// From the record at this place on, because what shows it broken stands behind the chunk.
    pub(crate) from: usize,
}

impl Suspicion {
    /// Nothing is mistrusted.
    pub(crate) const NONE: Self = Self {
        until: 0,
        from: usize::MAX,
    };
}

/// How far a record goes that is longer than the limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Its bytes, its line end included.
    pub(crate) bytes: u64,
    pub(crate) last_line: u64,
    /// All up to the file's end was passed over: where the record ends cannot be told.
    pub(crate) to_end: bool,
}

/// Whole records of one file.
pub(crate) struct Chunk {
    /// The file, as a person names it.
    pub(crate) object: Arc<str>,
    /// The records.
    pub(crate) bytes: Vec<u8>,
    /// Where the first byte stands in the unpacked file.
    pub(crate) offset: u64,
    /// The line of the first byte, from 1.
    pub(crate) line: u64,
    /// Which quotes are mistrusted.
    pub(crate) suspicion: Suspicion,
    /// Set when this is the head of one record longer than the limit; its rest was passed over.
    pub(crate) too_long: Option<Passed>,
    /// What ends a line.
    pub(crate) newline: u8,
    /// Where the records are, if only their cutter can tell.
    pub(crate) records: Vec<(usize, usize)>,
    /// Line ends before each block of `LINE_BLOCK` bytes, made when a line is first asked for.
    lines: OnceLock<Vec<u64>>,
    lease: Option<ReservedMemory>,
    /// Where its buffer goes.
    buffers: Option<SpareBuffers>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(buffers) = &self.buffers {
            buffers.put(std::mem::take(&mut self.bytes));
        }
    }
}

const LINE_BLOCK: usize = 4096;

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("object", &self.object)
            .field("offset", &self.offset)
            .field("bytes", &self.bytes.len())
            .field("held", &self.lease.is_some())
            .finish()
    }
}

impl Chunk {
    /// A chunk that is no part of a file.
    pub(crate) fn of_bytes(object: &str, bytes: Vec<u8>, newline: u8) -> Self {
        Self {
            object: object.into(),
            bytes,
            offset: 0,
            line: 1,
            suspicion: Suspicion::NONE,
            too_long: None,
            newline,
            records: Vec::new(),
            lines: OnceLock::new(),
            lease: None,
            buffers: None,
        }
    }

    /// A chunk that no file has, from these bytes and this line of its source on.
    pub(crate) fn of_source(
        (object, offset, line): (&str, u64, u64),
        bytes: Vec<u8>,
        lease: ReservedMemory,
    ) -> Self {
        let mut chunk = Self::of_bytes(object, bytes, b'\n');
        chunk.offset = offset;
        chunk.line = line;
        chunk.lease = Some(lease);
        chunk
    }

    /// The line of a byte of this chunk.
    pub(crate) fn line_of(&self, at: usize) -> u64 {
        let at = at.min(self.bytes.len());
        let blocks = self.lines.get_or_init(|| {
            let counts = self.bytes.chunks(LINE_BLOCK).scan(0, |before, block| {
                let here = *before;
                *before += count(self.newline, block);
                Some(here)
            });
            counts.collect()
        });
        // Behind the last whole block there is no further one.
        let block = (at / LINE_BLOCK).min(blocks.len().saturating_sub(1));
        let before = blocks.get(block).copied().unwrap_or(0);
        let rest = self.bytes.get(block * LINE_BLOCK..at).unwrap_or_default();
        self.line + before + count(self.newline, rest)
    }
}

/// Where records end.
pub(crate) enum Cut {
    /// So many bytes are whole records; at least one byte.
    Whole(usize),
    /// Not even one record is whole.
    More,
    /// The first record is longer than allowed; so many bytes of it are at hand.
    TooLong(usize),
    /// The file cannot be read.
    Damaged(Damage),
}

/// Where a record that is passed over ends.
pub(crate) enum Pass {
    /// Before this place.
    Ends(usize),
    /// Behind this place.
    GoesOn(usize),
    /// Behind this place, where another of its quoted fields opens.
    Opens(usize),
    /// Nowhere that can be told: the quote that opened last is a stray one.
    Never,
    /// The file cannot be read.
    Damaged(Damage),
}

/// Passes over a record that is one line.
pub(crate) fn pass_line(newline: u8, bytes: &[u8], last: bool) -> Pass {
    match memchr::memchr(newline, bytes) {
        Some(found) => Pass::Ends(found + 1),
        None if last => Pass::Ends(bytes.len()),
        None => Pass::GoesOn(bytes.len()),
    }
}

/// Knows the shape of records.
pub(crate) trait Cutter: Send {
    /// Looks at bytes that start with a record. `suspicion.until` is carried from cut to cut, moved
    /// on by what was found; `from` is told of whole records. With `last` no byte will follow, and
    /// the answer is never `More`.
    fn cut(&mut self, bytes: &[u8], suspicion: &mut Suspicion, last: bool) -> Cut;

    /// What ends a line.
    fn newline(&self) -> u8;

    /// Goes on over the record whose head was `Cut::TooLong`.
    fn pass(&mut self, bytes: &[u8], last: bool) -> Pass {
        pass_line(self.newline(), bytes, last)
    }

    /// Of a record whose end is `Never`, its head at hand, only the line of the stray quote is broken:
    /// where that ends, or `None` when it is not in the head. The next bytes to pass are of that line.
    fn first_line(&mut self, _head: &[u8]) -> Option<usize> {
        None
    }

    /// Whether reading can go on at the next line behind a record that is too long.
    fn resumes(&self) -> bool {
        true
    }

    /// Whether a quote stood open at the last byte: a longer file may have other records.
    fn left_open(&self) -> bool {
        false
    }

    /// What a file lacks whose last byte was cut: then it was cut short before it came here.
    fn lacks(&self) -> Option<&'static str> {
        None
    }

    /// Where the records of the last cut are, for formats whose records only the cutter can tell.
    fn records(&mut self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// Why a file whose last byte was cut is no whole document.
    fn damage(&self) -> Option<Damage> {
        None
    }
}

/// How often a file is opened again behind a stray quote that nothing closes.
const MOST_STRAYS: usize = 64;

/// What was found behind the head of a record that is passed over.
enum Passing {
    /// Its end, in this line.
    Ended(u64),
    /// A quote that nothing closes: where its text starts, with the line; `None` for that of the head.
    Stray(Option<(u64, u64)>),
}

/// Gives the chunks of one file in order.
pub(crate) struct ChunkReader {
    file: InputFile,
    object: Arc<str>,
    strays: usize,
    input: Box<dyn Read + Send>,
    cutter: Box<dyn Cutter>,
    buffers: SpareBuffers,
    carry: Vec<u8>,
    offset: u64,
    /// Where the last byte that counts is, if not at the end of the file.
    end: Option<u64>,
    line: u64,
    suspect: usize,
    ended: bool,
    /// The rest was passed over behind a record that is too long.
    gave_up: bool,
}

impl ChunkReader {
    /// Opens a file and passes over `head`, which must still stand there; so many bytes behind it count.
    pub(crate) fn open(
        file: &InputFile,
        (head, length): (&[u8], Option<u64>),
        cutter: Box<dyn Cutter>,
        buffers: &SpareBuffers,
    ) -> Result<Self, FilesError> {
        let (mut input, mark) = open_text(file)?;
        let mut present = Vec::with_capacity(head.len());
        let read = input
            .by_ref()
            .take(head.len() as u64)
            .read_to_end(&mut present);
        read.map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })?;
        if present != head {
            return Err(FilesError::Changing {
                path: file.object.clone(),
            });
        }
        let newline = cutter.newline();
        let (mut offset, mut line) = (mark + head.len() as u64, 1 + count(newline, head));
        let before = file.start.saturating_sub(offset);
        line += pass_over(&mut input, before, newline).map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })?;
        offset += before;
        Ok(Self {
            file: file.clone(),
            object: file.object.as_str().into(),
            strays: 0,
            input: limited(input, length),
            cutter,
            buffers: buffers.clone(),
            carry: Vec::new(),
            offset,
            end: length.map(|length| mark + head.len() as u64 + length),
            line,
            suspect: 0,
            ended: false,
            gave_up: false,
        })
    }

    /// Where the next chunk starts: after the last one, the size of the unpacked file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the last records may be others once the file is longer.
    pub(crate) fn left_open(&self) -> bool {
        self.cutter.left_open()
    }

    /// The next chunk; `hold` is asked for the memory it takes before it is read.
    pub(crate) fn next_chunk(
        &mut self,
        hold: &mut dyn FnMut(u64) -> Result<ReservedMemory, FilesError>,
    ) -> Result<Option<Chunk>, FilesError> {
        if self.ended && self.carry.is_empty() {
            return self.whole().map(|()| None);
        }
        let mut want = self.buffers.chunk_bytes().max(self.carry.len() + 1);
        // The text, and about twice as much for the columns made of it.
        let mut lease = Some(hold(3 * want as u64)?);
        let mut bytes = self.buffers.take(want);
        bytes.append(&mut self.carry);
        loop {
            self.fill(&mut bytes, want)?;
            if bytes.is_empty() {
                return self.whole().map(|()| None);
            }
            let mut found = Suspicion {
                until: self.suspect,
                from: usize::MAX,
            };
            match self.cutter.cut(&bytes, &mut found, self.ended) {
                Cut::More => {
                    want *= 2;
                    // Given back before more is asked for: who holds and waits can wait for itself.
                    drop(lease.take());
                    lease = Some(hold(3 * want as u64)?);
                }
                Cut::Whole(length) => {
                    self.carry = bytes.split_off(length);
                    let chunk = self.chunk(bytes, found.from, lease);
                    self.suspect = found.until.saturating_sub(length);
                    return Ok(Some(chunk));
                }
                Cut::Damaged(damage) => return Err(self.damaged(damage, &bytes)),
                Cut::TooLong(length) => {
                    self.carry = bytes.split_off(length);
                    let mut chunk = self.chunk(bytes, usize::MAX, lease);
                    self.behind(&mut chunk)?;
                    // Read again from inside the record, or not: the place is the same.
                    let until = chunk.offset + found.until as u64;
                    let suspect = until.saturating_sub(self.offset);
                    self.suspect = usize::try_from(suspect).unwrap_or(usize::MAX);
                    return Ok(Some(chunk));
                }
            }
        }
    }

    /// At the end: a file that was cut short is a failure.
    fn whole(&self) -> Result<(), FilesError> {
        if let Some(damage) = self.cutter.damage() {
            return Err(self.damaged(damage, &[]));
        }
        match self.cutter.lacks() {
            Some(lack) if !self.gave_up => Err(FilesError::Read {
                path: self.object.to_string(),
                source: io::Error::new(io::ErrorKind::UnexpectedEof, lack),
            }),
            _ => Ok(()),
        }
    }

    /// Damage of a document in its words; the bytes are those that are cut next.
    fn damaged(&self, damage: Damage, bytes: &[u8]) -> FilesError {
        let before = bytes.get(..damage.at).unwrap_or(bytes);
        FilesError::Document {
            path: self.object.to_string(),
            line: self.line + count(self.cutter.newline(), before),
            column: damage.column,
            what: damage.kind,
        }
    }

    fn chunk(&mut self, bytes: Vec<u8>, from: usize, lease: Option<ReservedMemory>) -> Chunk {
        let (offset, line, suspicion) = (
            self.offset,
            self.line,
            Suspicion {
                until: self.suspect,
                from,
            },
        );
        self.moved(&bytes);
        Chunk {
            object: Arc::clone(&self.object),
            bytes,
            offset,
            line,
            suspicion,
            too_long: None,
            newline: self.cutter.newline(),
            records: self.cutter.records(),
            lines: OnceLock::new(),
            lease,
            buffers: Some(self.buffers.clone()),
        }
    }

    fn moved(&mut self, over: &[u8]) {
        self.offset += over.len() as u64;
        self.line += count(self.cutter.newline(), over);
    }

    /// Goes on behind a record of which the chunk holds the head.
    fn behind(&mut self, chunk: &mut Chunk) -> Result<(), FilesError> {
        let mut passed = Passed::default();
        if !self.cutter.resumes() {
            self.carry.clear();
            self.ended = true;
            self.gave_up = true;
            passed.to_end = true;
        } else {
            passed.last_line = loop {
                let open = match self.pass()? {
                    Passing::Ended(last_line) => break last_line,
                    Passing::Stray(open) => open,
                };
                // Nothing closes its quote: that one is a stray one, and spoils its line only.
                self.strays += 1;
                if self.strays > MOST_STRAYS {
                    return Err(FilesError::Unending {
                        path: self.object.to_string(),
                        line: open.map_or(chunk.line, |(_, line)| line),
                    });
                }
                if let Some((offset, line)) = open {
                    // What stands before it belongs to the record.
                    self.cutter.first_line(&[]);
                    self.back_to(offset, line)?;
                    continue;
                }
                let line = self.cutter.first_line(&chunk.bytes);
                chunk.bytes.truncate(line.unwrap_or(usize::MAX));
                let lines = count(self.cutter.newline(), &chunk.bytes);
                self.back_to(chunk.offset + chunk.bytes.len() as u64, chunk.line + lines)?;
                if line.is_some() {
                    return Ok(());
                }
            };
        }
        passed.bytes = self.offset - chunk.offset;
        chunk.too_long = Some(passed);
        Ok(())
    }

    /// Reads on from this place and line once more.
    fn back_to(&mut self, offset: u64, line: u64) -> Result<(), FilesError> {
        let (mut input, mark) = open_text(&self.file)?;
        (self.offset, self.line) = (offset, line);
        let over = self.offset.saturating_sub(mark);
        let skipped = io::copy(&mut input.by_ref().take(over), &mut io::sink());
        skipped.map_err(|source| FilesError::Read {
            path: self.object.to_string(),
            source,
        })?;
        let left = self.end.map(|end| end.saturating_sub(self.offset));
        self.input = limited(input, left);
        self.carry.clear();
        self.ended = false;
        Ok(())
    }

    /// Passes over the rest of a record, however long.
    fn pass(&mut self) -> Result<Passing, FilesError> {
        let mut open = None;
        loop {
            let mut bytes = std::mem::take(&mut self.carry);
            let want = (2 * bytes.len()).max(64 << 10);
            self.fill(&mut bytes, want)?;
            let found = self.cutter.pass(&bytes, self.ended);
            let length = match found {
                Pass::Ends(length) | Pass::GoesOn(length) | Pass::Opens(length) => length,
                Pass::Never => return Ok(Passing::Stray(open)),
                Pass::Damaged(damage) => return Err(self.damaged(damage, &bytes)),
            };
            self.carry = bytes.split_off(length);
            self.moved(&bytes);
            match found {
                Pass::Opens(_) => open = Some((self.offset, self.line)),
                Pass::Ends(_) => {
                    let whole = bytes.last() == Some(&self.cutter.newline());
                    return Ok(Passing::Ended(self.line - u64::from(whole)));
                }
                Pass::GoesOn(_) | Pass::Never | Pass::Damaged(_) => {}
            }
        }
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, want: usize) -> Result<(), FilesError> {
        fail::fail_point!("files::read");
        let missing = want.saturating_sub(bytes.len()) as u64;
        if self.ended || missing == 0 {
            return Ok(());
        }
        let read = self.input.by_ref().take(missing).read_to_end(bytes);
        let read = read.map_err(|source| FilesError::Read {
            path: self.object.to_string(),
            source,
        })?;
        self.ended = (read as u64) < missing;
        Ok(())
    }
}

/// At most so many bytes of an input.
fn limited(input: Box<dyn Read + Send>, bytes: Option<u64>) -> Box<dyn Read + Send> {
    match bytes {
        Some(bytes) => Box::new(input.take(bytes)),
        None => input,
    }
}

/// Opens a file, unpacks it and gives its text as UTF-8 behind any byte order mark, with the length
/// of that mark.
pub(crate) fn open_text(file: &InputFile) -> Result<(Box<dyn Read + Send>, u64), FilesError> {
    if file.format == Format::Xlsx {
        return workbook::open(file).map(|(text, _)| (text, 0));
    }
    let (input, mark, encoding) = open_bytes(file)?;
    if encoding == UTF_8 {
        return Ok((input, mark));
    }
    Ok((Box::new(Transcoder::new(input, encoding)), mark))
}

/// Opens a file, unpacks it and gives its bytes behind any byte order mark as they are, with the length
/// of that mark and their encoding.
pub(crate) fn open_bytes(
    file: &InputFile,
) -> Result<(Box<dyn Read + Send>, u64, &'static Encoding), FilesError> {
    let read_error = |source| FilesError::Read {
        path: file.object.clone(),
        source,
    };
    let plain = file.place.stream().map_err(read_error)?;
    let plain = plain.take(file.length.unwrap_or(u64::MAX));
    let mut input: Box<dyn Read + Send> = match file.compression {
        Compression::None => Box::new(plain),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(
            BufReader::with_capacity(256 << 10, plain),
        )),
        Compression::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(256 << 10, plain))
                .map_err(read_error)?,
        ),
    };
    let mut start = Vec::with_capacity(3);
    input
        .by_ref()
        .take(3)
        .read_to_end(&mut start)
        .map_err(read_error)?;
    let (marked, mark) = match start.as_slice() {
        [0xEF, 0xBB, 0xBF] => (Some(UTF_8), 3),
        [0xFF, 0xFE, ..] => (Some(UTF_16LE), 2),
        [0xFE, 0xFF, ..] => (Some(UTF_16BE), 2),
        _ => (None, 0),
    };
    // A mark says the encoding, also where the project names another: as text it means nothing.
    let encoding = marked.or(file.encoding).unwrap_or(UTF_8);
    let rest = start.split_off(mark);
    let input = Cursor::new(rest).chain(input);
    Ok((Box::new(input), mark as u64, encoding))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Gives one record up as too long, told of a broken quote far behind it; nothing closes its own.
    struct Scripted(u32);

    impl Cutter for Scripted {
        fn cut(&mut self, bytes: &[u8], suspicion: &mut Suspicion, _: bool) -> Cut {
            self.0 += 1;
            if self.0 > 1 {
                return Cut::Whole(bytes.len());
            }
            suspicion.until = 12;
            Cut::TooLong(bytes.len().min(8))
        }

        fn newline(&self) -> u8 {
            b'\n'
        }

        fn pass(&mut self, _: &[u8], _: bool) -> Pass {
            Pass::Never
        }

        fn first_line(&mut self, _: &[u8]) -> Option<usize> {
            Some(4)
        }
    }

    #[test]
    fn what_is_mistrusted_stays_so_behind_a_line_that_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "abc\ndef\nghi\njkl\n").unwrap();
        let file = InputFile {
            object: "t.csv".to_owned(),
            place: crate::files::place::Place::Local(path),
            format: crate::files::options::Format::Csv,
            compression: Compression::None,
            tabs: false,
            encoding: None,
            sheet: Default::default(),
            length: None,
            start: 0,
            kept: None,
            path_values: Arc::default(),
        };
        let mut reader = ChunkReader::open(
            &file,
            (b"", None),
            Box::new(Scripted(0)),
            &SpareBuffers::new(64),
        )
        .unwrap();
        let mut next = || {
            reader
                .next_chunk(&mut |_| Ok(Box::new(())))
                .unwrap()
                .unwrap()
        };
        assert_eq!(next().bytes, b"abc\n");
        let chunk = next();
        assert_eq!((chunk.offset, chunk.line), (4, 2));
        assert_eq!(chunk.suspicion.until, 8);
    }
}
