//! Columns of a database that is not known: as its driver gives them.
//!
//! Promise: bytes of a type of the driver's own are refused, because nobody here can say what they mean.

use towpath_vocab::types::SOURCE_TYPE;

use super::is_opaque;
use crate::adbc::error::{AdbcError, Result};
use crate::adbc::types::{Asked, Raw};
use crate::adbc::vendor::Vendor;

/// How a column of `object` is asked for.
pub(super) fn ask(raw: &Raw, object: &str) -> Result<Asked> {
    if is_opaque(&raw.field) {
        return Err(AdbcError::NoType {
            object: object.to_owned(),
            column: raw.name.clone(),
            reason: "the driver gives it as bytes of a type of its own".to_owned(),
        });
    }
    let asked = Asked::plain(Vendor::Other, raw);
    let name = raw.field.metadata().get(super::EXTENSION);
    Ok(match name.map(String::as_str) {
        Some("arrow.json") => asked.metadata(SOURCE_TYPE, "json"),
        Some("arrow.uuid") => asked.metadata(SOURCE_TYPE, "uuid"),
        _ => asked,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_schema::{DataType, Field};

    use super::*;

    fn raw(field: Field) -> Raw {
        Raw {
            name: "c".to_owned(),
            field,
            declared: None,
        }
    }

    #[test]
    fn bytes_of_an_own_type_are_refused_wherever_they_are() {
        let opaque = |data_type| {
            let extension = (
                super::super::EXTENSION.to_owned(),
                "arrow.opaque".to_owned(),
            );
            Field::new("item", data_type, true).with_metadata([extension].into())
        };
        let bytes = opaque(DataType::Binary);
        let list = Field::new("c", DataType::List(Arc::new(bytes.clone())), true);
        for field in [bytes, list] {
            let error = ask(&raw(field), "t").unwrap_err();
            assert!(error.to_string().contains("column `c` of `t`"), "{error}");
        }
        // Text is what it says.
        assert!(ask(&raw(opaque(DataType::Utf8)), "t").is_ok());
    }
}
