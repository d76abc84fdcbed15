//! The functions of a template: `ref`, `source`, `config`, `var`, `env_var`, `is_incremental`, `run_query`,
//! `adapter`, macros, and values (`this`, `target`, `execute`).
//!
//! Promise: each function records its arguments in the session. Nothing here does I/O; questions about the
//! warehouse go to `Session::ask`. Read next: `session.rs`.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use towpath_vocab::TableName;

use crate::builtins::Package;
use crate::handles::{Adapter, Config, Exceptions, Var};
use crate::macros::{Macro, MacroObject};
use crate::objects::Relation;
use crate::problem::{Raised, closest};
use crate::reference::{EnvVar, Reference, ReferenceKind};
use crate::session::{Mode, Session};
use crate::warehouse::{existing, run_query};
use crate::weight::weighed;
use crate::{json, limits, python};

/// Names of all functions, for suggestions.
pub(crate) const FUNCTIONS: &[&str] = &[
    "ref",
    "source",
    "config",
    "var",
    "env_var",
    "is_incremental",
    "should_full_refresh",
    "run_query",
    "log",
    "print",
    "return",
    "statement",
    "load_result",
    "load_relation",
    "tojson",
    "fromjson",
    "this",
    "target",
    "execute",
    "adapter",
    "exceptions",
    "range",
    "namespace",
    "dict",
];

/// A template engine with everything that a template can call.
pub(crate) fn environment(
    session: &Arc<Session>,
    macros: &[Arc<Macro>],
    text: &str,
) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    let own = Arc::clone(session);
    env.set_unknown_method_callback(move |_, value, name, args| {
        python::method(&own, value, name, args)
    });
    env.set_debug(true);
    let sources: std::collections::HashMap<String, String> = macros
        .iter()
        .map(|one| (Macro::template(&one.name), one.source.clone()))
        .collect();
    env.set_loader(move |name| Ok(sources.get(name).cloned()));
    let mut all = vec![text];
    all.extend(macros.iter().map(|one| one.source.as_str()));
    limits::bound(&mut env, session, &all);
    add_values(&mut env, session);
    add_references(&mut env, session);
    add_queries(&mut env, session);
    add_flow(&mut env, session);
    for one in macros {
        let object = MacroObject {
            definition: Arc::clone(one),
            session: Arc::clone(session),
        };
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
    env.add_global(
        "flags",
        Value::from_pairs([("FULL_REFRESH", Value::from(settings.full_refresh))]),
    );
    env.add_global(
        "config",
        Value::from_object(Config {
            session: Arc::clone(session),
        }),
    );
    env.add_global(
        "var",
        Value::from_object(Var {
            session: Arc::clone(session),
        }),
    );
    env.add_global(
        "adapter",
        Value::from_object(Adapter {
            session: Arc::clone(session),
        }),
    );
    env.add_global(
        "exceptions",
        Value::from_object(Exceptions {
            session: Arc::clone(session),
        }),
    );
    env.add_global(
        "dbt",
        Value::from_object(Package {
            name: "dbt",
            session: Arc::clone(session),
        }),
    );
    env.add_global(
        "dbt_utils",
        Value::from_object(Package {
            name: "dbt_utils",
            session: Arc::clone(session),
        }),
    );
}

fn add_references(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_function(
        "ref",
        move |first: String, second: Option<String>, kwargs: Kwargs| {
            let version = match kwargs.get::<Option<Value>>("v")? {
                Some(version) => Some(version),
                None => kwargs.get::<Option<Value>>("version")?,
            };
            kwargs.assert_all_used()?;
            let parts = [Some(first), second].into_iter().flatten().collect();
            let version = version.map(|version| version.to_string());
            refer(
                &own,
                Reference {
                    kind: ReferenceKind::Ref,
                    parts,
                    version,
                    offset: None,
                },
            )
        },
    );
    let own = Arc::clone(session);
    env.add_function("source", move |source: String, table: String| {
        refer(
            &own,
            Reference {
                kind: ReferenceKind::Source,
                parts: vec![source, table],
                version: None,
                offset: None,
            },
        )
    });
    let own = Arc::clone(session);
    env.add_function("env_var", move |name: String, default: Option<String>| {
        env_var(&own, name, default)
    });
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
        return Ok(Value::from_object(Relation::Table(TableName::new(
            settings.schema.as_str(),
            last,
        ))));
    }
    if is_ref && settings.ephemerals.contains(&last) {
        let mut seen = session.seen();
        if !seen.inlined.contains(&last) {
            seen.inlined.push(last.clone());
        }
        return Ok(Value::from_object(Relation::Inlined { model: last }));
    }
    let found = settings.relations.get(&key).or_else(|| {
        if is_ref {
            settings.relations.get(&last)
        } else {
            None
        }
    });
    match found {
        Some(table) => Ok(Value::from_object(Relation::Table(table.clone()))),
        None => {
            let known: Vec<&str> = settings.relations.keys().map(String::as_str).collect();
            let what = if is_ref {
                format!("there is no model `{key}`")
            } else {
                format!("there is no source table `{key}`")
            };
            Err(session.raise(Raised::new("M0322", what).meant(closest(&key, &known))))
        }
    }
}

fn env_var(session: &Session, name: String, default: Option<String>) -> Result<Value, Error> {
    {
        let mut seen = session.seen();
        if !seen.env_vars.iter().any(|known| known.name == name) {
            seen.env_vars.push(EnvVar {
                name: name.clone(),
                default: default.clone(),
                offset: None,
            });
        }
    }
    if name.starts_with("DBT_ENV_SECRET") {
        let raised = Raised::new(
            "M0325",
            format!("`{name}` is a secret and is not allowed in a model"),
        )
        .help("use secrets only in connections; the SQL of a model is logged and stored");
        return Err(session.raise(raised));
    }
    match (
        session.settings.env.get(&name).cloned().or(default),
        session.settings.mode,
    ) {
        (Some(value), _) => Ok(Value::from(value)),
        (None, Mode::Scan) => Ok(Value::from("")),
        (None, Mode::Render) => {
            let raised = Raised::new(
                "M0325",
                format!("the environment variable `{name}` is not set"),
            )
            .help(format!(
                "set it, or give a default: `env_var('{name}', '…')`"
            ));
            Err(session.raise(raised))
        }
    }
}

fn add_queries(env: &mut Environment<'static>, session: &Arc<Session>) {
    let own = Arc::clone(session);
    env.add_function("run_query", move |sql: String| run_query(&own, &sql));
    let own = Arc::clone(session);
    env.add_function("load_relation", move |relation: Value| {
        existing(&own, &relation)
    });
    let own = Arc::clone(session);
    env.add_function(
        "statement",
        move |state: &mut State<'_, '_>, name: Option<String>, kwargs: Kwargs| {
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
        },
    );
    env.add_function(
        "load_result",
        |state: &mut State<'_, '_>, name: String| match state.get_temp(&format!("statement {name}"))
        {
            Some(rows) if !rows.is_none() => {
                let data = rows.get_attr("rows")?;
                Ok::<_, Error>(Value::from_pairs([("table", rows), ("data", data)]))
            }
            _ => Ok(Value::from(())),
        },
    );
}

fn add_flow(env: &mut Environment<'static>, session: &Arc<Session>) {
    // Rendering writes no log: a template's messages are not events of the run.
    env.add_function("log", |_: Value, _: Rest<Value>| "");
    env.add_function("print", |_: Value| "");
    let own = Arc::clone(session);
    env.add_function(
        "return",
        move |value: Option<Value>| -> Result<Value, Error> {
            own.seen().returned = Some(value.unwrap_or_default());
            Err(Error::new(
                ErrorKind::InvalidOperation,
                "`return` is outside of a macro",
            ))
        },
    );
    let own = Arc::clone(session);
    env.add_function("tojson", move |value: Value, _: Rest<Value>| {
        weighed(&own, &value).map(|_| json::from_template(&value).to_string())
    });
    let own = Arc::clone(session);
    env.add_function("fromjson", move |text: String, default: Option<Value>| {
        match serde_json::from_str(&text) {
            Ok(value) => Ok(json::to_template(&value)),
            Err(error) => default
                .ok_or_else(|| own.raise(Raised::new("M0323", format!("`fromjson`: {error}")))),
        }
    });
}
