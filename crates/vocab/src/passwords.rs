//! Finds passwords in text, in a URL or in `key=value` pairs, and removes them.
//!
//! Promise: a password is found by its context, however it is quoted or encoded, so a message, a line of a
//! file or a stored plan never shows one. If a text can be read in two ways, the one that hides more is
//! used. A placeholder (`${secret:…}`) is not a password and stays. It does not know the values of secrets:
//! see `ports/src/redact.rs`.

use std::borrow::Cow;
use std::ops::Range;

/// The text in place of a removed password.
const HIDDEN: &str = "***";
/// Endings of names whose value is a password: `PGPASSWORD`, `sslpassword`, `MYSQL_PWD`.
const NAMES: [&str; 5] = ["password", "passwd", "passphrase", "pwd", "pass"];
/// The keys of PostgreSQL's `key=value` connection strings that appear in every one of them.
const KEYS: [&str; 10] = [
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "sslmode",
    "options",
];

/// The text with `***` in place of each password: `host=h password=***`, `postgres://me:***@h/db`.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let found = password_ranges(text, &['=']);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(HIDDEN);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// The text of a project file with `*` in place of each byte of a password, also in `password: …`. Its
/// length and lines stay the same, so positions in it remain correct.
pub fn masked_source(text: &str) -> Cow<'_, str> {
    let found = password_ranges(text, &['=', ':']);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        let hidden = text.get(range.clone()).unwrap_or_default().bytes();
        out.extend(hidden.map(|byte| if byte == b'\n' { '\n' } else { '*' }));
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// True if a text contains a password that is not a placeholder.
pub fn has_password(text: &str) -> bool {
    !password_ranges(text, &['=']).is_empty()
}

/// True if the value of a variable with this name is a password: `PGPASSWORD`.
pub fn names_password(name: &str) -> bool {
    let name = decoded(name).to_ascii_lowercase();
    NAMES.iter().any(|ending| {
        let Some(before) = name.strip_suffix(ending) else {
            return false;
        };
        // `bypass=` and `compass=` are words of their own.
        *ending != "pass" || before.is_empty() || before.ends_with(['_', '-', '.'])
    })
}

/// True if the value of a variable is a literal password. `PWD` is a folder.
pub fn is_literal_password(name: &str, text: &str) -> bool {
    let is_folder = matches!(name, "PWD" | "OLDPWD");
    let is_switch = ["true", "false", "yes", "no", "on", "off"].contains(&text);
    names_password(name) && !is_folder && !is_switch && !text.is_empty() && !text.contains("${")
}

/// JSON in which passwords in clear text, by the names of their members, are `…`.
pub fn without_literal_passwords(name: &str, value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) if is_literal_password(name, text) => Json::String("…".to_owned()),
        Json::String(text) => Json::String(without_passwords(text).into_owned()),
        Json::Array(items) => items
            .iter()
            .map(|item| without_literal_passwords(name, item))
            .collect(),
        Json::Object(members) => {
            let shown = members
                .iter()
                .map(|(name, value)| (name.clone(), without_literal_passwords(name, value)));
            Json::Object(shown.collect())
        }
        other => other.clone(),
    }
}

/// True if the value of an HTTP header is a literal secret: its name says so, or it is one by which servers know
/// who asks.
pub fn is_literal_secret_header(name: &str, text: &str) -> bool {
    const WHO_ASKS: [&str; 5] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
    ];
    let asks = WHO_ASKS.contains(&name.to_ascii_lowercase().as_str());
    is_literal_password(name, text) || (asks && !text.is_empty() && !text.contains("${"))
}

/// The positions of arguments that are passwords: those after `--password` and similar flags.
pub fn password_arguments(argv: &[String]) -> Vec<usize> {
    let is_flag = |text: &str| {
        let name = text.trim_start_matches('-');
        name.len() < text.len() && !name.contains('=') && names_password(name)
    };
    let is_value = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains("${");
    let pairs = argv.windows(2).enumerate();
    let found = pairs.filter_map(|(at, pair)| match pair {
        [flag, value] if is_flag(flag) && is_value(value) => Some(at + 1),
        _ => None,
    });
    found.collect()
}

/// True for a PostgreSQL connection string: `host=… user=… password=…`. A single pair such as
/// `user=5/rows.csv` may be the path of a file.
pub fn is_key_value_address(text: &str) -> bool {
    let is_key = |text: &str| {
        let name = text
            .trim_end()
            .rsplit(|c: char| c.is_whitespace() || c == '\'');
        let name = name.into_iter().next().unwrap_or_default();
        KEYS.iter().any(|key| name.eq_ignore_ascii_case(key))
    };
    let mut parts = text.split('=').collect::<Vec<_>>();
    parts.pop();
    parts.iter().filter(|part| is_key(part)).count() > 1
        || (has_password(text) && !text.contains("://") && text.contains('='))
}

/// The passwords in a `key=value` text or a URL, both without quotes and escapes and as they are written,
/// so that they can be found in other text.
pub fn passwords_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for range in password_ranges(text, &['=']) {
        let written = text.get(range).unwrap_or_default();
        let bare = written.trim_matches(['\'', '"']);
        found.extend([
            written.to_owned(),
            bare.to_owned(),
            unescaped(bare),
            decoded(bare),
        ]);
        // The end of an unquoted value depends on the form; each reading is one.
        let ends = ['&', ';', '#', '\'', '"'];
        found.extend(bare.split(ends).next().map(str::to_owned));
        found.extend(bare.split(ends).next().map(decoded));
    }
    found.retain(|value| !value.is_empty());
    found
}

/// Decodes percent-encoded bytes.
pub fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Without the backslashes of a `key=value` text.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

/// Where passwords are, in order, without overlap.
fn password_ranges(text: &str, separators: &[char]) -> Vec<Range<usize>> {
    let mut found = in_urls(text);
    found.extend(in_pairs(text, separators));
    found.retain(|range| {
        let value = text.get(range.clone()).unwrap_or_default();
        let bare = value.trim_matches(['\'', '"', '}', ')', ',', ' ']);
        let placeholder = bare.starts_with("${")
            && !bare.contains(":-")
            && !bare.get(2..).is_some_and(has_text_behind);
        !bare.is_empty() && bare != HIDDEN && bare != "…" && !placeholder
    });
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// Whether literal text follows the first placeholder of a value.
fn has_text_behind(text: &str) -> bool {
    text.split_once('}')
        .is_some_and(|(_, behind)| !behind.is_empty() && !behind.starts_with("${"))
}

/// `pw` of `scheme://user:pw@host`, also of `scheme:user:pw@host`.
fn in_urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")) {
        let begin = from + at + 3;
        from = begin;
        found.extend(in_authority(text, begin));
    }
    for scheme in ["postgres:", "postgresql:"] {
        for (at, _) in text.match_indices(scheme) {
            let begin = at + scheme.len();
            let rest = text.get(begin..).unwrap_or_default();
            if !rest.starts_with("//") && !rest.starts_with(char::is_whitespace) {
                found.extend(in_authority(text, begin));
            }
        }
    }
    found
}

fn in_authority(text: &str, begin: usize) -> Option<Range<usize>> {
    let rest = text.get(begin..)?;
    let line = rest.split('\n').next()?;
    let word = line
        .split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | '<' | '>'))
        .next()?;
    let authority = word.split(['/', '?', '#']).next()?;
    let colon = line.find(':')?;
    if let Some(last) = authority.rfind('@') {
        return (colon < last).then(|| begin + colon + 1..begin + last);
    }
    // Without an `@` it is a port; anything else is a password that was not encoded.
    let behind = authority.get(colon + 1..)?;
    let end = match behind.bytes().all(|byte| byte.is_ascii_digit()) {
        true => word.rfind('@').filter(|at| !word[colon..*at].contains('?')),
        false => line.rfind('@').filter(|at| *at > colon),
    };
    Some(begin + colon + 1..begin + end?)
}

/// `pw` of `password=pw`, `password = 'p w'`, `?password=p%20w&…`, `PGPASSWORD=pw`.
fn in_pairs(text: &str, separators: &[char]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, separator) in text.match_indices(|c: char| separators.contains(&c)) {
        let before = text.get(..at).unwrap_or_default();
        let key_end = before
            .trim_end_matches([' ', '\t'])
            .trim_end_matches(['"', '\'']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%');
        let key_begin = key_end.rfind(|c: char| !is_name(c)).map_or(0, |at| {
            at + key_end[at..].chars().next().map_or(1, char::len_utf8)
        });
        let key = key_end.get(key_begin..).unwrap_or_default();
        if !names_password(key) {
            continue;
        }
        let in_query = key_end
            .get(..key_begin)
            .is_some_and(|b| b.ends_with(['?', '&']));
        let begin = at + separator.len();
        let rest = text.get(begin..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let value = rest.get(blanks..).unwrap_or_default();
        let length = match separator {
            ":" => yaml_length(value, before),
            _ => value_length(value, in_query),
        };
        found.push(begin + blanks..begin + blanks + length);
    }
    found
}

/// The length of a value in YAML: to its closing quote or the end of the line; in a flow mapping to the
/// next `,` or `}`; for a block its indented lines.
fn yaml_length(value: &str, before: &str) -> usize {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return quoted_length(value, quote);
    }
    let head = before.rsplit('\n').next().unwrap_or_default();
    let line = value.split('\n').next().unwrap_or_default();
    let bare = line.trim();
    if bare.is_empty() || bare.starts_with(['|', '>']) {
        let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let lines = value
            .get(line.len() + 1..)
            .into_iter()
            .flat_map(|rest| rest.split('\n'));
        let inner = lines.take_while(|line| line.trim().is_empty() || depth(line) > depth(head));
        let length: usize = inner.map(|line| line.len() + 1).sum();
        return (line.len() + length).min(value.len());
    }
    let is_flow = head.matches('{').count() > head.matches('}').count();
    let mut in_slot = false;
    let end = line.char_indices().find(|(at, letter)| match letter {
        '$' => {
            in_slot = line.get(at + 1..).is_some_and(|rest| rest.starts_with('{'));
            false
        }
        '}' if in_slot => {
            in_slot = false;
            false
        }
        ',' | '}' => is_flow && !in_slot,
        _ => false,
    });
    let word = line.get(..end.map_or(line.len(), |(at, _)| at));
    word.unwrap_or_default().trim_end().len()
}

/// The length of a value: to its closing quote or the next blank; in a URL to the next `&`.
fn value_length(value: &str, in_query: bool) -> usize {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return quoted_length(value, quote);
    }
    let mut escaped = false;
    let end = value.find(|c: char| {
        let ends = !escaped && (c.is_whitespace() || (in_query && matches!(c, '&' | '#')));
        escaped = !escaped && c == '\\';
        ends || c == '\n'
    });
    let word = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
    // What quotes the text in a message is not part of it.
    word.trim_end_matches(['`', ',', ')', ';', '.', ':']).len()
}

fn quoted_length(value: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in value.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return at,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_in_every_form() {
        for (text, shown) in [
            (
                "host=h password=pw dbname=d",
                "host=h password=*** dbname=d",
            ),
            (
                "host = h password = 'p \\' w' x",
                "host = h password = *** x",
            ),
            ("PASSWORD=pw", "PASSWORD=***"),
            (
                "there is no `/a/host=h password=p`w`",
                "there is no `/a/host=h password=***`",
            ),
            ("host=h password=p\\ w user=u", "host=h password=*** user=u"),
            ("PGPASSWORD=pw psql", "PGPASSWORD=*** psql"),
            ("sslpassword=pw", "sslpassword=***"),
            ("options='-c x.password=pw'", "options='-c x.password=***"),
            (
                "postgres://h/d?user=u&password=p%26w&x=y",
                "postgres://h/d?user=u&password=***&x=y",
            ),
            (
                "postgres://h/d?p%61ssword=pw#f",
                "postgres://h/d?p%61ssword=***#f",
            ),
            ("postgres://me:p%40w@h:5432/d", "postgres://me:***@h:5432/d"),
            ("`postgres://me:p@w@h/d` is", "`postgres://me:***@h/d` is"),
            ("postgres://me:p/w@h/d", "postgres://me:***@h/d"),
            ("postgres://me:12/w@h/d", "postgres://me:***@h/d"),
            ("password=${env:PW:-pw}", "password=***"),
            ("postgres://me:p w@h/d", "postgres://me:***@h/d"),
            ("postgres:me:pw@h/d", "postgres:me:***@h/d"),
            (
                "jdbc:postgresql://h/d?password=pw",
                "jdbc:postgresql://h/d?password=***",
            ),
            ("a password=é", "a password=***"),
            ("password='open", "password=***"),
        ] {
            assert_eq!(without_passwords(text), shown, "{text}");
            assert!(has_password(text), "{text}");
            assert_eq!(without_passwords(shown), shown, "{shown}");
        }
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "",
            "host=h port=5432",
            "postgres://h:5432/d?user=u",
            "http://h:80 and a@b",
            "password=${secret:PW}",
            "host=h password='${secret:PW}'",
            "postgres://u:${secret:PW}@h/d",
            "password authentication failed for user \"u\"",
            "check user, password and database in the `url`",
            "bypass=1",
            "https://h/a:b",
            "postgres://h:5432/d?x=a@b",
        ] {
            assert_eq!(without_passwords(text), text);
        }
    }

    #[test]
    fn the_text_of_a_file_keeps_its_places() {
        let text = "a: {url: \"host=h password=S3cret\"}\npassword: é1\npw: ${secret:X}\n";
        let masked = masked_source(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.lines().count(), text.lines().count());
        assert!(
            !masked.contains("S3cret") && !masked.contains("é1"),
            "{masked}"
        );
        assert!(masked.contains("${secret:X}"));
    }

    #[test]
    fn a_whole_value_of_a_file_is_hidden() {
        for (text, shown) in [
            (
                "env:\n  PGPASSWORD: correct horse\n  A: b\n",
                "env:\n  PGPASSWORD: *************\n  A: b\n",
            ),
            (
                "db: { password: a b, port: 1 }",
                "db: { password: ***, port: 1 }",
            ),
            (
                "db: { password: ${secret:A}, port: 1 }",
                "db: { password: ${secret:A}, port: 1 }",
            ),
            (
                "  password: |\n    one\n    two\n  port: 1",
                "  password: *\n*******\n*******\n  port: 1",
            ),
            ("password:\n  one\nport: 1", "password:\n*****\nport: 1"),
        ] {
            assert_eq!(masked_source(text), shown, "{text}");
        }
    }

    #[test]
    fn arguments_behind_a_flag_are_passwords_and_folders_are_not() {
        let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            password_arguments(&argv("mysql --password S3cret -u x")),
            [2]
        );
        assert_eq!(password_arguments(&argv("x --token-password abc")), [2]);
        for none in [
            "mysql --password=x y",
            "mysql --password -u",
            "x password y",
            "x --password ${secret:A}",
        ] {
            assert!(password_arguments(&argv(none)).is_empty(), "{none}");
        }
        assert!(is_literal_password("PGPASSWORD", "abc"));
        assert!(is_literal_password("DB_PWD", "abc"));
        for (name, text) in [
            ("PWD", "/data"),
            ("SKIP_PASS", "true"),
            ("PGPASSWORD", "${env:X}"),
        ] {
            assert!(!is_literal_password(name, text), "{name}");
        }
    }

    #[test]
    fn addresses_are_distinguished_from_paths() {
        assert!(is_key_value_address("host=h dbname=d"));
        assert!(is_key_value_address("host = h  user = 'a b'"));
        assert!(is_key_value_address("password=x"));
        assert!(!is_key_value_address("user=5/rows.csv"));
        assert!(!is_key_value_address("year=2024/month=3/rows.csv"));
        assert!(!is_key_value_address("data/a.csv"));
        assert!(!is_key_value_address("postgres://h/d?user=u&password=x"));
    }

    #[test]
    fn values_are_read_as_they_are_meant() {
        let found = passwords_in("host=h password='p\\'w 1'");
        assert!(found.contains(&"p'w 1".to_owned()), "{found:?}");
        let found = passwords_in("postgres://h/d?password=p%40w");
        assert!(found.contains(&"p@w".to_owned()), "{found:?}");
    }
}
