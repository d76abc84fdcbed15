//! How a table is cut into ranges of its key that are read side by side.
//!
//! Promise: the ranges are disjoint and together the whole, whatever the server estimates: before a range is cut,
//! the server shows that its bounds and the cuts are in order for the rows that there are. The first and the last
//! range are open, so no row lies outside. Where to cut is found by looking at single entries of the
//! index that the rows stand in, and by the server's own estimates of how many rows a range has (`EXPLAIN`): no
//! rows are read, counted or sorted for it. It reads no rows itself. Read next: `lanes.rs`, `pump.rs`.

use super::catalog::{self, CatalogTable};
use super::error::{MysqlError, Result};
use super::literal::quoted;
use super::ranges::{KeyColumn, Range, joined};
use super::session::Session;
use super::subject::Subject;

const DOING: &str = "looking for ranges of a key";
/// No range has fewer rows, as far as it is known.
const FEWEST_ROWS: u64 = 10_000;
/// Ranges for each connection, so that none waits long for the last one.
const FOR_EACH: u64 = 4;
/// So often a range is cut at most.
const MOST_CUTS: usize = 256;

/// The server cannot compare a text with the column: its character set does not have one of the letters.
const MIX: u16 = 1267;

/// The key by which a table can be cut.
pub(super) struct Key {
    /// What stands behind the table in FROM, so that the server reads a range and nothing else.
    hint: String,
    columns: Vec<KeyColumn>,
    rows: u64,
}

/// What a table can be cut by.
pub(super) enum Cut {
    By(Key),
    /// It is read by one connection; why, where a person should know.
    Whole(Option<String>),
}

/// Looks for a key.
pub(super) async fn look(session: &mut Session, subject: &Subject) -> Result<Cut> {
    let Some(table) = &subject.table else {
        return Ok(Cut::Whole(None));
    };
    if table.is_view {
        let note = format!("`{}` is a view: one connection reads it", subject.object);
        return Ok(Cut::Whole(Some(note)));
    }
    if table.is_versioned {
        let note = format!(
            "`{}` is system-versioned: one connection reads it",
            subject.object
        );
        return Ok(Cut::Whole(Some(note)));
    }
    let is_innodb = |engine: &String| engine.eq_ignore_ascii_case("InnoDB");
    if !table.engine.as_ref().is_some_and(is_innodb) {
        return Ok(Cut::Whole(None));
    }
    let rows = estimates(session, &subject.from, &[String::new()]).await?;
    let rows = rows.first().copied().unwrap_or_default();
    if rows < 2 * FEWEST_ROWS {
        return Ok(Cut::Whole(None));
    }
    Ok(match key(session, table, subject).await? {
        Some((index, columns)) => Cut::By(Key {
            hint: format!("{} FORCE INDEX ({})", subject.from, quoted(&index)),
            columns,
            rows,
        }),
        None => Cut::Whole(Some(format!(
            "`{}` has no primary key, or one that cannot be cut into ranges: one connection reads it",
            subject.object
        ))),
    })
}

/// The index that the rows stand in, as far as its columns have values that can be cut at.
async fn key(
    session: &mut Session,
    table: &CatalogTable,
    subject: &Subject,
) -> Result<Option<(String, Vec<KeyColumn>)>> {
    let Some((index, names)) = catalog::clustered(session, table).await? else {
        return Ok(None);
    };
    let columns: Vec<KeyColumn> = names
        .iter()
        .map_while(|name| {
            let mut all = subject.columns.iter();
            KeyColumn::of(all.find(|column| column.name == *name)?)
        })
        .collect();
    Ok((!columns.is_empty()).then_some((index, columns)))
}

/// The rows of each part: what stands behind FROM, with what is true of them.
pub(super) struct Part {
    pub(super) from: String,
    pub(super) condition: String,
}

/// Cuts a table for so many connections.
pub(super) async fn cut(session: &mut Session, key: &Key, lanes: usize) -> Result<Vec<Part>> {
    let wanted = FOR_EACH * lanes as u64;
    let most = (key.rows / wanted).max(FEWEST_ROWS);
    let mut cutting = Cutting { session, key };
    let whole = Range::whole(key.rows);
    let mut ranges = vec![cutting.with_values(whole).await?];
    for _ in 0..MOST_CUTS {
        let largest = ranges
            .iter()
            .enumerate()
            .filter(|(_, range)| range.values.is_some() && range.rows > most + most / 2)
            .max_by_key(|(_, range)| range.rows);
        let Some((at, largest)) = largest else {
            break;
        };
        let parts = cutting.cut(largest).await?;
        drop(ranges.splice(at..=at, parts));
    }
    let parts = joined(ranges, most).into_iter().map(|range| Part {
        from: key.hint.clone(),
        condition: range.condition(&key.columns),
    });
    Ok(parts.collect())
}

struct Cutting<'a> {
    session: &'a mut Session,
    key: &'a Key,
}

impl Cutting<'_> {
    fn column(&self, range: &Range) -> Result<&KeyColumn> {
        let column = self.key.columns.get(range.column);
        column.ok_or(MysqlError::Misused {
            reason: "cut by a column that the key does not have",
        })
    }

    /// Questions with one value each, in one statement.
    async fn values(&mut self, questions: &[String]) -> Result<Vec<Option<String>>> {
        let list: Vec<String> = questions.iter().map(|one| format!("({one})")).collect();
        // Two columns of one name cannot be told apart.
        let named = list.iter().enumerate();
        let named: Vec<String> = named.map(|(at, one)| format!("{one} AS v{at}")).collect();
        let rows = self
            .session
            .rows(&format!("SELECT {}", named.join(", ")), DOING)
            .await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    fn extreme(&self, function: &str, range: &Range, condition: &str) -> Result<String> {
        let column = self.column(range)?;
        let filter = match condition {
            "" => String::new(),
            condition => format!(" WHERE {condition}"),
        };
        let value = column.value(&format!("{function}({})", column.sql));
        Ok(format!("SELECT {value} FROM {}{filter}", self.key.hint))
    }

    /// A range with the least and the largest value in it.
    async fn with_values(&mut self, range: Range) -> Result<Range> {
        let condition = range.condition(&self.key.columns);
        let questions = [
            self.extreme("min", &range, &condition)?,
            self.extreme("max", &range, &condition)?,
        ];
        let values = match self.values(&questions).await?.as_slice() {
            [Some(low), Some(high)] => Some((low.clone(), high.clone())),
            _ => None,
        };
        Ok(Range { values, ..range })
    }

    /// A range as several, or the same one, which is not to be cut again.
    async fn cut(&mut self, range: &Range) -> Result<Vec<Range>> {
        match self.parts(range).await {
            Ok(Some(parts)) => Ok(parts),
            Ok(None) | Err(MysqlError::Server { code: MIX, .. }) => {
                let values = None;
                Ok(vec![Range {
                    values,
                    ..range.clone()
                }])
            }
            Err(error) => Err(error),
        }
    }

    /// The parts of a range; `None` where it has none.
    async fn parts(&mut self, range: &Range) -> Result<Option<Vec<Range>>> {
        let Some((low, high)) = &range.values else {
            return Ok(None);
        };
        let column = self.column(range)?;
        let (Some(least), Some(most)) = (column.literal(low), column.literal(high)) else {
            return Ok(None);
        };
        let between = column.between(low, high);
        let cuts = match between.as_slice() {
            [] => Vec::new(),
            [middle] => column.literal(middle).into_iter().collect(),
            many => match self.present(range, many, (&least, &most)).await {
                Err(MysqlError::Server { code: MIX, .. }) => {
                    let known = self.comparable(range, many).await?;
                    self.present(range, &known, (&least, &most)).await?
                }
                present => present?,
            },
        };
        let is_one = low == high && range.column + 1 < self.key.columns.len();
        Ok(match cuts.is_empty() {
            false => self.at(range, &cuts, (low, high)).await?,
            true if is_one => Some(self.deeper(range, &least).await?),
            true => None,
        })
    }

    /// Those of some texts whose letters the character set of the column has.
    async fn comparable(&mut self, range: &Range, texts: &[String]) -> Result<Vec<String>> {
        let column = self.column(range)?.clone();
        let mut known = Vec::with_capacity(texts.len());
        for text in texts {
            let literal = column.literal(text);
            let is_usual = text.ends_with(|c: char| c.is_ascii());
            let (Some(literal), false) = (literal, is_usual) else {
                known.push(text.clone());
                continue;
            };
            let above = range.around(format!("{} >= {literal}", column.sql));
            let question = self.extreme("min", range, &above)?;
            match self.values(&[question]).await {
                Ok(_) => known.push(text.clone()),
                Err(MysqlError::Server { code: MIX, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    /// Of texts that may lie anywhere, the values of the index that follow them, in its order: each lies above the
    /// least value of the range.
    async fn present(
        &mut self,
        range: &Range,
        texts: &[String],
        (low, high): (&str, &str),
    ) -> Result<Vec<String>> {
        let column = self.column(range)?.clone();
        let name = &column.sql;
        let literals: Vec<String> = texts
            .iter()
            .filter_map(|text| column.literal(text))
            .collect();
        let questions = literals.iter().map(|literal| {
            let above = range.around(format!("{name} >= {literal}"));
            self.extreme("min", range, &above)
        });
        let questions = questions.collect::<Result<Vec<_>>>()?;
        let found = self.values(&questions).await?;
        let found = found
            .iter()
            .flatten()
            .filter_map(|value| column.literal(value));
        let mut found: Vec<String> = found.collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let among = range.around(format!(
            "{name} IN ({}) AND {name} > {low} AND {name} <= {high}",
            found.join(", ")
        ));
        let sql = format!(
            "SELECT {name} FROM {} WHERE {among} GROUP BY {name} ORDER BY {name}",
            self.key.hint
        );
        let rows = self.session.rows(&sql, DOING).await?;
        let sorted = rows.into_iter().filter_map(|row| row.into_iter().next()?);
        Ok(sorted.filter_map(|value| column.literal(&value)).collect())
    }

    /// Whether no row is below a bound and not below the next one: between the range's own bounds and these cuts.
    /// Then every row of the range is in exactly one of its parts, however the server compares and whatever became
    /// of a value on its way here and back.
    async fn are_in_order(&mut self, range: &Range, cuts: &[String]) -> Result<bool> {
        let name = self.column(range)?.sql.clone();
        let bounds = range.from.iter().chain(cuts).chain(&range.to);
        let bounds: Vec<&String> = bounds.collect();
        let questions = bounds.iter().zip(bounds.iter().skip(1));
        let questions = questions.map(|(bound, next)| {
            let wrong = range.around(format!("{name} < {bound} AND {name} >= {next}"));
            format!(
                "SELECT EXISTS (SELECT 1 FROM {} WHERE {wrong})",
                self.key.hint
            )
        });
        let questions: Vec<String> = questions.collect();
        if questions.is_empty() {
            return Ok(true);
        }
        let found = self.values(&questions).await?;
        Ok(found.len() == questions.len() && found.iter().all(|one| one.as_deref() == Some("0")))
    }

    /// Cuts at these values; `None` where they are not in order within the range.
    async fn at(
        &mut self,
        range: &Range,
        cuts: &[String],
        (low, high): (&str, &str),
    ) -> Result<Option<Vec<Range>>> {
        if !self.are_in_order(range, cuts).await? {
            return Ok(None);
        }
        let name = self.column(range)?.sql.clone();
        let mut questions = Vec::with_capacity(2 * cuts.len());
        for cut in cuts {
            let below = range.around(format!("{name} < {cut}"));
            let above = range.around(format!("{name} >= {cut}"));
            questions.push(self.extreme("max", range, &below)?);
            questions.push(self.extreme("min", range, &above)?);
        }
        let around = self.values(&questions).await?;
        let mut lows = vec![Some(low.to_owned())];
        let mut highs = Vec::with_capacity(cuts.len() + 1);
        for pair in around.chunks(2) {
            highs.push(pair.first().cloned().flatten());
            lows.push(pair.get(1).cloned().flatten());
        }
        highs.push(Some(high.to_owned()));
        let froms = std::iter::once(range.from.clone()).chain(cuts.iter().cloned().map(Some));
        let tos = cuts.iter().cloned().map(Some).chain([range.to.clone()]);
        let values = lows.into_iter().zip(highs).map(|(low, high)| low.zip(high));
        let parts = froms
            .zip(tos)
            .zip(values)
            .map(|((from, to), values)| Range {
                from,
                to,
                values,
                ..range.clone()
            });
        self.estimated(parts.collect()).await.map(Some)
    }

    /// All rows have one value in this column: cuts by the next one. Rows that have another one after all are a
    /// range of their own.
    async fn deeper(&mut self, range: &Range, value: &str) -> Result<Vec<Range>> {
        let column = self.column(range)?;
        let parts = [("=", range.column + 1), ("<>", range.column)];
        let [next, others] = parts.map(|(is, place)| {
            let bounds = range.condition(&self.key.columns);
            let is = format!("{} {is} {value}", column.sql);
            let within = [bounds, is].into_iter().filter(|one| !one.is_empty());
            Range {
                within: within.collect(),
                column: place,
                from: None,
                to: None,
                values: None,
                rows: 0,
            }
        });
        let rows = range.rows;
        Ok(vec![
            self.with_values(Range { rows, ..next }).await?,
            others,
        ])
    }

    async fn estimated(&mut self, ranges: Vec<Range>) -> Result<Vec<Range>> {
        let conditions: Vec<String> = ranges
            .iter()
            .map(|range| range.condition(&self.key.columns))
            .collect();
        let rows = estimates(self.session, &self.key.hint, &conditions).await?;
        let estimated = ranges.into_iter().zip(rows);
        Ok(estimated
            .map(|(range, rows)| Range { rows, ..range })
            .collect())
    }
}

/// How many rows the server expects for each condition. No row is read.
async fn estimates(session: &mut Session, from: &str, conditions: &[String]) -> Result<Vec<u64>> {
    let parts = conditions.iter().map(|condition| match condition.as_str() {
        "" => format!("SELECT 1 FROM {from}"),
        condition => format!("SELECT 1 FROM {from} WHERE {condition}"),
    });
    let sql = format!(
        "EXPLAIN FORMAT=TRADITIONAL {}",
        parts.collect::<Vec<_>>().join(" UNION ALL ")
    );
    let rows = session.named(&sql, "rows", DOING).await?;
    let number = |value: Option<String>| value.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut numbers: Vec<u64> = rows.into_iter().map(number).collect();
    // The last line may be the union's own.
    numbers.resize(conditions.len(), 0);
    Ok(numbers)
}
