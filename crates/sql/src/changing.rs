//! Finds the functions in a text whose results change over time: the clock, random numbers, the session.
//!
//! Promise: the function registry says which functions these are, so a new function needs no entry here. In
//! SQL, calls are found; in a template, which is not SQL yet, words are found, so a word may be taken for a
//! call by mistake, but no call is missed. Read next: `moment.rs` (calls of the clock become values).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use datafusion_expr::{Signature, Volatility};

use crate::functions::functions;
use crate::names::Names;
use crate::statement;

/// The functions of a query whose results depend on more than their inputs, each once, by name.
pub fn changing_calls(sql: &str) -> BTreeSet<String> {
    let parsed = statement::query(sql).and_then(|parsed| Names::of(&parsed));
    match parsed {
        Ok(names) => {
            let called = names.calls.iter().map(|call| call.name.as_str());
            called
                .chain(names.bare_calls.iter().map(String::as_str))
                .filter(|name| changing().contains(*name))
                .map(str::to_owned)
                .collect()
        }
        Err(_) => changing_words(sql),
    }
}

/// The same for an expression.
pub fn changing_in_expression(text: &str) -> BTreeSet<String> {
    changing_calls(&format!("select (\n{text}\n)"))
}

/// The same for a template: words before a parenthesis, and functions that need no parentheses.
pub fn changing_words(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let word_on = rest.get(start..).unwrap_or_default();
        let length = word_on.find(|c| !is_word(c)).unwrap_or(word_on.len());
        let (word, behind) = word_on.split_at(length);
        let word = word.to_ascii_lowercase();
        let called = behind.trim_start().starts_with('(') || word.starts_with("current_");
        if called && changing().contains(&word) {
            found.insert(word);
        }
        rest = behind;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn changing() -> &'static BTreeSet<String> {
    static CHANGING: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let all = functions();
        let scalar = all
            .scalar
            .iter()
            .map(|f| (f.name(), f.aliases(), f.signature()));
        let aggregate = all
            .aggregate
            .iter()
            .map(|f| (f.name(), f.aliases(), f.signature()));
        let window = all
            .window
            .iter()
            .map(|f| (f.name(), f.aliases(), f.signature()));
        let each: Vec<(&str, &[String], &Signature)> =
            scalar.chain(aggregate).chain(window).collect();
        each.into_iter()
            .filter(|(_, _, signature)| signature.volatility != Volatility::Immutable)
            .flat_map(|(name, aliases, _)| aliases.iter().cloned().chain([name.to_owned()]))
            .collect()
    });
    &CHANGING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(sql: &str) -> Vec<String> {
        changing_calls(sql).into_iter().collect()
    }

    #[test]
    fn the_clock_and_chance_change_and_text_does_not() {
        assert_eq!(calls("select now() as t from a"), ["now"]);
        assert_eq!(calls("select current_date"), ["current_date"]);
        assert_eq!(calls("select CURRENT_TIMESTAMP"), ["current_timestamp"]);
        assert_eq!(
            calls("select x from a where r < (select random())"),
            ["random"]
        );
        assert_eq!(
            calls("with c as (select uuid() u) select * from c"),
            ["uuid"]
        );
        assert!(calls("select 'now()' as now, upper(a) /* random() */ from t -- now()").is_empty());
        assert!(calls("select sum(a) over (order by b), date_trunc('day', d) from t").is_empty());
    }

    #[test]
    fn an_expression_is_judged_like_a_query() {
        assert_eq!(
            changing_in_expression("a < random() and d > \"now\"()").len(),
            2
        );
        assert!(changing_in_expression("\"now\" > 1 -- now()").is_empty());
    }

    #[test]
    fn a_template_is_judged_by_its_words() {
        let words = |text| changing_words(text).into_iter().collect::<Vec<_>>();
        assert_eq!(words("select {{ x }}, Now () from {{ ref('a') }}"), ["now"]);
        assert_eq!(
            words("{% if a %} where d > current_date {% endif %}"),
            ["current_date"]
        );
        assert!(words("select now, known(a), random_id from {{ ref('random') }}").is_empty());
    }
}
