//! The encoding of each text file of a table.
//!
//! Promise: a file has the encoding of its byte order mark, else the declared one, else UTF-8, unless its
//! first bytes show another one for certain: then a note names it. A declared encoding that a file certainly
//! does not have is refused. A single foreign byte proves nothing: its record is rejected by the read.
//! Read next: `chunk.rs`, which undoes the encoding.

use std::io::Read as _;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::chunk::open_bytes;
use super::error::FilesError;
use super::find::InputFile;

/// So many bytes of a file are looked at.
const LOOKED_AT: u64 = 1 << 20;
/// Foreign bytes in fewer lines than this may be mistakes in a file of UTF-8.
const LINES: usize = 2;
/// So many names are in one note.
const MOST_SHOWN: usize = 10;

/// What the first bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Any encoding that has ASCII in it.
    Ascii,
    Utf8,
    /// With characters of two bytes, of which one is mostly zero.
    Wide(&'static Encoding),
    /// Not UTF-8 in so many lines.
    Foreign {
        lines: usize,
        is_mixed: bool,
    },
}

/// A file with its encoding, and whether its bytes alone show that one.
pub(crate) fn settle(
    mut file: InputFile,
    declared: Option<&'static Encoding>,
) -> Result<(InputFile, bool), FilesError> {
    let (mut input, mark, marked) = open_bytes(&file)?;
    if mark > 0 {
        file.encoding = Some(marked);
        return Ok((file, false));
    }
    let mut bytes = Vec::new();
    let read = input.by_ref().take(LOOKED_AT).read_to_end(&mut bytes);
    read.map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    let is_whole = (bytes.len() as u64) < LOOKED_AT;
    let shown = shown(&bytes, is_whole);
    file.encoding = match declared {
        Some(declared) => {
            fits(&file, declared, shown)?;
            Some(declared)
        }
        None => guessed(&bytes, shown, is_whole),
    };
    let is_guessed = declared.is_none() && file.encoding.is_some();
    Ok((file, is_guessed))
}

/// Which encodings were found.
pub(crate) fn notes(files: &[(InputFile, bool)]) -> Vec<String> {
    let mut found: Vec<(&'static Encoding, Vec<String>)> = Vec::new();
    for (file, _) in files.iter().filter(|(_, is_guessed)| *is_guessed) {
        let Some(encoding) = file.encoding else {
            continue;
        };
        match found.iter_mut().find(|(other, _)| *other == encoding) {
            Some((_, names)) => names.push(file.object.clone()),
            None => found.push((encoding, vec![file.object.clone()])),
        }
    }
    found.into_iter().map(note).collect()
}

fn note((encoding, names): (&'static Encoding, Vec<String>)) -> String {
    let label = encoding.name().to_ascii_lowercase();
    let shown: Vec<String> = names
        .iter()
        .take(MOST_SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = match names.len().saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} others"),
    };
    let (are, their) = match names.len() {
        1 => ("is", "its"),
        _ => ("are", "their"),
    };
    format!(
        "{}{more} {are} read as {label}, as {their} bytes show; `encoding: {label}` sets this for all files",
        shown.join(", ")
    )
}

fn shown(bytes: &[u8], is_whole: bool) -> Shown {
    if let Some(wide) = wide(bytes) {
        return Shown::Wide(wide);
    }
    let (mut lines, mut line, mut last) = (0, 0, None);
    let (mut is_mixed, mut is_ascii) = (false, true);
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        line += memchr::memchr_iter(b'\n', chunk.valid().as_bytes()).count();
        is_mixed |= !chunk.valid().is_ascii();
        // The last character may be cut off.
        let is_cut = !is_whole && chunks.peek().is_none();
        if !chunk.invalid().is_empty() && !is_cut {
            is_ascii = false;
            lines += usize::from(last != Some(line));
            last = Some(line);
        }
    }
    match (is_ascii, is_mixed) {
        (true, true) => Shown::Utf8,
        (true, false) => Shown::Ascii,
        (false, is_mixed) => Shown::Foreign { lines, is_mixed },
    }
}

/// UTF-16 without a mark: texts of a table have many characters of ASCII, which have a zero there.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes.chunks_exact(2);
    let count = pairs.len();
    let (mut first, mut second) = (0, 0);
    for pair in pairs {
        first += usize::from(pair.first() == Some(&0));
        second += usize::from(pair.last() == Some(&0));
    }
    match (first, second) {
        (0, zeros) if count > 0 && zeros * 2 > count => Some(UTF_16LE),
        (zeros, 0) if count > 0 && zeros * 2 > count => Some(UTF_16BE),
        _ => None,
    }
}

/// The encoding of a file for which none is declared; `None` means UTF-8.
fn guessed(bytes: &[u8], shown: Shown, is_whole: bool) -> Option<&'static Encoding> {
    match shown {
        Shown::Wide(encoding) => Some(encoding),
        Shown::Foreign {
            lines,
            is_mixed: false,
        } if lines >= LINES => {
            let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
            detector.feed(bytes, is_whole);
            let guess = detector.guess(None, Utf8Detection::Deny);
            is_text(bytes, guess).then_some(guess)
        }
        _ => None,
    }
}

/// Whether all bytes mean a character that is written by people.
fn is_text(bytes: &[u8], encoding: &'static Encoding) -> bool {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    let is_strange = |sign: char| {
        sign == char::REPLACEMENT_CHARACTER || sign.is_control() && !sign.is_ascii_whitespace()
    };
    // The last character may be cut off.
    let count = text.chars().filter(|sign| is_strange(*sign)).count();
    count <= usize::from(text.ends_with(char::REPLACEMENT_CHARACTER))
}

/// Refuses a declared encoding that a file does not have for certain.
fn fits(file: &InputFile, declared: &'static Encoding, shown: Shown) -> Result<(), FilesError> {
    let is_wide = declared == UTF_16LE || declared == UTF_16BE;
    let other = match shown {
        Shown::Utf8 if is_wide || declared.is_single_byte() => UTF_8,
        Shown::Ascii if is_wide => UTF_8,
        Shown::Wide(found) if found != declared => found,
        _ => return Ok(()),
    };
    Err(FilesError::OtherEncoding {
        path: file.object.clone(),
        declared: declared.name().to_ascii_lowercase(),
        found: other.name().to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Option<&'static str> {
        guessed(bytes, shown(bytes, true), true).map(Encoding::name)
    }

    #[test]
    fn only_what_is_certain_is_found() {
        let cyrillic = "город\nМосква\nНовосибирск\nСанкт-Петербург\n";
        let (cyrillic, ..) = encoding_rs::WINDOWS_1251.encode(cyrillic);
        let wide: Vec<u8> = "a;b\n1;ü\n"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        for (bytes, expected) in [
            (&b"city\nM\xFCnchen\nK\xF6ln\n"[..], Some("windows-1252")),
            (&cyrillic, Some("windows-1251")),
            (&wide, Some("UTF-16BE")),
            // Mistakes in a file of UTF-8, or nothing at all.
            (b"city\nM\xFCnchen\nKoeln\n", None),
            (b"city\nM\xFCnchen\nK\xC3\xB6ln\nU\xFFlm\n", None),
            (b"a\n\xFF\x01\n\xFE\x02\n", None),
            (b"city\nUlm\n", None),
            ("city\nKöln\nMünchen\n".as_bytes(), None),
            (b"", None),
        ] {
            assert_eq!(found(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_character_that_is_cut_off_proves_nothing() {
        let text = "aä\nbü\n".as_bytes();
        for length in 0..=text.len() {
            let cut = text.get(..length).unwrap_or_default();
            assert!(
                matches!(shown(cut, false), Shown::Ascii | Shown::Utf8),
                "{length}"
            );
        }
    }
}
