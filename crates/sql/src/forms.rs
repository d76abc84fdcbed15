//! Rewrites PostgreSQL syntax that the planner cannot plan as calls of functions.
//!
//! These are `SIMILAR TO`, `LIKE … ESCAPE`, `mod`, `ceiling`, `timezone`, casts to `varchar(n)`, `char(n)`,
//! `numeric` and JSON, and functions that return rows of JSON or of a series. A column whose name comes from
//! a cast keeps its name. It reads syntax only and knows no table and no type. Read next: `spelling.rs`,
//! which calls it.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem, Spanned,
    TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, ValueWithSpan,
};

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;

use crate::functions::{
    AS_NUMERIC, AT_TIME_ZONE, LIKE_ESCAPE, NUMERIC_TO_ROUND, SIMILAR_TO, TEXT_PLACES, TRY_NUMERIC,
    json,
};
use crate::names::fold;
use crate::nodes::{call, nothing};

/// Rewrites one expression whose parts are already rewritten.
pub(crate) fn rewrite(expr: &mut Expr) {
    match expr {
        Expr::SimilarTo {
            negated,
            expr: text,
            pattern,
            escape_char,
        } => {
            let span = pattern.span();
            let mut args = vec![take(text), take(pattern)];
            args.extend(escape_char.take().map(Expr::Value));
            let test = call(SIMILAR_TO, args, span);
            *expr = match negated {
                true => Expr::UnaryOp {
                    op: UnaryOperator::Not,
                    expr: Box::new(test),
                },
                false => test,
            };
        }
        Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } => {
            if let Some(escape) = escape_char.take()
                && !is_backslash(&escape)
            {
                let span = escape.span;
                let args = vec![take(pattern), Expr::Value(escape)];
                **pattern = call(LIKE_ESCAPE, args, span);
            }
        }
        Expr::Cast { .. } => cast(expr),
        Expr::TypedString(typed) if is_plain_numeric(&typed.data_type) => {
            if let Some(places) = places(&Expr::Value(typed.value.clone())) {
                keep_places(&mut typed.data_type, places);
            }
        }
        Expr::Function(function) => {
            round_numeric(function);
            if let Some(other) = renamed(function) {
                *expr = other;
            }
        }
        _ => {}
    }
}

fn is_backslash(escape: &ValueWithSpan) -> bool {
    matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\")
}

fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr.as_mut(), nothing())
}

/// The arguments of a plain call.
pub(crate) fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let plain = function.over.is_none() && function.filter.is_none() && list.clauses.is_empty();
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    args.collect::<Option<Vec<_>>>().filter(|_| plain)
}

fn renamed(function: &Function) -> Option<Expr> {
    let [name] = function.name.0.as_slice() else {
        return None;
    };
    let ident = name.as_ident()?;
    let (name, span) = (fold(ident), ident.span);
    let list = json::ELEMENTS.iter().find(|(theirs, _)| *theirs == name);
    let known = ["mod", "ceiling", "timezone", SERIES, "unnest", "nvl2"];
    if list.is_none() && !known.contains(&name.as_str()) {
        return None;
    }
    let mut args = arguments(function)?;
    if let Some((_, list)) = list {
        return Some(call("unnest", vec![call(list, args, span)], span));
    }
    match (name.as_str(), args.len()) {
        ("mod", 2) => {
            let right = Expr::Nested(Box::new(args.pop()?));
            let left = Expr::Nested(Box::new(args.pop()?));
            Some(Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::Modulo,
                right: Box::new(right),
            })))
        }
        ("ceiling", 1) => Some(call("ceil", args, span)),
        // A row for each item.
        (SERIES, _) => Some(call("unnest", vec![call(SERIES, args, span)], span)),
        ("unnest", 1) => args.pop().filter(is_rows_of_series),
        ("nvl2", 3) => {
            let (other, some) = (args.pop()?, args.pop()?);
            let value = Box::new(Expr::Nested(Box::new(args.pop()?)));
            let when = CaseWhen {
                condition: Expr::IsNotNull(value),
                result: some,
            };
            Some(Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![when],
                else_result: Some(Box::new(other)),
            })
        }
        ("timezone", 2) => {
            args.reverse();
            Some(call(AT_TIME_ZONE, args, span))
        }
        _ => None,
    }
}

const SERIES: &str = "generate_series";

/// True for `unnest(generate_series(1, 3))`, which the series alone became.
fn is_rows_of_series(expr: &Expr) -> bool {
    series_of_rows(expr).is_some()
}

fn series_of_rows(expr: &Expr) -> Option<&Expr> {
    let named = |expr: &Expr, wanted: &str| match expr {
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| fold(name) == wanted)
        }
        _ => false,
    };
    let Expr::Function(rows) = expr else {
        return None;
    };
    let FunctionArguments::List(list) = &rows.args else {
        return None;
    };
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(series)))
            if named(expr, "unnest") && named(series, SERIES) =>
        {
            Some(series)
        }
        _ => None,
    }
}

/// `FROM unnest(generate_series(1, 3))`: the series stays a list there.
pub(crate) fn series_in_from(factor: &mut TableFactor) {
    if let TableFactor::UNNEST { array_exprs, .. } = factor {
        for array in array_exprs {
            if let Some(series) = series_of_rows(array) {
                *array = series.clone();
            }
        }
    }
}

/// The maximum length of a text type, and whether trailing blanks count.
fn length(data_type: &DataType) -> Option<(u64, bool)> {
    let (length, fixed) = match data_type {
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::CharVarying(Some(length))
        | DataType::Nvarchar(Some(length)) => (length, false),
        DataType::Char(Some(length)) | DataType::Character(Some(length)) => (length, true),
        _ => return None,
    };
    match length {
        CharacterLength::IntegerLength { length, .. } => Some((*length, fixed)),
        CharacterLength::Max => None,
    }
}

fn cast(whole: &mut Expr) {
    let span = whole.span();
    let Expr::Cast {
        kind,
        data_type,
        expr,
        ..
    } = whole
    else {
        return;
    };
    if matches!(data_type, DataType::JSON | DataType::JSONB) {
        let args = vec![take(expr)];
        *whole = call("json", args, span);
        return;
    }
    if is_plain_numeric(data_type) {
        if let Some(places) = places(expr) {
            keep_places(data_type, places);
        } else {
            let function = match kind {
                CastKind::TryCast | CastKind::SafeCast => TRY_NUMERIC,
                CastKind::Cast | CastKind::DoubleColon => AS_NUMERIC,
            };
            let args = vec![take(expr)];
            *whole = call(function, args, span);
        }
        return;
    }
    let Some((most, fixed)) = length(data_type) else {
        return;
    };
    let text = Expr::Cast {
        kind: match kind {
            CastKind::DoubleColon => CastKind::Cast,
            other => other.clone(),
        },
        expr: Box::new(take(expr)),
        data_type: DataType::Varchar(None),
        array: false,
        format: None,
    };
    let most = Expr::Value(Value::Number(most.to_string(), false).with_span(span));
    let cut = call("left", vec![text, most], span);
    *whole = match fixed {
        true => call("rtrim", vec![cut], span),
        false => cut,
    };
}

/// True for `numeric` without precision and scale.
fn is_plain_numeric(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Numeric(ExactNumberInfo::None)
            | DataType::Decimal(ExactNumberInfo::None)
            | DataType::Dec(ExactNumberInfo::None)
    )
}

/// Gives `numeric` the digits of a literal after the point, if they are more than those of a text.
fn keep_places(data_type: &mut DataType, places: usize) {
    if places > usize::from(TEXT_PLACES)
        && let Ok(places) = i64::try_from(places)
    {
        *data_type = DataType::Numeric(ExactNumberInfo::PrecisionAndScale(38, places));
    }
}

/// The number of digits after the point of a literal number or text.
fn places(expr: &Expr) -> Option<usize> {
    let text = match expr {
        Expr::Nested(inner)
        | Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: inner,
        } => return places(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.trim(),
            _ => return None,
        },
        _ => return None,
    };
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(part) && part.len() <= 38).then_some(part.len())
}

/// Marks a cast to `numeric` below a function that rounds it.
fn round_numeric(function: &mut Function) {
    let name = |function: &Function| {
        let [name] = function.name.0.as_slice() else {
            return None;
        };
        name.as_ident().map(fold)
    };
    if !matches!(name(function).as_deref(), Some("round" | "trunc")) {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first_mut() else {
        return;
    };
    let mut value = value;
    while let Expr::Nested(inner) = value {
        value = inner;
    }
    if let Expr::Function(inner) = value
        && name(inner).as_deref() == Some(AS_NUMERIC)
    {
        inner.name = ObjectName::from(vec![Ident::new(NUMERIC_TO_ROUND)]);
    }
}

/// Keeps the names of columns that come from a cast.
pub(crate) fn keep_names(items: &mut [SelectItem]) {
    for item in items {
        if let SelectItem::UnnamedExpr(expr) = item
            && let Some(alias) = name_of_cast(expr)
        {
            let expr = std::mem::replace(expr, nothing());
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

fn name_of_cast(expr: &Expr) -> Option<Ident> {
    let Expr::Cast {
        expr: inner,
        data_type,
        ..
    } = expr
    else {
        return None;
    };
    let own = length(data_type).is_some()
        || is_plain_numeric(data_type)
        || matches!(data_type, DataType::JSON | DataType::JSONB);
    match inner.as_ref() {
        Expr::Identifier(name) if own => Some(name.clone()),
        Expr::CompoundIdentifier(names) if own => names.last().cloned(),
        other => name_of_cast(other),
    }
}

/// `FROM json_array_elements('[1,2]') AS e(value)`.
pub(crate) fn rows_of_json(factor: &mut TableFactor) {
    let TableFactor::Table {
        name,
        args: Some(arguments),
        alias,
        ..
    } = factor
    else {
        return;
    };
    let Some(ident) = name.0.last().and_then(|part| part.as_ident()).cloned() else {
        return;
    };
    let folded = fold(&ident);
    let Some((_, list)) = json::ELEMENTS.iter().find(|(theirs, _)| *theirs == folded) else {
        return;
    };
    let args: Option<Vec<Expr>> = arguments
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let Some(args) = args else { return };
    let column = if folded.ends_with("keys") {
        folded.clone()
    } else {
        "value".to_owned()
    };
    let column = TableAliasColumnDef {
        name: Ident::new(column),
        data_type: None,
    };
    let mut alias = alias.take().unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(folded),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns.push(column);
    }
    *factor = TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: vec![call(list, args, ident.span)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
}
