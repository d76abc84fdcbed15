//! The dialect in which every SQL text is parsed: DataFusion's `generic`, with PostgreSQL's precedences.
//!
//! Promise: operators bind and group as PostgreSQL's operator precedence table says, and comparisons, which it
//! does not chain, are refused in a row. All other syntax is that of `generic`. It knows no function, table or
//! type. Read next: `statement.rs`.

use std::any::TypeId;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion_sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::Token;

/// The one value of the dialect.
pub const SQL_DIALECT: SqlDialect = SqlDialect;

/// `generic` with PostgreSQL's precedences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlDialect;

/// `+` and `-` before an operand.
const SIGN: u8 = 85;
/// Every operator that has no level of its own, such as `||`, `->>`, `&`, `<<` and `~`.
const OTHER: u8 = 40;
/// `BETWEEN`, `IN`, `LIKE`, `ILIKE` and `SIMILAR TO`.
const RANGE: u8 = 30;
/// `=`, `<>`, `<`, `<=`, `>` and `>=`.
const COMPARISON: u8 = 25;
/// `IS NULL`, `IS TRUE`, `IS DISTINCT FROM`.
const IS: u8 = 20;

macro_rules! as_generic {
    ($($name:ident,)*) => {
        $(fn $name(&self) -> bool {
            GenericDialect.$name()
        })*
    };
}

impl Dialect for SqlDialect {
    // The parser asks for this identity where it has rules for `generic` alone.
    fn dialect(&self) -> TypeId {
        GenericDialect.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    fn prec_value(&self, level: Precedence) -> u8 {
        match level {
            Precedence::Period => 100,
            Precedence::DoubleColon => 90,
            Precedence::AtTz => 75,
            Precedence::Caret => 70,
            Precedence::MulDivModOp => 60,
            Precedence::PlusMinus => 50,
            Precedence::Xor => 45,
            Precedence::Ampersand | Precedence::Pipe | Precedence::PgOther => OTHER,
            // It ends a bound of `list[1 | 2 : 3]`.
            Precedence::Colon => OTHER - 1,
            Precedence::Between | Precedence::Like => RANGE,
            Precedence::Eq => COMPARISON,
            Precedence::Is => IS,
            Precedence::UnaryNot => 15,
            Precedence::And => 10,
            Precedence::Or => 5,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let is_other = match &parser.peek_token_ref().token {
            Token::StringConcat
            | Token::ShiftLeft
            | Token::ShiftRight
            | Token::Sharp
            | Token::CaretAt
            | Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk => true,
            Token::Word(word) => word.keyword == Keyword::OPERATOR,
            _ => false,
        };
        is_other.then_some(Ok(OTHER))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let (op, level) = match &parser.peek_token_ref().token {
            Token::Minus => (UnaryOperator::Minus, SIGN),
            Token::Plus => (UnaryOperator::Plus, SIGN),
            Token::Tilde => (UnaryOperator::BitwiseNot, OTHER),
            _ => return None,
        };
        parser.advance_token();
        Some(parser.parse_subexpr(level).map(|expr| Expr::UnaryOp {
            op,
            expr: Box::new(expr),
        }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if chains(expr, precedence) {
            let token = parser.peek_token_ref();
            return Some(Err(ParserError::ParserError(format!(
                "`{}` after another comparison: put parentheses around one, or join them with AND{}",
                token.token, token.span.start
            ))));
        }
        if precedence != IS {
            return None;
        }
        let distinct = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        let not_distinct = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let form = if parser.parse_keywords(&distinct) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&not_distinct) {
            Expr::IsNotDistinctFrom
        } else {
            return None;
        };
        let right = parser.parse_subexpr(IS);
        Some(right.map(|right| form(Box::new(expr.clone()), Box::new(right))))
    }

    as_generic! {
        supports_string_literal_backslash_escape,
        ignores_wildcard_escapes,
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_window_clause_named_window_reference,
        supports_within_after_array_aggregation,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_outer_join_operator,
        supports_cross_join_constraint,
        supports_connect_by,
        supports_execute_immediate,
        supports_match_recognize,
        supports_in_empty_list,
        supports_start_transaction_modifier,
        supports_end_transaction_modifier,
        supports_named_fn_args_with_eq_operator,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_assignment_operator,
        supports_named_fn_args_with_rarrow_operator,
        supports_named_fn_args_with_expr_name,
        supports_numeric_prefix,
        supports_numeric_literal_underscores,
        supports_window_function_null_treatment_arg,
        supports_dictionary_syntax,
        support_map_literal_syntax,
        supports_lambda_functions,
        supports_parenthesized_set_variables,
        supports_comma_separated_set_assignments,
        supports_update_order_by,
        supports_select_wildcard_except,
        convert_type_before_value,
        supports_triple_quoted_string,
        supports_trailing_commas,
        supports_limit_comma,
        supports_string_literal_concatenation,
        supports_string_literal_concatenation_with_newline,
        supports_projection_trailing_commas,
        supports_from_trailing_commas,
        supports_column_definition_trailing_commas,
        supports_object_name_double_dot_notation,
        supports_struct_literal,
        supports_empty_projections,
        supports_select_expr_star,
        supports_from_first_select,
        supports_from_first_insert,
        supports_pipe_operator,
        supports_user_host_grantee,
        supports_match_against,
        supports_select_wildcard_exclude,
        supports_select_exclude,
        supports_create_table_multi_schema_info_sources,
        supports_select_modifiers,
        describe_requires_table_keyword,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_extract_comma_syntax,
        supports_subquery_as_function_arg,
        supports_create_view_comment_syntax,
        supports_array_typedef_without_element_type,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_dollar_placeholder,
        supports_dollar_as_money_prefix,
        supports_create_index_with_clause,
        require_interval_qualifier,
        supports_explain_with_utility_options,
        supports_asc_desc_in_column_definition,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_nested_comments,
        supports_multiline_comment_hints,
        supports_eq_alias_assignment,
        supports_try_convert,
        supports_bang_not_operator,
        supports_listen_notify,
        supports_load_data,
        supports_load_extension,
        supports_top_before_distinct,
        supports_boolean_literals,
        supports_show_like_before_in,
        supports_comment_on,
        supports_create_table_select,
        supports_partiql,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_table_sample_before_alias,
        supports_insert_set,
        supports_insert_table_function,
        supports_insert_table_query,
        supports_insert_format,
        supports_insert_table_alias,
        supports_set_stmt_without_operator,
        supports_table_versioning,
        supports_string_escape_constant,
        supports_table_hints,
        requires_single_line_comment_whitespace,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_order_by_all,
        supports_set_names,
        supports_space_separated_column_options,
        supports_alter_column_type_using,
        supports_comma_separated_drop_column_list,
        supports_notnull_operator,
        supports_data_type_signed_suffix,
        supports_interval_options,
        supports_create_table_like_parenthesized,
        supports_semantic_view_table_factor,
        supports_quote_delimited_string,
        supports_comment_optimizer_hint,
        supports_double_ampersand_operator,
        supports_binary_kw_as_cast,
        supports_select_wildcard_replace,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_select_wildcard_with_alias,
        supports_optimize_table,
        supports_install,
        supports_detach,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_select_item_multi_column_alias,
        supports_xml_expressions,
        supports_create_table_using,
        supports_long_type_as_bigint,
        supports_map_literal_with_angle_brackets,
    }
}

/// Whether an operator of this level does not follow `left` without parentheses.
fn chains(left: &Expr, precedence: u8) -> bool {
    match left {
        Expr::BinaryOp { op, .. } => {
            precedence == COMPARISON
                && matches!(
                    op,
                    BinaryOperator::Eq
                        | BinaryOperator::NotEq
                        | BinaryOperator::Lt
                        | BinaryOperator::LtEq
                        | BinaryOperator::Gt
                        | BinaryOperator::GtEq
                        | BinaryOperator::Spaceship
                )
        }
        Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => {
            precedence == RANGE
        }
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => precedence == IS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]

    use std::ops::ControlFlow;

    use datafusion_sql::sqlparser::ast::{VisitMut, VisitorMut};

    use super::*;

    /// The expression with parentheses around each of its operations.
    fn grouped(text: &str) -> String {
        struct Group;
        impl VisitorMut for Group {
            type Break = ();
            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if !matches!(
                    expr,
                    Expr::Value(_) | Expr::Identifier(_) | Expr::Nested(_) | Expr::Tuple(_)
                ) {
                    let inner = std::mem::replace(expr, crate::nodes::nothing());
                    *expr = Expr::Nested(Box::new(inner));
                }
                ControlFlow::Continue(())
            }
        }
        let mut parser = Parser::new(&SQL_DIALECT).try_with_sql(text).unwrap();
        let mut expr = parser.parse_expr().expect(text);
        assert_eq!(parser.peek_token_ref().token, Token::EOF, "{text}");
        let _ = expr.visit(&mut Group);
        expr.to_string()
    }

    #[test]
    fn operators_bind_as_in_postgresql() {
        for (text, expected) in [
            (
                "a is distinct from b and c",
                "((a IS DISTINCT FROM b) AND c)",
            ),
            (
                "a is not distinct from b or c",
                "((a IS NOT DISTINCT FROM b) OR c)",
            ),
            ("a is distinct from b = c", "(a IS DISTINCT FROM (b = c))"),
            ("a = b is distinct from c", "((a = b) IS DISTINCT FROM c)"),
            ("j ->> 'k' || 'x'", "((j ->> 'k') || 'x')"),
            ("j -> 'k' ->> 'l' = 'x'", "(((j -> 'k') ->> 'l') = 'x')"),
            ("a = j ->> 'k' and b", "((a = (j ->> 'k')) AND b)"),
            ("a + 1 || 'x'", "((a + 1) || 'x')"),
            ("'x' || 1 + 2", "('x' || (1 + 2))"),
            ("1 | 4 & 2", "((1 | 4) & 2)"),
            ("1 << 2 + 3", "(1 << (2 + 3))"),
            ("a ^ b ^ c", "((a ^ b) ^ c)"),
            ("a * b ^ c", "(a * (b ^ c))"),
            ("-a ^ b", "((-a) ^ b)"),
            ("-a * b", "((-a) * b)"),
            ("-a::int", "(-(a::INT))"),
            ("~ a + b", "(~(a + b))"),
            ("~ a | b", "((~a) | b)"),
            ("a ~ b || c", "((a ~ b) || c)"),
            ("a ~ b = c", "((a ~ b) = c)"),
            ("a like b = c", "((a LIKE b) = c)"),
            ("a = b like c", "(a = (b LIKE c))"),
            ("a = b between 1 and 2", "(a = (b BETWEEN 1 AND 2))"),
            ("a between 1 and 2 = c", "((a BETWEEN 1 AND 2) = c)"),
            ("a = b in (1)", "(a = (b IN (1)))"),
            ("a < b is null", "((a < b) IS NULL)"),
            ("not a = b", "(NOT (a = b))"),
            ("not a is null and b", "((NOT (a IS NULL)) AND b)"),
            ("a or b and c", "(a OR (b AND c))"),
            ("a at time zone b || c", "((a AT TIME ZONE b) || c)"),
        ] {
            assert_eq!(grouped(text), expected, "{text}");
        }
    }

    #[test]
    fn comparisons_do_not_follow_each_other() {
        for text in [
            "1 < x < 3",
            "a = b = c",
            "a like b like c",
            "a between 1 and 2 between c and d",
            "a is distinct from b is null",
        ] {
            let mut parser = Parser::new(&SQL_DIALECT).try_with_sql(text).unwrap();
            let error = parser.parse_expr().expect_err(text).to_string();
            assert!(
                error.contains("after another comparison"),
                "{text}: {error}"
            );
        }
        for text in [
            "(a = b) = c",
            "a in (1) in (true)",
            "a is null is null",
            "a = not b = c",
        ] {
            grouped(text);
        }
    }
}
