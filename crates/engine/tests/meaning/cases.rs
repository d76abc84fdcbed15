//! The generated cases: every function and operator, with every type of argument that it accepts.
//!
//! Promise: the rows of a case depend only on the case. It knows neither system.

use crate::expressions::{EXPRESSIONS, Expression};
use crate::statements::{AGGREGATES, STATEMENTS, VALUES, WINDOWS};
use crate::values::Kind;

/// One expression over columns `a`, `b`, `c` of these types.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) kinds: Vec<&'static Kind>,
    /// Places of values in their types.
    pub(crate) rows: Vec<Vec<usize>>,
}

impl Case {
    /// The expression with the types of its columns: how differences name it.
    pub(crate) fn name(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        format!("{} ({})", self.ours, kinds.join(", "))
    }
}

/// A statement both are asked.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

/// All statements.
pub(crate) fn statements() -> Vec<Statement> {
    let one = |ours: String| Statement {
        theirs: ours.clone(),
        ours,
    };
    let mut all = Vec::new();
    for aggregate in AGGREGATES {
        all.push(one(format!("select {aggregate} as x from {VALUES}")));
        all.push(one(format!(
            "select g, {aggregate} as x from {VALUES} group by g"
        )));
        all.push(one(format!(
            "select {aggregate} as x from {VALUES} where g > 9"
        )));
    }
    for window in WINDOWS {
        all.push(one(format!("select g, i, t, {window} as x from {VALUES}")));
    }
    for (ours, theirs) in STATEMENTS {
        let theirs = if theirs.is_empty() { ours } else { theirs };
        all.push(Statement {
            ours: (*ours).to_owned(),
            theirs: (*theirs).to_owned(),
        });
    }
    all
}

/// All cases with at most `most` rows each.
pub(crate) fn all(most: usize) -> Vec<Case> {
    EXPRESSIONS
        .iter()
        .flat_map(|expression| expand(expression, most))
        .collect()
}

fn expand(expression: &Expression, most: usize) -> Vec<Case> {
    let mut combinations: Vec<Vec<&'static Kind>> = vec![Vec::new()];
    for kinds in expression.arguments {
        combinations = combinations
            .into_iter()
            .flat_map(|before| {
                kinds.iter().map(move |kind| {
                    let mut all = before.clone();
                    all.push(*kind);
                    all
                })
            })
            .collect();
    }
    combinations
        .into_iter()
        .map(|kinds| Case {
            ours: expression.ours.to_owned(),
            theirs: expression.theirs.to_owned(),
            rows: rows(&kinds, most),
            kinds,
        })
        .collect()
}

/// Every combination of values, or so many that are spread over all of them.
fn rows(kinds: &[&Kind], most: usize) -> Vec<Vec<usize>> {
    let total: usize = kinds.iter().map(|kind| kind.values.len()).product();
    let combination = |mut number: usize| {
        kinds
            .iter()
            .map(|kind| {
                let at = number % kind.values.len();
                number /= kind.values.len();
                at
            })
            .collect()
    };
    if total <= most {
        return (0..total).map(combination).collect();
    }
    // A stride that shares no factor with the total meets each value of each type.
    let mut stride = total / most;
    while gcd(stride, total) != 1 {
        stride += 1;
    }
    (0..most)
        .map(|step| combination((step * stride + step / 7) % total))
        .collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
