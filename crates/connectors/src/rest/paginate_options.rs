//! The option `paginate` of a table, read once.
//!
//! Promise: what cannot be meant is refused with the key that is wrong. It asks nobody; what the kinds
//! mean is in `paginate.rs`. Read next: `endpoint.rs`, which reads all options of a table.

use serde_json::Value;

use super::paginate::{Paginate, Paging, may_be_the_end};
use super::path::JsonPath;

/// The keys of one `paginate`.
struct Keys<'v>(&'v Value);

impl Keys<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn text_or(&self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or_else(|| default.to_owned())
    }

    fn path(&self, key: &str) -> Option<JsonPath> {
        self.text(key).map(|text| JsonPath::new(&text))
    }

    fn needed(&self, key: &str) -> Result<JsonPath, String> {
        self.path(key).ok_or_else(|| format!("has no `{key}`"))
    }

    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        match self.0.get(key).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| format!("has `{key}: {value}`, which is not a whole number")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        match self.0.get(key).filter(|value| !value.is_null()) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("has `{key}: {value}`, which is neither true nor false")),
        }
    }

    /// The value that is false on the last page.
    fn more(&self) -> Result<Option<JsonPath>, String> {
        match self.text("type").as_deref() {
            Some("page_info") => Ok(Some(self.needed("at")?.child("hasNextPage"))),
            _ => Ok(self.path("more")),
        }
    }

    /// Whether parameters are values in the JSON body.
    fn in_body(&self) -> Result<bool, String> {
        match self.text("in").as_deref() {
            None | Some("query") => Ok(false),
            Some("body") => Ok(true),
            Some(other) => Err(format!("has `in: {other}`, but must have query or body")),
        }
    }

    fn end_status(&self) -> Result<Option<u16>, String> {
        let Some(number) = self.number("end_status")? else {
            return Ok(None);
        };
        let status = u16::try_from(number).ok();
        match status.filter(|status| may_be_the_end(*status)) {
            None => Err(format!(
                "has `end_status: {number}`, which is not a status that says that there is no such page, such as 400, 404 or 422"
            )),
            status => Ok(status),
        }
    }

    fn size(&self) -> Result<Option<u64>, String> {
        match self.number("size")? {
            Some(0) => Err("has `size: 0`".to_owned()),
            size => Ok(size),
        }
    }
}

/// Reads `paginate` of a table; the error is what is wrong with it.
pub(super) fn read(value: Option<&Value>) -> Result<Paging, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(Paging {
            how: Paginate::Unsaid,
            more: None,
            absent_at_end: false,
            end_status: None,
            ignore_count: false,
            in_body: false,
        });
    };
    let keys = Keys(value);
    let paging = Paging {
        how: how(&keys)?,
        more: keys.more()?,
        absent_at_end: keys.flag("absent_at_end")?,
        end_status: keys.end_status()?,
        ignore_count: keys.flag("ignore_count")?,
        in_body: keys.in_body()?,
    };
    let pages = matches!(paging.how, Paginate::Numbered { pages: Some(_), .. });
    let decides = match (&paging.more, pages) {
        (Some(_), _) => "more",
        (None, true) => "pages",
        (None, false) => return Ok(paging),
    };
    let both = |key| {
        Err(format!(
            "has `{key}`, but `{decides}` says already where the end is"
        ))
    };
    match (paging.end_status, paging.ignore_count) {
        (Some(_), _) => both("end_status"),
        (None, true) if decides == "more" => both("ignore_count"),
        (None, _) => Ok(paging),
    }
}

fn how(keys: &Keys<'_>) -> Result<Paginate, String> {
    Ok(match keys.text("type").as_deref() {
        Some("single") => Paginate::Single,
        Some("page") => {
            let (size, size_param) = (keys.size()?, keys.text("size_param"));
            if size_param.is_some() && size.is_none() {
                return Err("has `size_param` without `size`".to_owned());
            }
            Paginate::Numbered {
                param: keys.text_or("param", "page"),
                start: keys.number("start")?.unwrap_or(1),
                by_record: false,
                size,
                size_param,
                pages: keys.path("pages"),
            }
        }
        Some("offset") => Paginate::Numbered {
            param: keys.text_or("param", "offset"),
            start: 0,
            by_record: true,
            size: Some(keys.size()?.ok_or("has no `size`")?),
            size_param: Some(keys.text_or("size_param", "limit")),
            pages: None,
        },
        Some("cursor") => Paginate::Cursor {
            param: keys.text_or("param", "cursor"),
            at: keys.needed("at")?,
        },
        Some("page_info") => Paginate::Cursor {
            param: keys.text_or("param", "after"),
            at: keys.needed("at")?.child("endCursor"),
        },
        Some("last_record") => Paginate::LastRecord {
            param: keys.text("param").ok_or("has no `param`")?,
            at: keys.path("at").unwrap_or_else(|| JsonPath::new("id")),
        },
        Some("next_url") => Paginate::NextUrl {
            at: keys.needed("at")?,
        },
        Some("link_header") => Paginate::LinkHeader,
        other => {
            return Err(format!(
                "has the type `{}`, which is not known",
                other.unwrap_or_default()
            ));
        }
    })
}
