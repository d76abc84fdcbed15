//! The encoding of an XML file.
//!
//! Promise: a byte order mark counts, then the option, then the declaration of the document, then what its bytes
//! show. A declaration that cannot be true, because it could not be read in the encoding that it names, is not
//! followed; one that names no known encoding is refused. Read next: `../encodings.rs`.

use std::io::Read as _;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::scan::DamageKind;
use crate::exact::xml::declared_encoding;
use crate::files::chunk::open_bytes;
use crate::files::encodings;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// A file with its encoding, and whether its bytes alone show that one.
pub(crate) fn settle(
    mut file: InputFile,
    given: Option<&'static Encoding>,
) -> Result<(InputFile, bool), FilesError> {
    let Some(label) = declared(&file)?.filter(|_| given.is_none()) else {
        return encodings::settle(file, given);
    };
    let Some(encoding) = Encoding::for_label(label.as_bytes()) else {
        return Err(FilesError::Document {
            path: file.object,
            line: 1,
            column: 1,
            what: DamageKind::Wrong(format!(
                "it declares the encoding `{}`, which is not known; `encoding` sets one",
                label.chars().take(100).collect::<String>()
            )),
        });
    };
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return encodings::settle(file, None);
    }
    file.encoding = Some(encoding);
    Ok((file, false))
}

/// What the declaration of a file says that has no byte order mark.
fn declared(file: &InputFile) -> Result<Option<String>, FilesError> {
    let (input, mark, _) = open_bytes(file)?;
    if mark > 0 {
        return Ok(None);
    }
    let mut head = Vec::new();
    let read = input.take(256).read_to_end(&mut head);
    read.map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    Ok(declared_encoding(&head))
}
