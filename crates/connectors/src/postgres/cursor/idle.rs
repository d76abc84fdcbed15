//! When the place where the last read ended is still good: nothing came since.
//!
//! Promise: a read that would give no row keeps the old place, although the server counted other
//! transactions meanwhile, so that nothing has to be committed; but never a place that grows so old that
//! the numbers in rows would lose their order. It reads no rows: `cursor.rs` decides which.

use tokio_postgres::Client;

use super::{Cursor, Subject, Way};
use crate::postgres::error::{ErrorContext as _, Result};
use crate::postgres::read_progress::VERSION;

/// A place is kept for so many transactions: an eighth of those whose order is known.
const YOUNG: i64 = 1 << 28;

impl Cursor {
    /// Whether this read gives no row and the old place still says all that the next one needs.
    pub(super) async fn is_idle(&self, client: &Client, subject: &Subject<'_>) -> Result<bool> {
        let Some(before) = &self.before else {
            return Ok(false);
        };
        let (then, now) = (before, &self.present);
        let same = then.version == VERSION
            && then.column == now.column
            && then.upper == now.upper
            && then.columns == now.columns
            && then.by_transaction == now.by_transaction
            && self.lookback == 0
            && !self.everything;
        if !same {
            return Ok(false);
        }
        if self.way == Way::Value {
            // Transactions say nothing: only the rows at the end could be new.
            return Ok(!now.by_transaction
                && now.boundary.is_some()
                && then.boundary == now.boundary);
        }
        let changed = !self.whole.is_empty() || !self.again.is_empty();
        if self.way != Way::Transaction || changed || then.members != now.members {
            return Ok(false);
        }
        let passed = self.moment.next - then.horizon;
        // The list of numbers that come again must not end before the next read.
        let is_listed = match (&then.recycled, &now.recycled) {
            (None, None) => true,
            (Some(list), Some(_)) => list.reaches(2 * self.moment.next - then.next),
            _ => false,
        };
        let Some(condition) = self.condition().filter(|_| passed < YOUNG && is_listed) else {
            return Ok(false);
        };
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} WHERE {condition})",
            subject.sql
        );
        let row = client
            .query_one(&sql, &[])
            .await
            .doing("looking for new rows")?;
        Ok(!row.get::<_, bool>(0))
    }
}
