//! What a read is of: a table, a view or a query, with the columns it has.
//!
//! Promise: what is not there is refused with the nearest name. It moves no rows: `source.rs` and `pump.rs` do.

use arrow_schema::DataType;
use towpath_ports::ReadSpec;
use towpath_vocab::Selection;
use towpath_vocab::types::SOURCE_NAME;

use super::catalog::{self, Current, Found, Table};
use super::error::{AdbcError, Result};
use super::look;
use super::messages::Kind;
use super::session::Work;
use super::types::{Column, Raw};
use super::vendor::Vendor;
use crate::relational::selection::{Columns, Unknown};

/// What a read is of.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// As a person names it.
    pub(super) object: String,
    /// What can stand after FROM.
    pub(super) from: String,
    pub(super) raws: Vec<Raw>,
    /// Set for a table that the driver lists.
    pub(super) table: Option<Table>,
    pub(super) vendor: Vendor,
}

impl Subject {
    pub(super) fn look_at(work: &mut Work<'_>, selection: &Selection) -> Result<Self> {
        let vendor = work.vendor();
        let named = |object: String, from: String, table| Self {
            object,
            from,
            raws: Vec::new(),
            table,
            vendor,
        };
        match selection {
            Selection::Object(name) => {
                let current = Current::of(work)?;
                let subject = match catalog::find(work, &current, name)? {
                    Found::Unlisted(from) => named(name.clone(), from, None),
                    Found::Table(table) => named(
                        current.shown(&table),
                        table.sql(vendor, &current),
                        Some(table),
                    ),
                };
                subject.with_columns(work)
            }
            Selection::Query(sql) => {
                let sql = sql.trim().trim_end_matches(';');
                let from = format!("({sql}\n) towpath_query");
                named("the query".to_owned(), from, None).with_columns(work)
            }
        }
    }

    /// Asks for the columns.
    pub(super) fn with_columns(self, work: &mut Work<'_>) -> Result<Self> {
        let sql = format!("SELECT * FROM {} WHERE 1 = 0", self.from);
        let doing = format!("looking at `{}`", self.object);
        let schema = look::schema(work, &sql, &doing);
        let schema = schema.map_err(|error| match error {
            AdbcError::Driver { reported, .. }
                if reported.kind == Kind::Missing && self.is_name() =>
            {
                AdbcError::NoTable {
                    object: self.object.clone(),
                    nearest: None,
                    present: Vec::new(),
                }
            }
            AdbcError::Driver { reported, .. } if !self.is_name() => AdbcError::Query { reported },
            other => other,
        })?;
        let table = self.table.as_ref().map(|table| table.name.clone());
        let declared = look::declared(work, &self.from, table.as_deref())?;
        let raws = schema.fields().iter().map(|field| {
            let own = declared.iter().find(|(name, _)| name == field.name());
            Raw {
                name: field.name().clone(),
                field: field.as_ref().clone(),
                declared: own.map(|(_, declared)| declared.clone()),
            }
        });
        Ok(Self {
            raws: raws.collect(),
            ..self
        })
    }

    fn is_name(&self) -> bool {
        self.object != "the query"
    }

    pub(super) fn columns(&self) -> Columns<'_, Raw> {
        Columns::of(&self.raws)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.raws.iter().map(|raw| raw.name.clone()).collect()
    }

    /// The columns that a read asks for.
    pub(super) fn choose(&self, work: &mut Work<'_>, spec: &ReadSpec) -> Result<Vec<Column>> {
        let present = self.columns();
        if let Some(column) = present.repeated(|one, other| self.vendor.same(one, other)) {
            return Err(AdbcError::SameName {
                object: self.object.clone(),
                column: column.to_owned(),
            });
        }
        let wanted = present.projected(spec);
        let wanted = wanted.map_err(|unknown| self.no_column(unknown))?;
        let of = (self.object.as_str(), self.from.as_str());
        look::columns(work, of, &wanted, &|raw| self.declared(spec, raw))
    }

    /// The columns of these names, in their order, as they are without a declaration.
    pub(super) fn plain(&self, work: &mut Work<'_>, names: &[String]) -> Result<Vec<Column>> {
        let named = |name: &String| {
            self.raws
                .iter()
                .find(|raw| self.vendor.same(&raw.name, name))
        };
        let raws: Vec<&Raw> = names.iter().filter_map(named).collect();
        let of = (self.object.as_str(), self.from.as_str());
        look::columns(work, of, &raws, &|_| None)
    }

    /// The type that the project declares for a column, or an earlier look gave to one of a database without types.
    fn declared(&self, spec: &ReadSpec, raw: &Raw) -> Option<DataType> {
        let present = self.columns();
        let known = || {
            let fields = spec.known.as_ref()?.fields().iter();
            let mut own = fields.filter(|field| {
                let written = field.metadata().get(SOURCE_NAME).unwrap_or(field.name());
                present
                    .get(written)
                    .is_some_and(|column| column.name == raw.name)
            });
            Some(own.next()?.data_type().clone())
        };
        let declared = present.declared(spec, &raw.name);
        match self.vendor {
            Vendor::Sqlite => declared.or_else(known),
            _ => declared,
        }
    }

    pub(super) fn no_column(&self, unknown: Unknown) -> AdbcError {
        AdbcError::NoColumn {
            object: self.object.clone(),
            column: unknown.column,
            nearest: unknown.nearest,
        }
    }
}
