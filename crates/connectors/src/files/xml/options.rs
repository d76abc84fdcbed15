//! How the elements of an XML file are read, as its options say.
//!
//! Promise: a `record` that names no element is refused before a file is opened. Read next: `cutter.rs`.

use crate::files::error::FilesError;
use crate::files::given_options::{GivenOptions, word};

/// What the options say of elements.
#[derive(Clone, Debug)]
pub(crate) struct XmlOptions {
    /// Which elements are records; `None` where the file tells.
    pub(crate) record: Option<RecordPath>,
    pub(crate) keeps_prefix: bool,
    /// Blanks around texts are no part of them.
    pub(crate) trims: bool,
}

/// Which elements are records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordPath {
    /// Its names, from the root on or the last one alone.
    names: Vec<String>,
    is_absolute: bool,
}

impl RecordPath {
    /// The elements at this place.
    pub(crate) fn absolute(names: Vec<String>) -> Self {
        Self {
            names,
            is_absolute: true,
        }
    }

    /// All elements of a name, wherever they are.
    #[cfg(test)]
    pub(super) fn of_name(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            is_absolute: false,
        }
    }

    /// Reads `book` or `/catalog/book`.
    fn read(text: &str) -> Option<Self> {
        let (names, is_absolute) = match text.strip_prefix('/') {
            Some(names) => (names, true),
            None => (text, false),
        };
        let names: Vec<String> = names.split('/').map(str::to_owned).collect();
        let is_sign = |sign: char| sign.is_whitespace() || "<>&'\"=@*[]()#,;".contains(sign);
        let is_name = |name: &String| !name.is_empty() && !name.contains(is_sign);
        let has_one = is_absolute || names.len() == 1;
        (has_one && names.iter().all(is_name)).then_some(Self { names, is_absolute })
    }

    /// As a project writes it.
    pub(crate) fn shown(&self) -> String {
        let begin = if self.is_absolute { "/" } else { "" };
        format!("{begin}{}", self.names.join("/"))
    }

    /// Whether an element of this name, inside of so many others, may be one; `around` tells those from the root on.
    pub(super) fn is_record<'n>(
        &self,
        name: &[u8],
        depth: usize,
        around: impl FnOnce() -> Box<dyn Iterator<Item = &'n [u8]> + 'n>,
    ) -> bool {
        let Some((last, above)) = self.names.split_last() else {
            return false;
        };
        if !is_named(name, last) {
            return false;
        }
        !self.is_absolute
            || above.len() == depth && around().zip(above).all(|(name, part)| is_named(name, part))
    }

    /// Whether elements of this place are the ones around the records.
    pub(super) fn is_around<'n>(&self, mut names: impl Iterator<Item = &'n [u8]>) -> bool {
        let above = self.names.split_last().map_or(&[][..], |(_, above)| above);
        let is_all = above
            .iter()
            .all(|part| names.next().is_some_and(|name| is_named(name, part)));
        self.is_absolute && is_all && names.next().is_none()
    }
}

/// Whether an element has this name: with its prefix if that is written, else without.
fn is_named(name: &[u8], part: &str) -> bool {
    let local = match memchr::memchr(b':', name) {
        Some(at) if !part.contains(':') => name.get(at + 1..).unwrap_or_default(),
        _ => name,
    };
    local == part.as_bytes()
}

impl XmlOptions {
    /// Reads the options.
    pub(in crate::files) fn read(given: &GivenOptions<'_>) -> Result<Self, FilesError> {
        let record = given.text("record")?.map(|text| {
            RecordPath::read(&text).ok_or(FilesError::Option {
                option: "record",
                value: text,
                expected: "the name of an element, such as `book`, or its place from the root on, such as `/catalog/book`".to_owned(),
            })
        });
        let prefixes = word(given, "prefixes", &[("drop", false), ("keep", true)])?;
        Ok(Self {
            record: record.transpose()?,
            keeps_prefix: prefixes.unwrap_or(false),
            trims: given.boolean("trim", true)?,
        })
    }
}
