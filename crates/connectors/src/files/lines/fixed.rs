//! A line whose fields have fixed places, counted in characters from 1.
//!
//! Promise: blanks around a field are dropped unless `trim: false`, and nothing else is. A line that ends before
//! its last field does is rejected unless `short_lines: pad`; so is one with text behind the last field. It knows
//! no types: digits with leading zeros are text, as in all text files.

use super::table::LineTable;

/// The fields of a line.
#[derive(Clone, Debug)]
pub(crate) struct FixedFields {
    fields: Vec<Field>,
    /// Characters up to the end of the last field.
    width: usize,
    keeps_blanks: bool,
    pads: bool,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    /// The first character, from 0, and the one behind the last.
    start: usize,
    end: usize,
}

impl FixedFields {
    /// Reads `NAME START-END` or `NAME WIDTH` for each field; the error is the field and what it should be.
    pub(super) fn read(
        texts: &[String],
        keeps_blanks: bool,
        pads: bool,
    ) -> Result<Self, (String, String)> {
        let mut fields: Vec<Field> = Vec::with_capacity(texts.len());
        let mut next = 0;
        for text in texts {
            let wrong = |expected: &str| (text.clone(), expected.to_owned());
            let field = field(text, next).ok_or_else(|| {
                wrong("a name with places or a width, such as `amount 21-30` or `amount 10`, and no blanks in the name")
            })?;
            if fields.iter().any(|other| other.name == field.name) {
                return Err(wrong("a name that no other field has"));
            }
            next = field.end;
            fields.push(field);
        }
        let width = fields.iter().map(|field| field.end).max().unwrap_or(0);
        Ok(Self {
            fields,
            width,
            keeps_blanks,
            pads,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    pub(super) fn cells(&self, line: &str, to: &mut LineTable) -> Result<(), String> {
        // Where each character starts, if that is not its own number.
        let places: Option<Vec<usize>> =
            (!line.is_ascii()).then(|| line.char_indices().map(|(at, _)| at).collect());
        let count = places.as_ref().map_or(line.len(), Vec::len);
        if count < self.width && !self.pads {
            return Err(format!(
                "has {count} characters, but its fields end at {}; `short_lines: pad` takes what is missing as blanks",
                self.width
            ));
        }
        let place = |at: usize| match &places {
            None => at.min(line.len()),
            Some(places) => places.get(at).copied().unwrap_or(line.len()),
        };
        let behind = line.get(place(self.width)..).unwrap_or_default();
        if !behind.trim_matches(BLANKS).is_empty() {
            return Err(format!(
                "has text behind character {}, where its last field ends",
                self.width
            ));
        }
        for field in &self.fields {
            let cell = line
                .get(place(field.start)..place(field.end))
                .unwrap_or_default();
            match self.keeps_blanks {
                true => to.push(Some(cell)),
                false => to.push(Some(cell.trim_matches(BLANKS))),
            }
        }
        Ok(())
    }
}

const BLANKS: [char; 2] = [' ', '\t'];
/// Far more than any record has.
const WIDEST: usize = 1 << 24;

fn field(text: &str, next: usize) -> Option<Field> {
    let (name, place) = text.trim().rsplit_once([' ', '\t'])?;
    let number = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|number| (1..=WIDEST).contains(number))
    };
    let (start, end) = match place.split_once('-') {
        Some((start, end)) => (number(start)? - 1, number(end)?),
        None => (next, next + number(place)?),
    };
    let name = name.trim();
    // `id 1 - 4` is not a field `id 1 -` of four characters.
    let is_name = !name.is_empty() && !name.ends_with('-') && !name.contains(char::is_whitespace);
    (is_name && start < end).then(|| Field {
        name: name.to_owned(),
        start,
        end,
    })
}
