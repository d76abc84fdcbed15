//! The macros of a project: found in their files, each a template of its own, callable from everywhere.
//!
//! Promise: a macro returns the text that it writes, or the value that it gives to `return`. So that this
//! also holds between macros of one file, each is compiled under an internal name, and every call, even of
//! itself, goes through one global object. It does not know packages: one name, one macro.

use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Rest, from_args};
use minijinja::{Error, State, Value};

use crate::guards;
use crate::problem::{Mistake, TemplateProblem};
use crate::segments::{Kind, Segment, segments};
use crate::session::Session;

/// A file with macros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroFile {
    /// Path relative to the project folder.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The prefix of a macro's name inside its own template.
const INNER: &str = "__towpath_";

/// One macro, cut out of its file.
#[derive(Clone, Debug)]
pub(crate) struct Macro {
    pub(crate) name: String,
    pub(crate) file: String,
    /// Its own template.
    pub(crate) source: String,
    start: usize,
    /// Where the inner name begins in `source`.
    name_at: usize,
    /// The ranges that guards added in `source`.
    grown: Vec<Range<usize>>,
}

impl Macro {
    /// The name of its template.
    pub(crate) fn template(name: &str) -> String {
        format!("macro {name}")
    }

    fn inner_name(&self) -> String {
        format!("{INNER}{}", self.name)
    }

    /// Converts bytes of its template to bytes of its file.
    pub(crate) fn place(&self, range: Range<usize>) -> (usize, usize) {
        let back = |at: usize| {
            let at = guards::before(&self.grown, at);
            let at = if at > self.name_at {
                at.saturating_sub(INNER.len()).max(self.name_at)
            } else {
                at
            };
            self.start + at
        };
        (back(range.start), back(range.end))
    }
}

/// All macros of the files, in order.
///
/// # Errors
/// A name that is defined twice, or a macro without its end.
pub(crate) fn find(files: &[MacroFile]) -> Result<Vec<Macro>, TemplateProblem> {
    let mut found: Vec<Macro> = Vec::new();
    for file in files {
        for one in in_file(file)? {
            if let Some(other) = found.iter().find(|other| other.name == one.name) {
                return Err(wrong(
                    file,
                    one.start,
                    format!("the macro `{}` is defined twice", one.name),
                )
                .map_help(format!("the other one is in {}", other.file)));
            }
            found.push(one);
        }
    }
    Ok(found)
}

fn wrong(file: &MacroFile, at: usize, message: String) -> TemplateProblem {
    TemplateProblem::Wrong(Box::new(Mistake {
        code: "M0326",
        file: file.file.clone(),
        message,
        offset: Some((at, at)),
        label: None,
        help: Vec::new(),
    }))
}

impl TemplateProblem {
    fn map_help(mut self, help: String) -> Self {
        if let Self::Wrong(mistake) = &mut self {
            mistake.help.push(help);
        }
        self
    }
}

fn in_file(file: &MacroFile) -> Result<Vec<Macro>, TemplateProblem> {
    let text = &file.text;
    let mut found = Vec::new();
    let mut open: Option<&Segment> = None;
    let pieces = segments(text);
    for piece in pieces.iter().filter(|piece| piece.kind == Kind::Block) {
        match (piece.keyword(text), open) {
            ("macro", None) => open = Some(piece),
            ("macro", Some(_)) => {
                return Err(wrong(
                    file,
                    piece.range.start,
                    "a macro begins inside another macro".to_owned(),
                )
                .map_help("close the one before with `{% endmacro %}`".to_owned()));
            }
            ("endmacro", Some(head)) => {
                found.push(cut(file, head, piece.range.end)?);
                open = None;
            }
            _ => {}
        }
    }
    match open {
        Some(head) => Err(
            wrong(file, head.range.start, "this macro has no end".to_owned())
                .map_help("close it with `{% endmacro %}`".to_owned()),
        ),
        None => Ok(found),
    }
}

fn cut(file: &MacroFile, head: &Segment, end: usize) -> Result<Macro, TemplateProblem> {
    let text = &file.text;
    let inner = text.get(head.inner.clone()).unwrap_or_default();
    let after_word = inner.find("macro").map_or(0, |at| at + "macro".len());
    let rest = inner.get(after_word..).unwrap_or_default();
    let name_start = after_word + (rest.len() - rest.trim_start().len());
    let rest = rest.trim_start();
    let name_length = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let name = rest.get(..name_length).unwrap_or_default();
    if name.is_empty() {
        return Err(wrong(
            file,
            head.range.start,
            "this macro has no name".to_owned(),
        ));
    }
    let start = head.range.start;
    let name_at = head.inner.start - start + name_start;
    let whole = text.get(start..end).unwrap_or_default();
    let (before, after) = whole.split_at_checked(name_at).unwrap_or((whole, ""));
    let (source, grown) = guards::guarded(&format!("{before}{INNER}{after}"));
    Ok(Macro {
        name: name.to_owned(),
        file: file.file.clone(),
        source,
        start,
        name_at,
        grown,
    })
}

/// A macro as a value of a template.
#[derive(Debug)]
pub(crate) struct MacroObject {
    pub(crate) definition: Arc<Macro>,
    pub(crate) session: Arc<Session>,
}

impl Object for MacroObject {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        (key == "name").then(|| Value::from(self.definition.name.as_str()))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let args = with_caller(state, args)?;
        self.session.enter(&self.definition.name)?;
        let template = state
            .env()
            .get_template(&Macro::template(&self.definition.name))?;
        let mut captured = template.render_captured(())?;
        let (written, steps) = captured.with_state_mut(|inner| {
            let written = inner.call_macro(&self.definition.inner_name(), &args);
            (written, inner.fuel_levels().map_or(0, |(steps, _)| steps))
        });
        self.session.leave();
        // A call takes some steps, whatever the macro does.
        self.session.step(steps.saturating_add(10))?;
        match (self.session.seen().returned.take(), written) {
            (Some(value), _) => Ok(value),
            (None, Ok(text)) => Ok(Value::from(text)),
            (None, Err(error)) => Err(error),
        }
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<macro {}>", self.definition.name)
    }
}

/// The body of a `call` block belongs to the template that contains it, so it is rendered before the macro
/// begins; `caller()` then returns that text.
fn with_caller(state: &mut State<'_, '_>, args: &[Value]) -> Result<Vec<Value>, Error> {
    let (rest, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
    if !kwargs.has("caller") {
        return Ok(args.to_vec());
    }
    let text = kwargs.get::<Value>("caller")?.call(state, &[])?;
    let caller = Value::from_function(move |_: Rest<Value>| text.clone());
    let mut named = Vec::new();
    for name in kwargs.args().filter(|name| *name != "caller") {
        named.push((name.to_owned(), kwargs.get::<Value>(name)?));
    }
    named.push(("caller".to_owned(), caller));
    let mut all = rest.to_vec();
    all.push(Value::from(Kwargs::from_iter(named)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn file(text: &str) -> MacroFile {
        MacroFile {
            file: "macros/m.sql".into(),
            text: text.into(),
        }
    }

    #[test]
    fn macros_are_cut_out_with_their_places() {
        let text = "{# doc #}\n{% macro cents(x) -%}({{ x }} / 100){%- endmacro %}\n{% macro b() %}{% endmacro %}";
        let found = find(&[file(text)]).unwrap();
        assert_eq!(
            found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
            ["cents", "b"]
        );
        let at = found[0].source.find("x }}").unwrap();
        let (start, _) = found[0].place(at..at + 1);
        assert_eq!(&text[start..start + 4], "x }}");
    }

    #[test]
    fn broken_files_are_refused() {
        for (text, message) in [
            (
                "{% macro a() %}{% endmacro %}{% macro a() %}{% endmacro %}",
                "the macro `a` is defined twice",
            ),
            ("{% macro a() %}", "this macro has no end"),
            ("{% macro () %}{% endmacro %}", "this macro has no name"),
        ] {
            match find(&[file(text)]) {
                Err(TemplateProblem::Wrong(mistake)) => assert_eq!(mistake.message, message),
                other => unreachable!("{other:?}"),
            }
        }
    }
}
