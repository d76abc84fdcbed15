//! The list of all functions: DataFusion's own, and a few that authors of dbt models expect.
//!
//! Promise: `engine` installs exactly these functions into its sessions, so a statement that was proven
//! here means the same there. Lookup by name includes aliases. It knows no session. Read next: `offered.rs`
//! (which of the engine's functions are offered), `choice.rs` (`iff`), `calendar.rs` (`dateadd`), `zone.rs`
//! (`AT TIME ZONE`).

mod calendar;
pub(crate) mod checked;
mod choice;
mod choose;
mod define;
mod each;
mod field;
pub(crate) mod json;
mod nearest;
pub(crate) mod nested;
mod number;
mod numeric;
mod offered;
mod pattern;
pub(crate) mod quotient;
mod read;
mod replace;
pub(crate) mod span;
mod text;
mod total;
mod whole;
mod zone;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use crate::names::Call;
use crate::place;
use crate::problem::SqlProblem;
use crate::suggest;

pub(crate) use calendar::UNIT_FUNCTIONS;
pub(crate) use checked::OR_NULL;
pub(crate) use each::{ALL_ITEMS, ANY_ITEM};
pub(crate) use field::DATE_PART;
pub(crate) use nearest::nearest_to;
pub(crate) use numeric::{AS_NUMERIC, NUMERIC_TO_ROUND, TEXT_PLACES, TRY_NUMERIC};
pub(crate) use pattern::{LIKE_ESCAPE, LONGEST_FIRST, SIMILAR_TO};
pub(crate) use read::{is_read_otherwise, reader};
pub(crate) use text::{TEXT_OF, TRUTH_LETTER, is_written_otherwise};
pub(crate) use total::longest;
pub(crate) use zone::AT_TIME_ZONE;

use crate::operators::PostgresOperators;

/// All registered functions and planners.
pub struct Functions {
    /// One value per row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Functions that take a lambda.
    pub higher_order: Vec<Arc<HigherOrderUDF>>,
    /// One value per group.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// One value per row over its window.
    pub window: Vec<Arc<WindowUDF>>,
    /// The planners of operators and literals.
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions")
            .field("scalar", &self.scalar.len())
            .field("higher_order", &self.higher_order.len())
            .field("aggregate", &self.aggregate.len())
            .field("window", &self.window.len())
            .field("planners", &self.planners.len())
            .finish()
    }
}

/// The registered functions, which are made once.
pub fn functions() -> &'static Functions {
    &registry().functions
}

/// The functions with their names and aliases.
pub(crate) struct Registry {
    pub(crate) functions: Functions,
    pub(crate) scalar: HashMap<String, Arc<ScalarUDF>>,
    pub(crate) higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    pub(crate) aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub(crate) window: HashMap<String, Arc<WindowUDF>>,
}

pub(crate) fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
    &REGISTRY
}

fn by_name<F>(all: &[Arc<F>], names: impl Fn(&F) -> Vec<String>) -> HashMap<String, Arc<F>> {
    let each = all.iter().flat_map(|function| {
        names(function)
            .into_iter()
            .map(|name| (name, Arc::clone(function)))
    });
    each.collect()
}

fn named(name: &str, aliases: &[String]) -> Vec<String> {
    aliases.iter().cloned().chain([name.to_owned()]).collect()
}

impl Registry {
    fn new() -> Self {
        let functions = all();
        Self {
            scalar: by_name(&functions.scalar, |f: &ScalarUDF| {
                named(f.name(), f.aliases())
            }),
            higher_order: by_name(&functions.higher_order, |f: &HigherOrderUDF| {
                named(f.name(), f.aliases())
            }),
            aggregate: by_name(&functions.aggregate, |f: &AggregateUDF| {
                named(f.name(), f.aliases())
            }),
            window: by_name(&functions.window, |f: &WindowUDF| {
                named(f.name(), f.aliases())
            }),
            functions,
        }
    }

    fn has(&self, call: &Call) -> bool {
        let name = &call.name;
        self.scalar.contains_key(name)
            || self.aggregate.contains_key(name)
            || self.higher_order.contains_key(name)
            || self.window.contains_key(name)
            || PLANNED_BY_NAME.contains(&name.as_str())
    }

    /// True for a call without `OVER` of a function that needs it.
    fn lacks_over(&self, call: &Call) -> bool {
        let name = &call.name;
        let elsewhere = self.scalar.contains_key(name) || self.aggregate.contains_key(name);
        !call.window && self.window.contains_key(name) && !elsewhere
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let sets = self
            .scalar
            .keys()
            .chain(self.aggregate.keys())
            .chain(self.higher_order.keys());
        sets.chain(self.window.keys()).map(String::as_str)
    }
}

/// Names that the planner itself understands.
const PLANNED_BY_NAME: &[&str] = &["unnest", "unnest_outer"];

/// One of the registered scalar functions; `None` while the registry is being made.
pub(crate) fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    registry().scalar.get(name).cloned()
}

/// Our own scalar functions.
fn own() -> Vec<Arc<ScalarUDF>> {
    let all = [
        calendar::functions(),
        checked::functions(),
        choice::functions(),
        choose::functions(),
        each::functions(),
        field::functions(),
        json::functions(),
        nearest::functions(),
        nested::functions(),
        number::functions(),
        numeric::functions(),
        pattern::functions(),
        quotient::functions(),
        replace::functions(),
        span::functions(),
        text::functions(),
        whole::functions(),
        zone::functions(),
    ];
    all.into_iter().flatten().collect()
}

fn all() -> Functions {
    let own = own();
    let is_own = |name: &str| own.iter().any(|function| function.name() == name);
    let mut scalar = datafusion_functions::all_default_functions();
    scalar.extend(datafusion_functions_nested::all_default_nested_functions());
    scalar.retain(|function| offered::scalar(function.name()) && !is_own(function.name()));
    scalar.extend(own);
    let mut aggregate = datafusion_functions_aggregate::all_default_aggregate_functions();
    aggregate.retain(|function| offered::aggregate(function.name()));
    Functions {
        scalar,
        higher_order: datafusion_functions_nested::all_default_higher_order_functions(),
        aggregate: total::with_intervals(aggregate),
        window: datafusion_functions_window::all_default_window_functions(),
        planners: vec![
            Arc::new(PostgresOperators),
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
            Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
        ],
    }
}

/// The problems of calls of unknown functions, each with the nearest known one.
pub(crate) fn unknown(sql: &str, calls: &[Call]) -> Vec<SqlProblem> {
    let registry = registry();
    calls
        .iter()
        .filter(|call| !registry.has(call) || registry.lacks_over(call))
        .map(|call| {
            if registry.lacks_over(call) {
                return SqlProblem::new("M0310", format!("`{}` is a window function", call.name))
                    .at(place::of_parse(sql, call.span))
                    .label("needs `OVER (…)`");
            }
            let kind = if call.window {
                "window function"
            } else {
                "function"
            };
            if let Some(instead) = offered::instead(&call.name) {
                return SqlProblem::new(
                    "M0312",
                    format!("the {kind} `{}` is not supported", call.name),
                )
                .at(place::of_parse(sql, call.span))
                .help(instead);
            }
            SqlProblem::new("M0304", format!("there is no {kind} `{}`", call.name))
                .at(place::of_parse(sql, call.span))
                .meant(
                    elsewhere(&call.name)
                        .or_else(|| suggest::closest(&call.name, registry.names())),
                )
        })
        .collect()
}

/// The name of our function for a function of another system.
fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "getdate" | "sysdate" => "now",
        "len" => "length",
        "listagg" | "group_concat" => "string_agg",
        "charindex" => "strpos",
        "isnull" => "coalesce",
        "approx_count_distinct" => "approx_distinct",
        "regexp_substr" | "regexp_extract" => "regexp_match",
        "any_value" => "first_value",
        "array_size" => "array_length",
        "timestamp_diff" | "date_diff" | "timestampdiff" => "datediff",
        "date_add" | "timestampadd" => "dateadd",
        "farm_fingerprint" | "hash" => "md5",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_systems_lead_to_functions_there_are() {
        for name in [
            "getdate",
            "len",
            "listagg",
            "charindex",
            "isnull",
            "approx_count_distinct",
            "regexp_substr",
            "any_value",
            "array_size",
            "date_diff",
            "date_add",
            "hash",
        ] {
            let found = elsewhere(name).unwrap_or_default();
            assert!(
                registry().names().any(|known| known == found),
                "{name} -> {found}"
            );
        }
        assert!(registry().scalar.contains_key("ifnull") && registry().scalar.contains_key("nvl"));
    }
}
