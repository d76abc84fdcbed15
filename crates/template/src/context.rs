//! What a template can call: `ref`, `source`, `config`, `var`, `env_var`, `is_incremental`,
//! `run_query`, `adapter`, macros, and the values beside them (`this`, `target`, `execute`).
//!
//! Each function notes what it was asked in the session. Nothing here touches the outside; questions
//! about the warehouse end in `Session::ask`.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use towpath_vocab::{Answer, Question, TableName};

use crate::builtins::Package;
use crate::macros::{Macro, MacroObject};
use crate::objects::{Relation, Rows, quoted};
use crate::problem::{Raised, closest};
use crate::scan::{EnvVar, Reference, ReferenceKind};
use crate::session::{Mode, Session};
use crate::{builtins, json, python};

/// Names of all functions, for suggestions.
pub(crate) const FUNCTIONS: &[&str] = &[
    "ref", "source", "config", "var", "env_var", "is_incremental", "should_full_refresh", "run_query", "log", "print",
    "return", "statement", "load_result", "load_relation", "tojson", "fromjson", "this", "target", "execute", "adapter",
    "exceptions", "range", "namespace", "dict",
];

/// An engine with everything a template can call.
pub(crate) fn environment(session: &Arc<Session>, macros: &[Arc<Macro>]) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.set_unknown_method_callback(python::method);
    env.set_debug(true);
    let sources: std::collections::HashMap<String, String> =
        macros.iter().map(|one| (Macro::template(&one.name), one.source.clone())).collect();
    env.set_loader(move |name| Ok(sources.get(name).cloned()));
    add_values(&mut env, session);
    add_references(&mut env, session);
    add_queries(&mut env, session);
    add_flow(&mut env, session);
    for one in macros {
        let object = MacroObject { definition: Arc::clone(one), session: Arc::clone(session) };
        env.add_global(one.name.clone(), Value::from_object(object));
    }
    env
}

fn add_values(env: &mut Environment<'static>, session: &Arc<Session>) {
    let settings = &session.settings;
    let this = Value::from_object(Relation::Table(settings.this.clone()));
    env.add_global("this", this);
    env.add_global("execute", settings.execute);
    env.add_global("dbt_version", "1.10.0");
    env.add_global(
        "target",
        Value::from_pairs([
            ("name", Value::from(settings.target.as_str())),
            ("schema", Value::from(settings.schema.as_str())),
            ("profile_name", Value::from("towpath")),
            // The dialect is PostgreSQL's; templates branch on this word.
            ("type", Value::from("postgres")),
            ("threads", Value::from(1)),
        ]),
    );
    env.add_global(
        "model",
        Value::from_pairs([
            ("name", Value::from(settings.this.table())),
            ("alias", Value::from(settings.this.table())),
            ("schema", Value::from(settings.this.schema())),
        ]),
    );
    env.add_global("flags", Value::from_pairs([("FULL_REFRESH", Value::from(settings.full_refresh))]));
    env.add_global("config", Value::from_object(Config { session: Arc::clone(session) }));
    env.add_global("var", Value::from_object(Var { session: Arc::clone(session) }));
    env.add_global("adapter", Value::from_object(Adapter { session: Arc::clone(session) }));
    env.add_global("exceptions", Value::from_object(Exceptions { session: Arc::clone(session) }));
    env.add_global("dbt", Value::from_object(Package { name: "dbt", session: Arc::clone(session) }));
    env.add_global("dbt_utils", Value::from_object(Package { name: "dbt_utils", session: Arc::clone(session) }));
}

fn add_references(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_function("ref", move |first: String, second: Option<String>, kwargs: Kwargs| {
        let version = match kwargs.get::<Option<Value>>("v")? {
            Some(version) => Some(version),
            None => kwargs.get::<Option<Value>>("version")?,
        };
        kwargs.assert_all_used()?;
        let parts = [Some(first), second].into_iter().flatten().collect();
        let version = version.map(|version| version.to_string());
        refer(&own, Reference { kind: ReferenceKind::Ref, parts, version, offset: None })
    });
    let own = Arc::clone(session);
    env.add_function("source", move |source: String, table: String| {
        refer(&own, Reference { kind: ReferenceKind::Source, parts: vec![source, table], version: None, offset: None })
    });
    let own = Arc::clone(session);
    env.add_function("env_var", move |name: String, default: Option<String>| env_var(&own, name, default));
    let own = Arc::clone(session);
    env.add_function("is_incremental", move || {
        own.seen().incremental = true;
        own.settings.incremental && !own.settings.full_refresh
    });
    let own = Arc::clone(session);
    env.add_function("should_full_refresh", move || own.settings.full_refresh);
}

fn refer(session: &Session, reference: Reference) -> Result<Value, Error> {
    let key = reference.key();
    let last = reference.parts.last().cloned().unwrap_or_default();
    let is_ref = reference.kind == ReferenceKind::Ref;
    {
        let mut seen = session.seen();
        if !seen.references.contains(&reference) {
            seen.references.push(reference);
        }
    }
    let settings = &session.settings;
    if settings.mode == Mode::Scan {
        return Ok(Value::from_object(Relation::Table(TableName::new(settings.schema.as_str(), last))));
    }
    if is_ref && settings.ephemerals.contains(&last) {
        let mut seen = session.seen();
        if !seen.inlined.contains(&last) {
            seen.inlined.push(last.clone());
        }
        return Ok(Value::from_object(Relation::Inlined { model: last }));
    }
    let found = settings.relations.get(&key).or_else(|| if is_ref { settings.relations.get(&last) } else { None });
    match found {
        Some(table) => Ok(Value::from_object(Relation::Table(table.clone()))),
        None => {
            let known: Vec<&str> = settings.relations.keys().map(String::as_str).collect();
            let what = if is_ref { format!("there is no model `{key}`") } else { format!("there is no source table `{key}`") };
            Err(session.raise(Raised::new("M0322", what).meant(closest(&key, &known))))
        }
    }
}

fn env_var(session: &Session, name: String, default: Option<String>) -> Result<Value, Error> {
    {
        let mut seen = session.seen();
        if !seen.env_vars.iter().any(|known| known.name == name) {
            seen.env_vars.push(EnvVar { name: name.clone(), default: default.clone(), offset: None });
        }
    }
    if name.starts_with("DBT_ENV_SECRET") {
        let raised = Raised::new("M0325", format!("`{name}` is a secret and may not stand in a model"))
            .help("secrets belong into connections; a model's SQL is logged and stored");
        return Err(session.raise(raised));
    }
    match (session.settings.env.get(&name).cloned().or(default), session.settings.mode) {
        (Some(value), _) => Ok(Value::from(value)),
        (None, Mode::Scan) => Ok(Value::from("")),
        (None, Mode::Render) => {
            let raised = Raised::new("M0325", format!("the environment variable `{name}` is not set"))
                .help(format!("set it, or give a default: `env_var('{name}', '…')`"));
            Err(session.raise(raised))
        }
    }
}

fn add_queries(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_function("run_query", move |sql: String| run_query(&own, &sql));
    let own = Arc::clone(session);
    env.add_function("load_relation", move |relation: Value| existing(&own, &relation));
    let own = Arc::clone(session);
    env.add_function("statement", move |state: &mut State<'_, '_>, name: Option<String>, kwargs: Kwargs| {
        let caller: Value = kwargs.get("caller")?;
        let fetch = kwargs.get::<Option<bool>>("fetch_result")?.unwrap_or(false);
        let _ = kwargs.get::<Option<Value>>("auto_begin")?;
        kwargs.assert_all_used()?;
        let sql = caller.call(state, &[])?.to_string();
        let rows = run_query(&own, &sql)?;
        if let (Some(name), true) = (name, fetch) {
            state.set_temp(&format!("statement {name}"), rows);
        }
        Ok::<_, Error>("")
    });
    env.add_function("load_result", |state: &mut State<'_, '_>, name: String| {
        match state.get_temp(&format!("statement {name}")) {
            Some(rows) if !rows.is_none() => {
                let data = rows.get_attr("rows")?;
                Ok::<_, Error>(Value::from_pairs([("table", rows), ("data", data)]))
            }
            _ => Ok(Value::from(())),
        }
    });
}

/// The rows of a query; nothing while models are only looked at.
pub(crate) fn run_query(session: &Session, sql: &str) -> Result<Value, Error> {
    match session.ask(Question::Rows(sql.to_owned()))? {
        Some(Answer::Rows { columns, rows }) => Ok(Value::from_object(Rows::new(columns, &rows))),
        None if session.settings.execute => Ok(Value::from_object(Rows::default())),
        None => Ok(Value::from(())),
        Some(_) => Err(wrong_answer()),
    }
}

pub(crate) fn wrong_answer() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the answer does not fit the question")
}

/// The table behind a relation, or text of the form `schema.table`.
pub(crate) fn table_of(value: &Value) -> Option<TableName> {
    match value.downcast_object_ref::<Relation>() {
        Some(Relation::Table(name)) => Some(name.clone()),
        Some(Relation::Inlined { .. }) => None,
        None => value.as_str()?.replace('"', "").parse().ok(),
    }
}

/// The relation itself if it exists, none otherwise.
fn existing(session: &Session, relation: &Value) -> Result<Value, Error> {
    let Some(table) = table_of(relation) else { return Ok(Value::from(())) };
    match session.ask(Question::Exists(table))? {
        Some(Answer::Exists(true)) => Ok(relation.clone()),
        Some(Answer::Exists(false)) | None => Ok(Value::from(())),
        Some(_) => Err(wrong_answer()),
    }
}

fn add_flow(env: &mut Environment<'static>, session: &Arc<Session>) {
    // Rendering writes no log: what a template says is not an event of the run.
    env.add_function("log", |_: Value, _: Rest<Value>| "");
    env.add_function("print", |_: Value| "");
    let own = Arc::clone(session);
    env.add_function("return", move |value: Option<Value>| -> Result<Value, Error> {
        own.seen().returned = Some(value.unwrap_or_default());
        Err(Error::new(ErrorKind::InvalidOperation, "`return` stands outside of a macro"))
    });
    env.add_function("tojson", |value: Value, _: Rest<Value>| json::from_template(&value).to_string());
    let own = Arc::clone(session);
    env.add_function("fromjson", move |text: String, default: Option<Value>| match serde_json::from_str(&text) {
        Ok(value) => Ok(json::to_template(&value)),
        Err(error) => default.ok_or_else(|| own.raise(Raised::new("M0323", format!("`fromjson`: {error}")))),
    });
}

/// `config(materialized='table')`, `config.get('x')`.
#[derive(Debug)]
struct Config {
    session: Arc<Session>,
}

impl Config {
    fn note(&self, key: &str, value: &Value) {
        self.session.seen().config.insert(key.to_owned(), json::from_template(value));
    }

    fn held(&self, key: &str) -> Option<Value> {
        self.session.seen().config.get(key).map(json::to_template)
    }
}

impl Object for Config {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (maps, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
        for map in maps.iter() {
            for key in map.try_iter()? {
                self.note(&key.to_string(), &map.get_item(&key)?);
            }
        }
        for key in kwargs.args() {
            self.note(key, &kwargs.get::<Value>(key)?);
        }
        Ok(Value::from(""))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let (key, rest, kwargs): (String, Rest<Value>, Kwargs) = from_args(args)?;
        let default = match rest.first() {
            Some(default) => Some(default.clone()),
            None => kwargs.get::<Option<Value>>("default")?,
        };
        match method {
            "get" => Ok(self.held(&key).or(default).unwrap_or(Value::from(()))),
            "require" => self.held(&key).ok_or_else(|| {
                let raised = Raised::new("M0323", format!("the config `{key}` is required here and not set"));
                self.session.raise(raised.help(format!("add it: `{{{{ config({key}=…) }}}}`")))
            }),
            "set" => {
                self.note(&key, &default.unwrap_or_default());
                Ok(Value::from(""))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `var('name', default)`, `var.has_var('name')`.
#[derive(Debug)]
struct Var {
    session: Arc<Session>,
}

impl Object for Var {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (name, default): (String, Option<Value>) = from_args(args)?;
        {
            let mut seen = self.session.seen();
            if !seen.vars.contains(&name) {
                seen.vars.push(name.clone());
            }
        }
        if let Some(value) = self.session.settings.vars.get(&name) {
            return Ok(json::to_template(value));
        }
        default.ok_or_else(|| {
            let known: Vec<&str> = self.session.settings.vars.keys().map(String::as_str).collect();
            let raised = Raised::new("M0324", format!("the variable `{name}` has no value")).meant(closest(&name, &known));
            self.session.raise(raised.help(format!("set it under `vars:`, or give a default: `var('{name}', …)`")))
        })
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let (name,): (String,) = from_args(args)?;
        match method {
            "has_var" => Ok(Value::from(self.session.settings.vars.contains_key(&name))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `adapter.…`: what dbt's adapters answer about the warehouse.
#[derive(Debug)]
struct Adapter {
    session: Arc<Session>,
}

impl Object for Adapter {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "get_columns_in_relation" => {
                let (relation,): (Value,) = from_args(args)?;
                let columns = builtins::columns(&self.session, &relation)?;
                Ok(Value::from(columns.into_iter().map(Value::from_object).collect::<Vec<_>>()))
            }
            "get_relation" => self.get_relation(args),
            "dispatch" => {
                let (name, _, kwargs): (String, Option<String>, Kwargs) = from_args(args)?;
                let _ = kwargs.get::<Option<String>>("macro_namespace")?;
                self.dispatch(state, &name)
            }
            "quote" => Ok(Value::from(quoted(&from_args::<(String,)>(args)?.0))),
            "type" => Ok(Value::from("postgres")),
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("`adapter.{method}` is not supported"))),
        }
    }
}

impl Adapter {
    fn get_relation(&self, args: &[Value]) -> Result<Value, Error> {
        let (rest, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
        let part = |at: usize, name: &str| -> Result<Option<Value>, Error> {
            match rest.get(at) {
                Some(value) => Ok(Some(value.clone())),
                None => kwargs.get::<Option<Value>>(name),
            }
        };
        let _ = part(0, "database")?;
        let (Some(schema), Some(identifier)) = (part(1, "schema")?, part(2, "identifier")?) else {
            return Err(Error::new(ErrorKind::MissingArgument, "`get_relation` takes database, schema and identifier"));
        };
        let table = TableName::new(schema.to_string(), identifier.to_string());
        existing(&self.session, &Value::from_object(Relation::Table(table)))
    }

    /// The macro for our dialect, else the default one.
    fn dispatch(&self, state: &State<'_, '_>, name: &str) -> Result<Value, Error> {
        let found = ["towpath__", "postgres__", "default__"]
            .iter()
            .find_map(|prefix| state.lookup(&format!("{prefix}{name}")).filter(|found| !found.is_undefined()));
        found.ok_or_else(|| {
            let raised = Raised::new("M0326", format!("no macro for `adapter.dispatch('{name}')`"));
            self.session.raise(raised.help(format!("define `default__{name}`")))
        })
    }
}

/// `exceptions.raise_compiler_error('…')`.
#[derive(Debug)]
struct Exceptions {
    session: Arc<Session>,
}

impl Object for Exceptions {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let (message, _): (Value, Rest<Value>) = from_args(args)?;
        match method {
            "warn" => Ok(Value::from("")),
            _ if method.starts_with("raise_") => Err(self.session.raise(Raised::new("M0327", message.to_string()))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
