//! Macros of dbt's packages that models call by package name: `dbt_utils.star`, `dbt.datediff`.
//!
//! Promise: a macro with that name in the project's files wins, so an installed package is always used.
//! Only common macros are here; for any other name the mistake says so. Read next: `macros.rs`.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use crate::macros::MacroObject;
use crate::objects::{Rows, quoted};
use crate::problem::Raised;
use crate::session::Session;
use crate::warehouse::{columns, run_query};

/// `dbt` or `dbt_utils` before a dot.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) session: Arc<Session>,
}

impl Object for Package {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(found) = state
            .lookup(method)
            .filter(|found| found.downcast_object_ref::<MacroObject>().is_some())
        {
            return found.call(state, args);
        }
        let built_in = match self.name {
            "dbt_utils" => utils(&self.session, method, args)?,
            _ => cross_database(method, args)?,
        };
        built_in.ok_or_else(|| {
            let raised = Raised::new(
                "M0326",
                format!("there is no macro `{}.{method}`", self.name),
            );
            self.session
                .raise(raised.help("put the package's macro into the `macros` folder"))
        })
    }
}

/// The arguments of a call, by position or name.
struct Arguments {
    rest: Vec<Value>,
    kwargs: Kwargs,
}

impl Arguments {
    fn new(args: &[Value]) -> Result<Self, Error> {
        let (rest, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
        Ok(Self {
            rest: rest.to_vec(),
            kwargs,
        })
    }

    fn optional(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        let found = match self.rest.get(at) {
            Some(value) => Some(value.clone()),
            None => self.kwargs.get::<Option<Value>>(name)?,
        };
        Ok(found.filter(|value| !value.is_none() && !value.is_undefined()))
    }

    fn required(&self, at: usize, name: &str) -> Result<Value, Error> {
        self.optional(at, name)?.ok_or_else(|| {
            Error::new(
                ErrorKind::MissingArgument,
                format!("the argument `{name}` is missing"),
            )
        })
    }

    fn text(&self, at: usize, name: &str) -> Result<String, Error> {
        self.required(at, name).map(|value| value.to_string())
    }

    fn list(&self, at: usize, name: &str) -> Result<Vec<String>, Error> {
        match self.optional(at, name)? {
            Some(list) => Ok(list.try_iter()?.map(|item| item.to_string()).collect()),
            None => Ok(Vec::new()),
        }
    }
}

fn utils(session: &Session, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let args = Arguments::new(args)?;
    Ok(Some(match name {
        "star" => star(session, &args)?,
        "get_column_values" => column_values(session, &args)?,
        "get_filtered_columns_in_relation" => {
            let names = remaining(session, &args)?;
            Value::from(names)
        }
        "generate_surrogate_key" | "surrogate_key" => surrogate_key(&args.list(0, "field_list")?),
        "safe_divide" => Value::from(format!(
            "safe_divide({}, {})",
            args.text(0, "numerator")?,
            args.text(1, "denominator")?
        )),
        _ => return Ok(None),
    }))
}

/// The columns of `from` that are not in `except`.
fn remaining(session: &Session, args: &Arguments) -> Result<Vec<String>, Error> {
    let except: Vec<String> = args
        .list(2, "except")?
        .iter()
        .map(|name| name.to_lowercase())
        .collect();
    let all = columns(session, &args.required(0, "from")?)?;
    Ok(all
        .into_iter()
        .map(|column| column.name)
        .filter(|name| !except.contains(&name.to_lowercase()))
        .collect())
}

fn star(session: &Session, args: &Arguments) -> Result<Value, Error> {
    let names = remaining(session, args)?;
    if names.is_empty() {
        return Ok(Value::from("*"));
    }
    let alias = args
        .optional(1, "relation_alias")?
        .map(|alias| format!("{alias}."))
        .unwrap_or_default();
    let (prefix, suffix) = (args.optional(3, "prefix")?, args.optional(4, "suffix")?);
    let plain = args
        .optional(5, "quote_identifiers")?
        .is_some_and(|quote| !quote.is_true());
    let each = names.iter().map(|name| {
        let column = if plain { name.clone() } else { quoted(name) };
        if prefix.is_none() && suffix.is_none() {
            return format!("{alias}{column}");
        }
        let renamed = [
            prefix.as_ref(),
            Some(&Value::from(name.as_str())),
            suffix.as_ref(),
        ];
        let renamed: String = renamed
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        format!(
            "{alias}{column} as {}",
            if plain { renamed } else { quoted(&renamed) }
        )
    });
    Ok(Value::from(each.collect::<Vec<_>>().join(",\n  ")))
}

fn column_values(session: &Session, args: &Arguments) -> Result<Value, Error> {
    let (table, column) = (args.text(0, "table")?, args.text(1, "column")?);
    let order = args
        .optional(2, "order_by")?
        .map_or_else(|| "count(*) desc".to_owned(), |order| order.to_string());
    let filter = args
        .kwargs
        .get::<Option<Value>>("where")?
        .filter(|value| !value.is_none());
    let filter = filter
        .map(|filter| format!(" where {filter}"))
        .unwrap_or_default();
    let limit = args
        .optional(3, "max_records")?
        .map(|most| format!(" limit {most}"))
        .unwrap_or_default();
    let sql = format!(
        "select {column} as value from {table}{filter} group by {column} order by {order}{limit}"
    );
    let rows = run_query(session, &sql)?;
    let values = rows
        .downcast_object_ref::<Rows>()
        .map(|rows| rows.column(0))
        .unwrap_or_default();
    match args.optional(4, "default")? {
        Some(default) if values.is_empty() => Ok(default),
        _ => Ok(Value::from(values)),
    }
}

fn surrogate_key(fields: &[String]) -> Value {
    let field = |name: &String| {
        format!("coalesce(cast({name} as varchar), '_dbt_utils_surrogate_key_null_')")
    };
    let parts: Vec<String> = fields.iter().map(field).collect();
    Value::from(format!("md5({})", parts.join(" || '-' || ")))
}

/// dbt's cross-database macros, in our dialect.
fn cross_database(name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let args = Arguments::new(args)?;
    let text = |at: usize, name: &str| args.text(at, name);
    Ok(Some(Value::from(match name {
        "dateadd" => format!(
            "dateadd('{}', {}, {})",
            text(0, "datepart")?,
            text(1, "interval")?,
            text(2, "from_date_or_timestamp")?
        ),
        "datediff" => format!(
            "datediff('{}', {}, {})",
            text(2, "datepart")?,
            text(0, "first_date")?,
            text(1, "second_date")?
        ),
        "date_trunc" => format!(
            "date_trunc('{}', {})",
            text(0, "datepart")?,
            text(1, "date")?
        ),
        "last_day" => format!("last_day({})", text(0, "date")?),
        "safe_cast" => format!("try_cast({} as {})", text(0, "field")?, text(1, "type")?),
        "cast" => format!("cast({} as {})", text(0, "field")?, text(1, "type")?),
        "concat" => args.list(0, "fields")?.join(" || "),
        "hash" => format!("md5(cast({} as varchar))", text(0, "field")?),
        "length" => format!("length({})", text(0, "expression")?),
        "split_part" => format!(
            "split_part({}, {}, {})",
            text(0, "string_text")?,
            text(1, "delimiter_text")?,
            text(2, "part_number")?
        ),
        "replace" => format!(
            "replace({}, {}, {})",
            text(0, "field")?,
            text(1, "old_chars")?,
            text(2, "new_chars")?
        ),
        "bool_or" => format!("bool_or({})", text(0, "expression")?),
        "any_value" => format!("first_value({})", text(0, "expression")?),
        "string_literal" => format!("'{}'", text(0, "value")?),
        "escape_single_quotes" => text(0, "expression")?.replace('\'', "''"),
        "current_timestamp" => "now()".to_owned(),
        "type_string" => "varchar".to_owned(),
        "type_timestamp" => "timestamp".to_owned(),
        "type_int" => "int".to_owned(),
        "type_bigint" => "bigint".to_owned(),
        "type_float" => "double".to_owned(),
        "type_numeric" => "decimal(38, 10)".to_owned(),
        "type_boolean" => "boolean".to_owned(),
        "except" => "except".to_owned(),
        "intersect" => "intersect".to_owned(),
        _ => return Ok(None),
    })))
}
