//! Refuses the parts of a call that the planner does not read for this kind of function, and expressions that
//! it would refuse in words of its own.
//!
//! Promise: `OVER`, `FILTER`, `DISTINCT`, `ORDER BY`, `WITHIN GROUP` and `IGNORE NULLS` stand only at functions
//! that obey them. It knows the kind of each function, and no type. Read next: `unread.rs`.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, ObjectName, Value,
};

use crate::functions::registry;
use crate::names::fold;
use crate::unread::{Unread, unread};

/// Window functions that take `IGNORE NULLS`.
const TAKE_NULLS: &[&str] = &["first_value", "lag", "last_value", "lead", "nth_value"];

/// The part of an expression that would be ignored, or that no planner supports.
pub(crate) fn of_expr(expr: &Expr) -> Option<Unread> {
    match expr {
        Expr::Function(function) => of_function(function),
        Expr::Collate { collation, .. } if !is_binary(collation) => unread(
            "COLLATE",
            "collate",
            "leave it out: texts are compared and sorted as with `COLLATE \"C\"`",
        ),
        Expr::Substring {
            substring_from: Some(from),
            shorthand: false,
            ..
        } if is_text(from) => unread(
            "SUBSTRING with a pattern",
            "substring",
            "write `(regexp_match(x, 'pattern'))[1]`",
        ),
        // `membership.rs` has a message for NOT IN.
        Expr::InSubquery {
            expr: row,
            negated: false,
            ..
        } if matches!(row.as_ref(), Expr::Tuple(_)) => unread(
            "IN (SELECT …) of a row of values",
            "in",
            "write `EXISTS (SELECT 1 FROM … WHERE x = a AND y = b)`",
        ),
        Expr::BinaryOp {
            op: BinaryOperator::PGOverlap,
            ..
        } => unread(
            "the operator `&&`",
            "",
            "for lists write `array_has_any(a, b)`",
        ),
        _ => None,
    }
}

/// Whether texts are compared byte by byte, as everywhere here.
pub(crate) fn is_binary(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| ["C", "POSIX", "ucs_basic"].contains(&name.value.as_str()))
}

fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_)),
        _ => false,
    }
}

/// The part of a call that would be ignored.
fn of_function(function: &Function) -> Option<Unread> {
    let Function {
        name,
        // `{fn now()}` is `now()`.
        uses_odbc_syntax: _,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    if !matches!(parameters, FunctionArguments::None) {
        return unread(
            "two lists of arguments of a function",
            "select",
            "write all arguments in one list",
        );
    }
    if matches!(args, FunctionArguments::Subquery(_)) {
        return unread(
            "a query as the only argument of a function",
            "select",
            "for a list of values write `(SELECT array_agg(x) FROM …)`",
        );
    }
    let name = name.0.last()?.as_ident().map(fold)?;
    let list = list(args);
    let distinct = list.is_some_and(|list| list.duplicate_treatment.is_some());
    let clauses = list.map_or(&[][..], |list| &list.clauses);
    let ordered = clauses
        .iter()
        .any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    let nulls = null_treatment.is_some()
        || clauses
            .iter()
            .any(|clause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_)));
    let registry = registry();
    if registry.scalar.contains_key(&name) || registry.higher_order.contains_key(&name) {
        let parts = [
            (over.is_some(), "OVER", "over"),
            (filter.is_some(), "FILTER", "filter"),
            (distinct, "DISTINCT", "distinct"),
            (ordered, "ORDER BY", "order"),
            (!within_group.is_empty(), "WITHIN GROUP", "within"),
            (nulls, "IGNORE NULLS", "nulls"),
        ];
        let (_, part, word) = parts.into_iter().find(|(is_there, ..)| *is_there)?;
        return Some((
            format!("{part} of `{name}`, which is no aggregate and no window function"),
            word,
            "leave it out",
        ));
    }
    if nulls && over.is_some() && !takes_nulls(&name) {
        return Some((
            format!("IGNORE NULLS of `{name}`"),
            "nulls",
            "leave it out, or give it the rows: `FILTER (WHERE x IS NOT NULL)`",
        ));
    }
    if distinct && registry.window.contains_key(&name) && !registry.aggregate.contains_key(&name) {
        return Some((format!("DISTINCT of `{name}`"), "distinct", "leave it out"));
    }
    None
}

/// Whether a function over a window obeys `IGNORE NULLS`.
fn takes_nulls(name: &str) -> bool {
    let registry = registry();
    let is_window = registry.window.contains_key(name);
    match registry.aggregate.get(name) {
        Some(aggregate) if !is_window => aggregate.supports_null_handling_clause(),
        _ => !is_window || TAKE_NULLS.contains(&name),
    }
}

fn list(args: &FunctionArguments) -> Option<&FunctionArgumentList> {
    match args {
        FunctionArguments::List(list) => Some(list),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}
