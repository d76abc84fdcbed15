//! A scalar function as a value: its name, its argument types, its result type, and how it is computed.
//!
//! Promise: a function returns one value per row, and the same value for the same arguments unless it says
//! otherwise. It does not know which functions there are. Read next: `mod.rs`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The argument types for the given types, or why they do not fit.
pub(super) type Takes = fn(&[DataType]) -> Result<Vec<DataType>>;
/// The type of the result for the argument types.
pub(super) type Gives = fn(&[DataType]) -> Result<DataType>;
/// Computes the result from one array per argument, all of the same length.
pub(super) type Computes = fn(&[ArrayRef], &DataType) -> Result<ArrayRef>;

/// A function.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) aliases: Vec<String>,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
    pub(super) computes: Computes,
    /// Its operator, which names a column without a name.
    symbol: Option<&'static str>,
    signature: Signature,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A function without other names.
pub(super) fn define(
    name: &'static str,
    takes: Takes,
    gives: Gives,
    computes: Computes,
) -> Arc<ScalarUDF> {
    also(name, &[], takes, gives, computes)
}

/// A function with other names.
pub(super) fn also(
    name: &'static str,
    aliases: &[&str],
    takes: Takes,
    gives: Gives,
    computes: Computes,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Definition {
        name,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        takes,
        gives,
        computes,
        symbol: None,
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

/// A function of constants that the planner must not compute before it has read the types.
pub(super) fn kept(
    name: &'static str,
    takes: Takes,
    gives: Gives,
    computes: Computes,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Definition {
        name,
        aliases: Vec::new(),
        takes,
        gives,
        computes,
        symbol: None,
        signature: Signature::user_defined(Volatility::Volatile),
    }))
}

/// The function of an operator.
pub(super) fn operator(
    name: &'static str,
    symbol: &'static str,
    takes: Takes,
    gives: Gives,
    computes: Computes,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Definition {
        name,
        aliases: Vec::new(),
        takes,
        gives,
        computes,
        symbol: Some(symbol),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

impl ScalarUDFImpl for Definition {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.takes)(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.gives)(types)
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match (self.symbol, args) {
            (Some(symbol), [left, right]) => Ok(format!("{left} {symbol} {right}")),
            _ => {
                let names: Vec<String> = args.iter().map(ToString::to_string).collect();
                Ok(format!("{}({})", self.name, names.join(",")))
            }
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match (self.symbol, args) {
            (Some(symbol), [left, right]) => Ok(format!(
                "{} {symbol} {}",
                left.schema_name(),
                right.schema_name()
            )),
            _ => {
                let names: Vec<String> = args
                    .iter()
                    .map(|arg| arg.schema_name().to_string())
                    .collect();
                Ok(format!("{}({})", self.name, names.join(",")))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Constants are computed once.
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let computed = (self.computes)(&arrays, args.return_field.data_type())?;
        if constant && computed.len() == 1 {
            let value = datafusion_common::ScalarValue::try_from_array(&computed, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(computed))
    }
}

/// The argument at a position.
pub(super) fn argument(args: &[ArrayRef], at: usize) -> Result<&ArrayRef> {
    match args.get(at) {
        Some(array) => Ok(array),
        None => plan_err!("argument {} is missing", at + 1),
    }
}

/// Checks the number of arguments of a function.
pub(super) fn count_is(
    name: &str,
    wanted: &str,
    given: usize,
) -> datafusion_common::DataFusionError {
    datafusion_common::plan_datafusion_err!("`{name}` takes {wanted}, here are {given}")
}
