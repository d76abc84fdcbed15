//! Syntax that rewrites put in place of what was written.
//!
//! Promise: it builds nodes and knows no rule. Read next: `spelling.rs`, which asks for the rewrites.

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Value,
};
use datafusion_sql::sqlparser::tokenizer::Span;

/// A call of one of our functions in place of an operator.
pub(crate) fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    let mut ident = Ident::new(name);
    ident.span = span;
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![ident]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// What is left where an expression was taken out.
pub(crate) fn nothing() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}
