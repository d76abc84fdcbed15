//! How the value of a secret is written where programs and servers repeat it.
//!
//! Promise: the value as it is, inside JSON, in an address or a form, in hexadecimal, and in Base64: alone,
//! in lines, and behind other text, as in `Basic` headers. What is compressed or encrypted is not
//! recognised. Read next: `redact.rs`, which removes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is not encoded in an address.
const IN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// What is not encoded in a form.
const IN_FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b' ');
/// The shortest part of Base64 that is recognised.
const SHORTEST: usize = 6;
/// Characters in a line of Base64, by its programs.
const LINES: [usize; 2] = [76, 64];

/// A value in its usual spellings.
pub(crate) fn spellings(value: &str) -> Vec<String> {
    let json = serde_json::Value::from(value).to_string();
    let json = json.strip_prefix('"').unwrap_or(&json);
    let json = json.strip_suffix('"').unwrap_or(json).to_owned();
    // Some servers write `/` in JSON like this.
    let slashes = json.replace('/', "\\/");
    let address = utf8_percent_encode(value, IN_ADDRESS).to_string();
    let form = utf8_percent_encode(value, IN_FORM).to_string();
    let form = form.replace(' ', "+");
    let path = form.replace('+', "%20");
    let (address_lower, form_lower) = (lower(&address), lower(&form));
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        value.to_owned(),
        json,
        slashes,
        address,
        form,
        path,
        address_lower,
        form_lower,
        hex.to_uppercase(),
        hex,
    ];
    all.extend(base64(value.as_bytes()));
    all
}

/// The same with digits such as `%2f`.
fn lower(encoded: &str) -> String {
    let mut digits = 0;
    let small = |c: char| {
        let is_digit = digits > 0;
        digits = if c == '%' {
            2
        } else {
            usize::saturating_sub(digits, 1)
        };
        match is_digit {
            true => c.to_ascii_lowercase(),
            false => c,
        }
    };
    encoded.chars().map(small).collect()
}

fn base64(value: &[u8]) -> Vec<String> {
    let whole = STANDARD.encode(value);
    let mut all = Vec::new();
    for width in LINES.into_iter().filter(|width| whole.len() > *width) {
        let mut rest = whole.as_str();
        while let Some((line, behind)) = rest.split_at_checked(width) {
            all.push(line.to_owned());
            rest = behind;
        }
        all.push(rest.to_owned());
    }
    all.push(whole.trim_end_matches('=').to_owned());
    all.push(whole);
    // Behind other text only the characters that come of the value alone are the same.
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(value);
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        all.extend(STANDARD.encode(&padded).get(first..end).map(str::to_owned));
    }
    let url_safe = all
        .iter()
        .map(|text| text.replace('+', "-").replace('/', "_"));
    let url_safe: Vec<String> = url_safe.collect();
    all.extend(url_safe);
    all.retain(|text| text.len() >= SHORTEST);
    all
}
