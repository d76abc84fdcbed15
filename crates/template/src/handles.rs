//! The objects of a template that can be called: `config`, `var`, `adapter`, `exceptions`.
//!
//! Promise: each can be called or has methods, and records its arguments in the session. Plain functions
//! are in `context.rs`. Nothing here does I/O.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use towpath_vocab::TableName;

use crate::json;
use crate::objects::{Relation, quoted};
use crate::problem::{Raised, closest};
use crate::session::Session;
use crate::warehouse::{columns, existing};

/// `config(materialized='table')`, `config.get('x')`.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) session: Arc<Session>,
}

impl Config {
    fn note(&self, key: &str, value: &Value) {
        self.session
            .seen()
            .config
            .insert(key.to_owned(), json::from_template(value));
    }

    fn value(&self, key: &str) -> Option<Value> {
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

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let (key, rest, kwargs): (String, Rest<Value>, Kwargs) = from_args(args)?;
        let default = match rest.first() {
            Some(default) => Some(default.clone()),
            None => kwargs.get::<Option<Value>>("default")?,
        };
        match method {
            "get" => Ok(self.value(&key).or(default).unwrap_or(Value::from(()))),
            "require" => self.value(&key).ok_or_else(|| {
                let raised = Raised::new(
                    "M0323",
                    format!("the config `{key}` is required here, but it is not set"),
                );
                self.session
                    .raise(raised.help(format!("add it: `{{{{ config({key}=…) }}}}`")))
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
pub(crate) struct Var {
    pub(crate) session: Arc<Session>,
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
            let known: Vec<&str> = self
                .session
                .settings
                .vars
                .keys()
                .map(String::as_str)
                .collect();
            let raised = Raised::new("M0324", format!("the variable `{name}` has no value"))
                .meant(closest(&name, &known));
            self.session.raise(raised.help(format!(
                "set it under `vars:`, or give a default: `var('{name}', …)`"
            )))
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let (name,): (String,) = from_args(args)?;
        match method {
            "has_var" => Ok(Value::from(self.session.settings.vars.contains_key(&name))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `adapter.…`: the methods of dbt's adapters about the warehouse.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(crate) session: Arc<Session>,
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
                let columns = columns(&self.session, &relation)?;
                Ok(Value::from(
                    columns
                        .into_iter()
                        .map(Value::from_object)
                        .collect::<Vec<_>>(),
                ))
            }
            "get_relation" => self.get_relation(args),
            "dispatch" => {
                let (name, _, kwargs): (String, Option<String>, Kwargs) = from_args(args)?;
                let _ = kwargs.get::<Option<String>>("macro_namespace")?;
                self.dispatch(state, &name)
            }
            "quote" => Ok(Value::from(quoted(&from_args::<(String,)>(args)?.0))),
            "type" => Ok(Value::from("postgres")),
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("`adapter.{method}` is not supported"),
            )),
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
            return Err(Error::new(
                ErrorKind::MissingArgument,
                "`get_relation` takes database, schema and identifier",
            ));
        };
        let table = TableName::new(schema.to_string(), identifier.to_string());
        existing(&self.session, &Value::from_object(Relation::Table(table)))
    }

    /// The macro for our dialect, or otherwise the default one.
    fn dispatch(&self, state: &State<'_, '_>, name: &str) -> Result<Value, Error> {
        let found = ["towpath__", "postgres__", "default__"]
            .iter()
            .find_map(|prefix| {
                state
                    .lookup(&format!("{prefix}{name}"))
                    .filter(|found| !found.is_undefined())
            });
        found.ok_or_else(|| {
            let raised = Raised::new(
                "M0326",
                format!("no macro for `adapter.dispatch('{name}')`"),
            );
            self.session
                .raise(raised.help(format!("define `default__{name}`")))
        })
    }
}

/// `exceptions.raise_compiler_error('…')`.
#[derive(Debug)]
pub(crate) struct Exceptions {
    pub(crate) session: Arc<Session>,
}

impl Object for Exceptions {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let (message, _): (Value, Rest<Value>) = from_args(args)?;
        match method {
            "warn" => Ok(Value::from("")),
            _ if method.starts_with("raise_") => Err(self
                .session
                .raise(Raised::new("M0327", message.to_string()))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
