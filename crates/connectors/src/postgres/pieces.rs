//! How a relation is cut into copies that run side by side.
//!
//! Promise: the pieces of one read are disjoint and together the whole, on one snapshot: page ranges
//! (`ctid`) of each table behind the relation, the last one open-ended because a table may grow
//! between asking its size and reading it. Never an ORDER BY. What cannot be cut (views, queries,
//! foreign tables, row security, servers before 14) is one piece, and a note says why. Page ranges
//! hold only within their snapshot: after a crash a full read starts over.

use tokio_postgres::Client;

use super::catalog::{CatalogRelation, members};
use super::error::Result;
use super::pump::Piece;
use super::types::Column;
use crate::relational::reader::{limit, select_list};

/// Servers from 14 on read a page range without reading the rest.
const RANGE_SCANS: u32 = 140_000;
/// No range is smaller: 8 MB.
const FEWEST_PAGES: u64 = 1024;
/// No range is larger: 512 MB.
const MOST_PAGES: u64 = 65_536;
/// The most rows a page can hold: leaves room for each range's ordinals.
const ROWS_PER_PAGE: u64 = 291;

/// What is to be cut.
pub(super) struct Cut<'a> {
    pub(super) found: &'a CatalogRelation,
    pub(super) columns: &'a [Column],
    pub(super) lanes: usize,
    pub(super) version: u32,
    pub(super) limit: Option<u64>,
    /// Which rows.
    pub(super) filter: Option<&'a str>,
}

/// Cuts a relation; adds to `notes` what keeps it in one piece.
pub(super) async fn cut(
    client: &Client,
    cut: &Cut<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Piece>> {
    let name = cut.found.relation.to_string();
    let whole = || vec![one_piece(cut)];
    match cut.found.kind.as_str() {
        "v" | "f" => {
            notes.push(format!(
                "`{name}` is a {}: it is read in one piece",
                cut.found.kind_word()
            ));
            return Ok(whole());
        }
        "m" => return Ok(pages(cut, cut.found, 0)),
        _ => {}
    }
    let has_parts = cut.found.has_children || cut.found.kind == "p";
    if cut.limit.is_some() {
        return Ok(whole());
    }
    if !has_parts {
        return Ok(pages(cut, cut.found, 0));
    }
    let tables = members(client, cut.found.oid).await?;
    let hidden = cut.found.row_security
        || tables
            .iter()
            .any(|table| !table.can_read || table.row_security);
    if hidden {
        notes.push(format!("parts of `{name}` cannot be read by themselves (permissions, row security): it is read in one piece"));
        return Ok(whole());
    }
    let mut pieces = Vec::new();
    let mut before = 0;
    for table in &tables {
        pieces.extend(pages(cut, table, before));
        // Foreign parts have no pages; leave them room for a great many rows.
        before += if table.kind == "f" {
            1 << 32
        } else {
            table.pages + MOST_PAGES
        };
    }
    Ok(pieces)
}

fn one_piece(cut: &Cut<'_>) -> Piece {
    let condition = cut
        .filter
        .map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    Piece {
        id: cut.found.relation.to_string(),
        query: format!(
            "SELECT {} FROM {}{condition}{}",
            select_list(cut.columns),
            cut.found.relation.sql(),
            limit(cut.limit)
        ),
        first_ordinal: 0,
    }
}

/// The page ranges of one table.
fn pages(cut: &Cut<'_>, table: &CatalogRelation, pages_before: u64) -> Vec<Piece> {
    let filter = cut.filter;
    let from = format!(
        "SELECT {} FROM ONLY {}",
        select_list(cut.columns),
        table.relation.sql()
    );
    let step = table
        .pages
        .div_ceil(4 * cut.lanes as u64)
        .clamp(FEWEST_PAGES, MOST_PAGES);
    let cuttable =
        table.is_heap && cut.version >= RANGE_SCANS && cut.lanes > 1 && cut.limit.is_none();
    if !cuttable || table.pages <= step {
        let condition = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        return vec![Piece {
            id: table.relation.to_string(),
            query: format!("{from}{condition}{}", limit(cut.limit)),
            first_ordinal: pages_before * ROWS_PER_PAGE,
        }];
    }
    let count = table.pages.div_ceil(step);
    (0..count)
        .map(|index| {
            let begin = index * step;
            let last = index + 1 == count;
            let upper = if last {
                String::new()
            } else {
                format!(" AND ctid < '({},0)'::tid", begin + step)
            };
            let also = filter.map_or_else(String::new, |filter| format!(" AND ({filter})"));
            let end = if last {
                String::new()
            } else {
                (begin + step).to_string()
            };
            Piece {
                id: format!("{} ctid {begin}..{end}", table.relation),
                query: format!("{from} WHERE ctid >= '({begin},0)'::tid{upper}{also}"),
                first_ordinal: (pages_before + begin) * ROWS_PER_PAGE,
            }
        })
        .collect()
}
