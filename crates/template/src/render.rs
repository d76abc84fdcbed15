//! Renders a template with its answers to SQL, and puts ephemeral models before it.
//!
//! Promise: the template is run until all of its questions are answered; each question is asked once, in
//! order. If only a live warehouse has an answer, rendering ends with `NeedsWarehouse`. It does not parse the SQL.
//! Read next: `session.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Error;
use towpath_vocab::{Introspect, NeedsWarehouse, TableName};

use crate::context::{FUNCTIONS, environment};
use crate::ephemeral::inject;
use crate::limits;
use crate::macros::{self, Macro, MacroFile};
use crate::problem::{Mistake, Raised, TemplateProblem, from_engine};
use crate::reference::Vars;
use crate::session::{Mode, RenderTrace, Session, Settings};
use crate::source_map::{MarkedTemplate, SourceMap, add_markers};

/// The most questions of one template.
const MOST_QUESTIONS: usize = 1000;

/// The template to render, and everything that it can read.
#[derive(Clone, Copy, Debug)]
pub struct Render<'a> {
    /// The template's file, relative to the project folder.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Files with macros.
    pub macros: &'a [MacroFile],
    /// Values of `var()`.
    pub vars: &'a Vars,
    /// Values of `env_var()`.
    pub env: &'a BTreeMap<String, String>,
    /// The table of the model.
    pub this: &'a TableName,
    /// Tables by `Reference::key`: `orders`, `package.orders`, `source.table`.
    pub relations: &'a BTreeMap<String, TableName>,
    /// Templates of ephemeral models, by name.
    pub ephemerals: &'a BTreeMap<String, String>,
    /// True if the whole table is rebuilt.
    pub full_refresh: bool,
    /// True if the model is incremental and its table exists.
    pub incremental: bool,
    /// The environment's name.
    pub target: &'a str,
    /// The environment's default schema.
    pub schema: &'a str,
}

/// The result of rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The SQL.
    pub sql: String,
    /// Converts positions in the SQL to positions in the template.
    pub map: SourceMap,
    /// True if the warehouse was asked, so the SQL may differ next time.
    pub introspective: bool,
}

/// Renders a template.
///
/// # Errors
/// `Wrong` for a mistake in it, `NeedsWarehouse` if `introspect` cannot answer yet.
pub fn render(
    request: &Render<'_>,
    introspect: &mut dyn Introspect,
) -> Result<Rendered, TemplateProblem> {
    let found: Vec<Arc<Macro>> = macros::find(request.macros)?
        .into_iter()
        .map(Arc::new)
        .collect();
    let mut inlining = Inlining {
        request,
        macros: &found,
        done: Vec::new(),
        open: Vec::new(),
        introspective: false,
    };
    let (sql, map, seen) = one(request, &found, request.file, request.text, introspect)?;
    for model in &seen.inlined {
        inlining.add(model, introspect)?;
    }
    let (sql, inserted) = inject(&sql, &inlining.done);
    Ok(Rendered {
        sql,
        map: map.with_inserted(inserted),
        introspective: seen.introspective || inlining.introspective,
    })
}

/// The ephemeral models rendered so far, in the order of their references.
struct Inlining<'a> {
    request: &'a Render<'a>,
    macros: &'a [Arc<Macro>],
    done: Vec<(String, String)>,
    open: Vec<String>,
    introspective: bool,
}

impl Inlining<'_> {
    fn add(&mut self, model: &str, introspect: &mut dyn Introspect) -> Result<(), TemplateProblem> {
        if self.done.iter().any(|(name, _)| name == model) {
            return Ok(());
        }
        if self.open.iter().any(|name| name == model) {
            let circle = self
                .open
                .iter()
                .map(String::as_str)
                .chain([model])
                .collect::<Vec<_>>()
                .join(" -> ");
            return Err(wrong(
                self.request.file,
                None,
                Raised::new(
                    "M0322",
                    format!("ephemeral models read each other: {circle}"),
                ),
            ));
        }
        let Some(text) = self.request.ephemerals.get(model) else {
            return Ok(());
        };
        self.open.push(model.to_owned());
        let (sql, _, seen) = one(self.request, self.macros, model, text, introspect)?;
        for inner in &seen.inlined {
            self.add(inner, introspect)?;
        }
        self.open.pop();
        self.introspective |= seen.introspective;
        self.done.push((model.to_owned(), sql));
        Ok(())
    }
}

/// Renders one text until all questions are answered.
fn one(
    request: &Render<'_>,
    macros: &[Arc<Macro>],
    file: &str,
    text: &str,
    introspect: &mut dyn Introspect,
) -> Result<(String, SourceMap, RenderTrace), TemplateProblem> {
    let marked = add_markers(text);
    let mut answers = Vec::new();
    loop {
        let session = Arc::new(Session::new(settings(request, macros), answers.clone()));
        let result = run(&session, macros, file, &marked);
        let mut seen = session.take_seen();
        match seen.open.take() {
            Some(_) if answers.len() >= MOST_QUESTIONS => {
                let message =
                    format!("the template asks the warehouse more than {MOST_QUESTIONS} questions");
                return Err(wrong(file, None, Raised::new("M0328", message)));
            }
            Some(question) => match introspect.ask(question) {
                Ok(answer) => answers.push(answer),
                Err(NeedsWarehouse(why)) => return Err(TemplateProblem::NeedsWarehouse(why)),
            },
            None => {
                let (sql, map) = marked.remove_markers(&result?);
                return Ok((sql, map, seen));
            }
        }
    }
}

fn settings(request: &Render<'_>, macros: &[Arc<Macro>]) -> Settings {
    Settings {
        mode: Mode::Render,
        execute: true,
        incremental: request.incremental,
        full_refresh: request.full_refresh,
        this: request.this.clone(),
        target: request.target.to_owned(),
        schema: request.schema.to_owned(),
        vars: request.vars.clone(),
        env: request.env.clone(),
        relations: request.relations.clone(),
        ephemerals: request.ephemerals.keys().cloned().collect(),
        macros: macros.iter().map(|one| one.name.clone()).collect(),
    }
}

/// Runs a template once; the result still contains its markers.
pub(crate) fn run(
    session: &Arc<Session>,
    macros: &[Arc<Macro>],
    file: &str,
    marked: &MarkedTemplate,
) -> Result<String, TemplateProblem> {
    if let Some(range) = limits::too_long_chain(&marked.source) {
        let place = (marked.original(range.start), marked.original(range.end));
        return Err(wrong(file, Some(place), limits::chains_too_much()));
    }
    for one in macros {
        if let Some(range) = limits::too_long_chain(&one.source) {
            return Err(wrong(
                &one.file,
                Some(one.place(range)),
                limits::chains_too_much(),
            ));
        }
    }
    let env = environment(session, macros, &marked.source);
    let result = env
        .template_from_named_str(file, &marked.source)
        .and_then(|template| template.render(()));
    result.map_err(|error| judge(session, macros, file, marked, &error))
}

/// Converts an error of the engine to a mistake with its position.
fn judge(
    session: &Session,
    macros: &[Arc<Macro>],
    file: &str,
    marked: &MarkedTemplate,
    error: &Error,
) -> TemplateProblem {
    let mut names: Vec<&str> = FUNCTIONS.to_vec();
    names.extend(session.settings.macros.iter().map(String::as_str));
    let raised = session.seen().raised.take();
    let raised = raised.unwrap_or_else(|| from_engine(error, &names));
    let inside = error
        .name()
        .and_then(|name| macros.iter().find(|one| Macro::template(&one.name) == name));
    match inside {
        Some(one) => wrong(
            &one.file,
            error.range().map(|range| one.place(range)),
            raised,
        ),
        None => {
            let place = error
                .range()
                .map(|range| (marked.original(range.start), marked.original(range.end)));
            wrong(file, place, raised)
        }
    }
}

fn wrong(file: &str, offset: Option<(usize, usize)>, raised: Raised) -> TemplateProblem {
    TemplateProblem::Wrong(Box::new(Mistake {
        code: raised.code,
        file: file.to_owned(),
        message: raised.message,
        offset,
        label: raised.label,
        help: raised.help,
    }))
}
