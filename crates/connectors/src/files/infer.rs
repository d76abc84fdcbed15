//! The type of a column nobody declared, from every value it has.
//!
//! Promise: a column is bigint, decimal, double, bool, date or timestamp only if every value survives
//! text -> type -> text unchanged in value; the order of values, files and chunks does not matter.
//! Leading zeros and `+` mean text. Day or month first is decided by the whole column, a decimal comma
//! by the column or else by the others of the table (`Hint`). What stays ambiguous is text, and a note
//! says so. Read next: `numbers.rs`.

use arrow_schema::{DataType, TimeUnit};
use towpath_vocab::types;

use super::cells::Cells;
use super::numbers::{CODE, Numbers, SPECIAL, leading_digits};
use super::value::TimeFormats;
use crate::exact::local::{DateOrder, NumberFormat, date_parts};

/// What was seen beside plain numbers, one bit each.
mod kind {
    pub(super) const BOOL: u32 = 1;
    pub(super) const DATE: u32 = 1 << 1;
    pub(super) const TIMESTAMP: u32 = 1 << 2;
    pub(super) const INSTANT: u32 = 1 << 3;
    /// A date whose parts have no certain order.
    pub(super) const SLASHED: u32 = 1 << 4;
    /// One that is a date with the day first only, or with the month first only.
    pub(super) const DAY_FIRST: u32 = 1 << 5;
    pub(super) const MONTH_FIRST: u32 = 1 << 6;
    /// A time stands behind such a date; nothing does.
    pub(super) const SLASHED_TIME: u32 = 1 << 7;
    pub(super) const SLASHED_DAY: u32 = 1 << 8;
    /// Its year has two digits.
    pub(super) const SHORT_YEAR: u32 = 1 << 9;
    /// An empty text between quotes.
    pub(super) const EMPTY: u32 = 1 << 10;
    pub(super) const TEXT: u32 = 1 << 11;
    /// A number with a separator, as `1,5`, that is none in plain form.
    pub(super) const NOT_PLAIN: u32 = 1 << 12;
    /// A number that is none with a decimal comma, or none with commas between thousands.
    pub(super) const NOT_COMMA: u32 = 1 << 13;
    pub(super) const NOT_GROUPED: u32 = 1 << 14;
    /// A number that is one only with a decimal comma, or only with commas between thousands.
    pub(super) const COMMA: u32 = 1 << 15;
    pub(super) const GROUPED: u32 = 1 << 16;
    /// A number with a point, as `1.000`, that may separate thousands.
    pub(super) const POINT: u32 = 1 << 17;
    /// Its fields are separated by semicolons, as where commas are decimal ones.
    pub(super) const SEMICOLONS: u32 = 1 << 18;
}
use kind::{
    BOOL, COMMA, DATE, DAY_FIRST, EMPTY, GROUPED, INSTANT, MONTH_FIRST, NOT_COMMA, NOT_GROUPED,
    NOT_PLAIN, POINT, SEMICOLONS, SHORT_YEAR, SLASHED, SLASHED_DAY, SLASHED_TIME, TEXT, TIMESTAMP,
};

/// Bits that say how numbers are written, not what they are.
const WRITING: u32 = NOT_PLAIN | NOT_COMMA | NOT_GROUPED | COMMA | GROUPED | POINT | SEMICOLONS;
const SLASHES: u32 = SLASHED | DAY_FIRST | MONTH_FIRST | SLASHED_TIME | SLASHED_DAY | SHORT_YEAR;
/// So many texts among other values are counted; a column with more is a text column.
const FEW: u8 = 10;

/// How types are inferred from cells.
pub(crate) struct InferOptions<'a> {
    pub(crate) times: &'a TimeFormats,
    /// Quoted cells are texts, as in JSON.
    pub(crate) typed: bool,
    /// How numbers are written, where the project says it.
    pub(crate) numbers: Option<NumberFormat>,
    /// A comma may be a decimal one: it does not separate the fields.
    pub(crate) commas: bool,
    /// Semicolons separate the fields.
    pub(crate) semicolons: bool,
}

/// What the columns of a table show of how numbers are written in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    comma: bool,
    point: bool,
}

/// What is known of one column so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    kinds: u32,
    /// Numbers without any separator, and those with one in each way of writing them.
    whole: Numbers,
    plain: Numbers,
    comma: Numbers,
    grouped: Numbers,
    /// Values that are not NULL, and those that are nothing but text; exact while these are few.
    values: u64,
    texts: u8,
}

/// A type with what a person should know about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) data_type: DataType,
    pub(crate) note: Option<String>,
    /// Nothing was seen that could tell the type.
    pub(crate) has_no_values: bool,
}

impl Guess {
    /// Adds what another part of the input showed.
    pub(crate) fn merge(&mut self, other: Guess) {
        self.kinds |= other.kinds;
        self.whole.merge(other.whole);
        self.plain.merge(other.plain);
        self.comma.merge(other.comma);
        self.grouped.merge(other.grouped);
        self.values += other.values;
        self.texts = self.texts.saturating_add(other.texts).min(FEW + 1);
    }

    /// Looks at the cells of a column.
    pub(crate) fn see(&mut self, cells: &Cells<'_>, infer: &InferOptions<'_>) {
        // Once it is certainly text, nothing changes the verdict.
        if self.texts > FEW {
            return;
        }
        let mut guess = *self;
        cells.each(|_, text, quoted| {
            if let Some(text) = text
                && guess.texts <= FEW
            {
                guess.value(text, quoted, infer);
            }
        });
        *self = guess;
    }

    fn add(&mut self, kinds: u32) {
        self.kinds |= kinds;
        if kinds & TEXT != 0 {
            self.texts = self.texts.saturating_add(1).min(FEW + 1);
        }
    }

    #[inline]
    fn value(&mut self, text: &[u8], quoted: bool, infer: &InferOptions<'_>) {
        self.values += 1;
        if infer.typed && quoted {
            return self.time(text, infer);
        }
        match text.first() {
            None => self.add(EMPTY),
            // No word starts with a digit.
            Some(b'0'..=b'9') => {
                if !self.number(text, infer) {
                    self.time(text, infer);
                }
            }
            Some(b'-' | b'.') if self.number(text, infer) => {}
            Some(_) => match word(text) {
                Some(Word::Bool) => self.add(BOOL),
                Some(Word::Special) => self.whole.note(SPECIAL),
                Some(Word::Code) => self.whole.note(CODE),
                None => self.time(text, infer),
            },
        }
    }

    /// Takes a date, a timestamp or a text.
    #[inline]
    fn time(&mut self, text: &[u8], infer: &InferOptions<'_>) {
        let kinds = moment(text, infer.times);
        self.add(kinds.unwrap_or_else(|| slashed(text, infer.times)));
    }

    /// Takes a number; false when it is none.
    #[inline]
    fn number(&mut self, text: &[u8], infer: &InferOptions<'_>) -> bool {
        if let Some(format) = infer.numbers {
            let plain = &mut self.plain;
            return format
                .read(text, |text| plain.take(text).then_some(()))
                .is_some();
        }
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = leading_digits(digits);
        match digits.get(whole) {
            None => return self.whole.take_whole(text, digits),
            Some(b'.' | b',' | b'e' | b'E') => {}
            // In no format does anything else follow the first digits of a number.
            Some(_) => return false,
        }
        if self.plain.take_behind(text, digits, whole) {
            if self.kinds & NOT_COMMA == 0 {
                let may_fit = infer.commas && !digits.starts_with(b"0");
                let fits = may_fit && taken(&mut self.comma, NumberFormat::COMMA, text);
                self.kinds |= match (fits, infer.semicolons) {
                    (false, _) => NOT_COMMA,
                    (true, false) => POINT,
                    (true, true) => POINT | SEMICOLONS,
                };
            }
            return true;
        }
        let comma = infer.commas && taken(&mut self.comma, NumberFormat::COMMA, text);
        let grouped = taken(&mut self.grouped, NumberFormat::GROUPED, text);
        self.kinds |= match (comma, grouped) {
            (false, false) => return false,
            (true, true) => NOT_PLAIN,
            (true, false) => NOT_PLAIN | NOT_GROUPED | COMMA,
            (false, true) => NOT_PLAIN | NOT_COMMA | GROUPED,
        };
        true
    }

    /// Whether there was a value.
    pub(crate) fn has_values(&self) -> bool {
        self.values > 0
    }

    /// What the column says about how numbers are written in its table.
    pub(crate) fn hint(&self, hint: &mut Hint) {
        if self.kinds & !WRITING != 0 {
            return;
        }
        let has = |kind: u32| self.kinds & kind != 0;
        hint.comma |= has(COMMA) && !has(NOT_COMMA);
        let points = !self.plain.is_empty() && has(NOT_COMMA) && !has(NOT_PLAIN);
        hint.point |= points || has(GROUPED) && !has(NOT_GROUPED);
    }

    /// Whether there are numbers or dates that only the whole column can tell how to read.
    pub(crate) fn is_local(&self) -> bool {
        self.kinds & (NOT_PLAIN | SLASHES) != 0
    }

    /// How the column is written as far as its values tell, or else those of its table.
    pub(crate) fn written(&self, hint: Hint) -> (Option<NumberFormat>, Option<DateOrder>) {
        let has = |kind: u32| self.kinds & kind != 0;
        let could_be_comma = !has(NOT_PLAIN) && !has(NOT_COMMA);
        let numbers = self.writing(hint);
        let numbers = numbers.filter(|form| !(could_be_comma && *form == NumberFormat::PLAIN));
        let order = match (has(DAY_FIRST), has(MONTH_FIRST)) {
            (true, false) => Some(DateOrder::DayFirst),
            (false, true) => Some(DateOrder::MonthFirst),
            _ => None,
        };
        (numbers, order)
    }

    /// How the numbers are written; `None` when that is ambiguous or mixed.
    fn writing(&self, hint: Hint) -> Option<NumberFormat> {
        let has = |kind: u32| self.kinds & kind != 0;
        let by_hint = match (hint.comma, hint.point) {
            (true, false) => Some(NumberFormat::COMMA),
            (false, true) => Some(NumberFormat::GROUPED),
            _ => None,
        };
        if !has(NOT_PLAIN) {
            let could_be = !self.plain.is_empty() && !has(NOT_COMMA);
            let comma = by_hint.filter(|format| could_be && *format == NumberFormat::COMMA);
            let is_unclear = self.may_be_thousands() && has(SEMICOLONS) && by_hint.is_none();
            return (!is_unclear).then_some(comma.unwrap_or(NumberFormat::PLAIN));
        }
        match (has(NOT_COMMA), has(NOT_GROUPED)) {
            (true, true) => None,
            (false, true) => Some(NumberFormat::COMMA),
            (true, false) if self.is_certainly_grouped() => Some(NumberFormat::GROUPED),
            _ => by_hint,
        }
    }

    /// Every point may separate thousands: three digits are behind each.
    fn may_be_thousands(&self) -> bool {
        self.kinds & POINT != 0 && self.kinds & (NOT_PLAIN | NOT_COMMA) == 0
    }

    /// Commas in threes could also be lists: a point behind them, or a second comma, is certain.
    fn is_certainly_grouped(&self) -> bool {
        !self.grouped.is_empty() && (!self.plain.is_empty() || self.grouped.has_large_or_fraction())
    }

    fn numbers(&self, format: NumberFormat) -> Numbers {
        let mut numbers = self.whole;
        match format {
            NumberFormat::COMMA => numbers.merge(self.comma),
            NumberFormat::GROUPED => {
                numbers.merge(self.plain);
                numbers.merge(self.grouped);
            }
            _ => numbers.merge(self.plain),
        }
        numbers
    }

    /// The type that keeps every value. `fixed`: as in `Numbers::data_type`.
    pub(crate) fn verdict(&self, column: &str, hint: Hint, fixed: bool) -> Verdict {
        let mut verdict = Verdict {
            data_type: DataType::Utf8,
            note: None,
            has_no_values: self.values == 0,
        };
        let found = match self.writing(hint).map(|format| self.numbers(format)) {
            Some(numbers) if self.kinds & !WRITING == 0 => numbers.data_type(fixed),
            Some(numbers) if numbers.is_empty() => self.no_number(),
            _ => None,
        };
        match found {
            Some(data_type) => {
                let is_guess = data_type.is_numeric() && self.may_be_thousands();
                verdict.note = (is_guess && !hint.comma && !hint.point).then(|| {
                    format!(
                        "points in `{column}` are read as decimal points, but all have three digits behind them; if they separate thousands, set `decimal: \",\"`"
                    )
                });
                verdict.data_type = data_type;
            }
            None => verdict.note = self.note(column, hint, fixed),
        }
        verdict
    }

    /// The type that keeps every value and every one of a type known from before, where that one does
    /// not keep them all; `None` too when only text would.
    pub(crate) fn wider(&self, before: &DataType, hint: Hint, fixed: bool) -> Option<DataType> {
        let verdict = self.verdict("", hint, fixed).data_type;
        let wider = match (before, &verdict) {
            (DataType::Int64, DataType::Float64) => verdict,
            (DataType::Int64, DataType::Decimal128(precision, scale)) => {
                let whole = u8::try_from(i16::from(*precision) - i16::from(*scale)).ok()?;
                let precision = whole.max(19).checked_add(u8::try_from(*scale).ok()?)?;
                (precision <= 38).then_some(DataType::Decimal128(precision, *scale))?
            }
            (DataType::Decimal128(precision, scale), found) if found.is_numeric() => {
                let numbers = self.numbers(self.writing(hint)?);
                numbers.widened(*precision, *scale)?
            }
            (DataType::Date32, DataType::Timestamp(_, None)) => verdict,
            _ => return None,
        };
        (wider != *before).then_some(wider)
    }

    /// The type of a column without numbers, unless it is text.
    fn no_number(&self) -> Option<DataType> {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        match self.kinds {
            BOOL => return Some(DataType::Boolean),
            DATE => return Some(DataType::Date32),
            TIMESTAMP => return Some(timestamp),
            INSTANT => return Some(types::instant()),
            _ => {}
        }
        let has_order = matches!(
            self.kinds & (DAY_FIRST | MONTH_FIRST),
            DAY_FIRST | MONTH_FIRST
        );
        match self.kinds & !(SLASHED | DAY_FIRST | MONTH_FIRST) {
            SLASHED_DAY if has_order => Some(DataType::Date32),
            SLASHED_TIME if has_order => Some(timestamp),
            _ => None,
        }
    }

    /// Why a column that looks like something else is text.
    fn note(&self, column: &str, hint: Hint, fixed: bool) -> Option<String> {
        let has = |some: u32| self.kinds & some != 0;
        let say = |why: &str| Some(format!("`{column}` is read as text: {why}"));
        let mut numbers = self.numbers(NumberFormat::GROUPED);
        numbers.merge(self.comma);
        if has(TEXT) {
            // Most text columns are just that.
            return self.few_texts(column, hint, fixed);
        }
        if has(SHORT_YEAR) {
            return say("the years of its dates have two digits; set `date_format`");
        }
        if has(DAY_FIRST) && has(MONTH_FIRST) {
            return say("some of its dates have the day first and some the month");
        }
        if has(SLASHED) {
            return say(
                "its dates may be day/month or month/day; declare `date` and set `date_format`",
            );
        }
        if has(EMPTY) && (self.kinds != EMPTY || !numbers.is_empty()) {
            return say(
                "some values are quoted and empty; `null_values: [\"\"]` reads those as NULL",
            );
        }
        if numbers.has(CODE) && numbers.has(!CODE) {
            return say("some of its numbers have leading zeros or a plus");
        }
        if has(NOT_PLAIN) && has(NOT_COMMA) && has(NOT_GROUPED) {
            return say("some of its numbers have a decimal comma and some have a point");
        }
        if has(NOT_PLAIN) {
            return say(
                "its commas may be decimal commas or separate thousands; set `decimal: \",\"` or `thousands: \",\"`",
            );
        }
        if self.may_be_thousands() && self.kinds & !WRITING == 0 {
            return say(
                "its points may be decimal points or separate thousands; set `decimal: \".\"` or `decimal: \",\"`",
            );
        }
        if has(TIMESTAMP) && has(INSTANT) {
            return say("some of its timestamps have an offset and some have none");
        }
        if has(DATE) && has(TIMESTAMP | INSTANT) {
            return say("it mixes dates and timestamps");
        }
        let all_numbers = self.kinds & !WRITING == 0;
        if all_numbers && numbers.has(!(CODE | SPECIAL)) {
            return say("no number type can store all its digits");
        }
        None
    }

    /// A column of one type but for a few texts, which may be mistakes.
    fn few_texts(&self, column: &str, hint: Hint, fixed: bool) -> Option<String> {
        let texts = u64::from(self.texts);
        if self.texts > FEW || self.values < texts * 10 {
            return None;
        }
        let others = Guess {
            kinds: self.kinds & !TEXT,
            values: self.values - texts,
            texts: 0,
            ..*self
        };
        let verdict = others.verdict(column, hint, fixed);
        if verdict.data_type == DataType::Utf8 {
            return None;
        }
        let word = types::name(&verdict.data_type);
        let are = if texts == 1 { "is" } else { "are" };
        Some(format!(
            "`{column}` is read as text: {texts} of {} values {are} not a valid `{word}`; declare `{column}: {word}` to reject such rows",
            self.values
        ))
    }
}

fn taken(numbers: &mut Numbers, format: NumberFormat, text: &[u8]) -> bool {
    let taken = |text: &[u8]| numbers.take(text).then_some(());
    format.read(text, taken).is_some()
}

enum Word {
    Bool,
    Special,
    Code,
}

fn word(text: &[u8]) -> Option<Word> {
    let is = |words: &[&str]| words.iter().any(|word| word.as_bytes() == text);
    if is(&["true", "false", "True", "False", "TRUE", "FALSE"]) {
        return Some(Word::Bool);
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let sizes: [&[u8]; 4] = [b"inf", b"Inf", b"Infinity", b"infinity"];
    if is(&["NaN", "nan"]) || sizes.contains(&unsigned) {
        return Some(Word::Special);
    }
    matches!(text, [b'+', b'0'..=b'9', ..]).then_some(Word::Code)
}

fn moment(text: &[u8], times: &TimeFormats) -> Option<u32> {
    // Only by a pattern is a date longer than these bytes.
    let may_be_date = text.len() <= 10 || times.date.is_some();
    if may_be_date && times.date(text).is_some() {
        return Some(DATE);
    }
    times
        .timestamp(text)
        .map(|moment| if moment.zoned { INSTANT } else { TIMESTAMP })
}

/// `3/4/2013`, `03-04-2013` and the like, with a time or without; text else.
fn slashed(text: &[u8], times: &TimeFormats) -> u32 {
    let Some(parts) = date_parts(text) else {
        return TEXT;
    };
    let kinds = match parts.rest {
        [] if times.date.is_none() => SLASHED_DAY,
        [_, ..] if times.timestamp.is_none() => SLASHED_TIME,
        _ => return TEXT,
    };
    if parts.has_short_year() && parts.rest.is_empty() {
        return kinds | SHORT_YEAR;
    }
    let is_read = |order: DateOrder| match parts.rest {
        [] => order.date(text).is_some(),
        _ => order.timestamp(text).is_some_and(|moment| !moment.zoned),
    };
    kinds
        | match (is_read(DateOrder::DayFirst), is_read(DateOrder::MonthFirst)) {
            (true, true) => SLASHED,
            (true, false) => DAY_FIRST,
            (false, true) => MONTH_FIRST,
            (false, false) => return TEXT,
        }
}

#[cfg(test)]
mod tests;
