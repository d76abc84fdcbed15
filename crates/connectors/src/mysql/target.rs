//! The table that a write is for, and what must be known of its server before types are chosen.
//!
//! Promise: one look at the server per session; what it does not support (an old version) is refused before rows
//! come. It knows no rows. Read next: `align.rs`, `destination.rs`.

use super::error::{MysqlError, Result};
use super::literal::qualified;
use super::session::Session;

/// The oldest versions that can be written: window functions, and indexes over long texts.
const OLDEST_MYSQL: (u32, u32) = (8, 0);
const OLDEST_MARIADB: (u32, u32) = (10, 3);
/// Most digits behind the point of a decimal.
const SCALE_OF_MYSQL: u8 = 30;
const SCALE_OF_MARIADB: u8 = 38;

/// A table of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) database: String,
    pub(super) table: String,
}

impl Target {
    pub(super) fn sql(&self) -> String {
        qualified(&self.database, &self.table)
    }

    /// As a person names it, who writes `own` without its name.
    pub(super) fn shown(&self, own: &str) -> String {
        match self.database == own {
            true => self.table.clone(),
            false => format!("{}.{}", self.database, self.table),
        }
    }
}

/// What a server is like.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The database of the connection.
    pub(super) own: String,
    /// The collation under which texts are equal only when all of their characters are, blanks too.
    pub(super) collation: String,
    /// The longest statement that it takes.
    pub(super) packet: usize,
    /// It takes rows by `LOAD DATA LOCAL`.
    pub(super) loads: bool,
    /// It ignores the case of tables' names.
    pub(super) folds_names: bool,
    /// Most digits behind the point of a decimal.
    pub(super) scale: u8,
}

impl Facts {
    pub(super) async fn ask(session: &mut Session) -> Result<Self> {
        let sql = "SELECT @@lower_case_table_names, @@max_allowed_packet, @@local_infile + 0, (SELECT max(collation_name) FROM information_schema.collations \
                   WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin'))";
        let rows = session.rows(sql, "asking what the server supports").await?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut next = || row.next().flatten();
        let (folds, packet, loads, collation) = (next(), next(), next(), next());
        let mariadb = session.is_mariadb();
        let packet = packet.and_then(|text| text.parse().ok()).unwrap_or(1 << 20);
        session.limit(packet);
        Ok(Self {
            own: session.database.clone(),
            collation: collation.unwrap_or_else(|| "utf8mb4_bin".to_owned()),
            packet,
            loads: loads.is_some_and(|text| text == "1"),
            folds_names: folds.is_some_and(|text| text != "0"),
            scale: if mariadb {
                SCALE_OF_MARIADB
            } else {
                SCALE_OF_MYSQL
            },
        })
    }

    /// Whether its texts are equal only when the blanks at their ends are, too.
    pub(super) fn compares_blanks(&self) -> bool {
        compares_exactly(&self.collation)
    }

    /// The type of a text of any length.
    pub(super) fn text(&self) -> String {
        format!("longtext CHARACTER SET utf8mb4 COLLATE {}", self.collation)
    }

    /// The type of a text in a key.
    pub(super) fn key_text(&self, characters: usize) -> String {
        format!(
            "varchar({characters}) CHARACTER SET utf8mb4 COLLATE {}",
            self.collation
        )
    }
}

/// Whether texts of a collation are equal only when all of their characters are, blanks at the end too.
pub(super) fn compares_exactly(collation: &str) -> bool {
    collation == "binary" || collation.ends_with("_nopad_bin") || collation.ends_with("_0900_bin")
}

/// Refuses a server that is too old to be written.
pub(super) fn check_version(session: &Session) -> Result<()> {
    let oldest = match session.is_mariadb() {
        true => OLDEST_MARIADB,
        false => OLDEST_MYSQL,
    };
    match version(&session.version).is_some_and(|version| version >= oldest) {
        true => Ok(()),
        false => Err(MysqlError::TooOld {
            version: session.version.clone(),
        }),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("10.11.19-MariaDB"), Some((10, 11)));
        assert_eq!(version("8.0.15"), Some((8, 0)));
        assert!(version("5.7.44-log") < Some(OLDEST_MYSQL));
        assert!(version("10.11") > Some(OLDEST_MARIADB));
        assert_eq!(version("x"), None);
    }
}
