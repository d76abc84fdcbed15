//! Names and ids as types of their own, so that a table is never passed where a step is expected.
//!
//! It knows nothing of quoting: each connector quotes names by the rules of its system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text as this kind of name, unchanged.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

text_name!(
    /// The `id:` of a project, written by `towpath init`; part of every commit token.
    ProjectId
);
text_name!(
    /// The environment a run belongs to: `dev`, `prod`.
    Environment
);
text_name!(
    /// A pipeline, named by its file.
    PipelineName
);
text_name!(
    /// A step within a pipeline.
    StepName
);
text_name!(
    /// A task within a run: `STEP/TABLE` for tables, `STEP` for commands.
    TaskId
);

/// A table, as `schema.table`. Stored in the case it was declared in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    schema: String,
    table: String,
}

impl TableName {
    /// A table in a schema; both parts are kept unchanged.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// The part before the dot.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The part after the dot.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Text that is not of the form `schema.table`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not of the form `schema.table`")]
pub struct NotATableName(pub String);

impl FromStr for TableName {
    type Err = NotATableName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
                Ok(Self::new(schema, table))
            }
            _ => Err(NotATableName(text.to_owned())),
        }
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of a run: `shop#212`. Runs are numbered per pipeline and environment, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunName {
    /// The pipeline that ran.
    pub pipeline: PipelineName,
    /// Its number, from 1.
    pub number: u64,
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.pipeline, self.number)
    }
}

impl FromStr for RunName {
    type Err = NotARunName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.rsplit_once('#')
            .and_then(|(pipeline, number)| {
                let number = number.parse().ok()?;
                Some(Self {
                    pipeline: PipelineName::new(pipeline),
                    number,
                })
            })
            .ok_or_else(|| NotARunName(text.to_owned()))
    }
}

/// Text that is not of the form `pipeline#number`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not of the form `pipeline#number`")]
pub struct NotARunName(pub String);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn table_names_read_back() {
        let name: TableName = "raw.flights".parse().unwrap();
        assert_eq!((name.schema(), name.table()), ("raw", "flights"));
        assert_eq!(name.to_string(), "raw.flights");
        assert!("flights".parse::<TableName>().is_err());
        assert!("raw.".parse::<TableName>().is_err());
    }

    #[test]
    fn run_names_read_back() {
        let run: RunName = "shop#212".parse().unwrap();
        assert_eq!(run.to_string(), "shop#212");
        assert!("shop".parse::<RunName>().is_err());
    }
}
