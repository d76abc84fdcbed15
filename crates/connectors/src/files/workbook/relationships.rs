//! Looks at the relationships of a workbook, which say where its sheets are.
//!
//! Promise: a workbook or a sheet below a folder whose parts are not measured is refused, however its
//! relationships are written. It knows no other relationship. Read next: `open.rs`, which measures.

/// No file of relationships has more bytes.
pub(super) const MOST_RELATIONSHIPS: u64 = 16 << 20;

/// Refuses relationships that lead the library to a part below one of these folders.
pub(super) fn check(relationships: &[u8], unmeasured: &[&str]) -> Result<(), String> {
    let odd = || "its relationships are not plain XML".to_owned();
    let text = std::str::from_utf8(relationships).map_err(|_| odd())?;
    if text.contains('\0') {
        return Err(odd());
    }
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('<') {
        // A comment or a document type could hide an element.
        if behind.starts_with('!') {
            return Err(odd());
        }
        let end = match behind.starts_with('?') {
            true => behind.find("?>"),
            false => end_of(behind),
        };
        let (element, next) = behind
            .split_at_checked(end.ok_or_else(odd)?)
            .ok_or_else(odd)?;
        let target = element.to_ascii_lowercase().replace('\\', "/");
        let is_read = ["worksheet", "officedocument"].iter().any(|kind| {
            ['"', '\'']
                .iter()
                .any(|quote| target.contains(&format!("{kind}{quote}")))
        });
        // A target may begin with the folder.
        let target = target.replace(['"', '\''], "/");
        if is_read
            && (target.contains('&') || unmeasured.iter().any(|folder| target.contains(folder)))
        {
            return Err("a sheet of it is in a folder for other parts".to_owned());
        }
        rest = next;
    }
    Ok(())
}

/// Where the element ends: at a `>` outside quotes. One that closes has no quotes.
fn end_of(element: &str) -> Option<usize> {
    if element.starts_with('/') {
        return element.find('>');
    }
    let mut inside = None;
    element.bytes().position(|byte| {
        match (inside, byte) {
            (None, b'"' | b'\'') => inside = Some(byte),
            (Some(quote), _) if quote == byte => inside = None,
            _ => {}
        }
        inside.is_none() && byte == b'>'
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_below_an_unmeasured_folder_is_found_however_it_is_written() {
        let is_refused = |text: &str| check(text.as_bytes(), &["/media/", "custom/"]).is_err();
        for wrong in [
            r#"<a Type="x/worksheet" Target="media/s.xml"/>"#,
            r#"<a Target='/xl/Media/s.xml' X="><" Type='worksheet'/>"#,
            r#"<?a ' ?><b:a X="<" Target="custom/s" Type="worksheet" Y='>'>"#,
            r#"</a "><a Target="..\media\s.xml" Type="x/worksheet"></a>"#,
            r#"<a Target="x&#47;w" Type="x/relationships/officeDocument"/>"#,
            "<![CDATA[<a>]]>",
            "<a Target='",
            "<a>\0</a>",
        ] {
            assert!(is_refused(wrong), "{wrong}");
        }
        for right in [
            r#"<?xml version="1.0"?><a><b Type="x/worksheet" Target="worksheets/s.xml"/></a>"#,
            r#"<a Target="media/it's.png" Type="x/image"/><b Target="w/s" Type="worksheet"/>"#,
        ] {
            assert!(!is_refused(right), "{right}");
        }
    }
}
