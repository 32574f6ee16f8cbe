//! Compares source and target: reads back the rows of each table on both sides, counts them, and sums
//! amounts of money.

use super::{
    copy::{self, Value},
    plan::SharedTable,
};
use platform::db::{Conn, Kind};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, query_scalar};
use std::fmt::{self, Display, Formatter};

/// How many rows are read at once.
const BATCH: i64 = 1000;
/// The suffix of columns with amounts of money.
const MONEY: &str = "_minor";

/// The result of comparing source and target.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Comparison {
    pub tables: Vec<TableComparison>,
    /// One entry per column with amounts of money.
    pub money: Vec<Sum>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableComparison {
    pub table: String,
    /// The number of rows in the source.
    pub source: i64,
    /// The number of rows in the target.
    pub target: i64,
    /// Whether all rows are identical.
    pub alike: bool,
}

/// The sums of a column of amounts, in minor units, across currencies.
#[derive(Debug, Clone, Serialize)]
pub struct Sum {
    /// `table.column`
    pub column: String,
    pub source: i64,
    pub target: i64,
}

impl Comparison {
    pub fn is_identical(&self) -> bool {
        self.tables.iter().all(|table| table.alike)
            && self.money.iter().all(|sum| sum.source == sum.target)
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mark = |alike| if alike { "ok" } else { "DIFFERS" };
        for one in &self.tables {
            let (table, rows) = (&one.table, one.target);
            write!(f, "{:<8} {table}: {rows} rows", mark(one.alike))?;
            if one.source != rows {
                write!(f, " of {}", one.source)?;
            }
            writeln!(f)?;
        }
        for sum in &self.money {
            let (column, alike) = (&sum.column, sum.source == sum.target);
            write!(f, "{:<8} {column}: {} in total", mark(alike), sum.target)?;
            if !alike {
                write!(f, ", and {} in the source", sum.source)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

pub(super) async fn compare(
    from: &mut Conn,
    to: &mut Conn,
    shared: &[SharedTable],
) -> Result<Comparison, sqlx::Error> {
    let mut comparison = Comparison::default();
    for table in shared {
        let (source, target) = (
            fingerprint(from, table).await?,
            fingerprint(to, table).await?,
        );
        comparison.tables.push(TableComparison {
            table: table.name.clone(),
            source: source.rows,
            target: target.rows,
            alike: source == target,
        });
        let columns = table.columns.iter();
        for column in columns.filter(|column| column.kind == Kind::Integer) {
            if column.name.ends_with(MONEY) {
                comparison.money.push(Sum {
                    column: format!("{}.{}", table.name, column.name),
                    source: sum(from, &table.name, &column.name).await?,
                    target: sum(to, &table.name, &column.name).await?,
                });
            }
        }
    }
    Ok(comparison)
}

/// A checksum of a table's rows that does not depend on their order, which differs between collations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fingerprint {
    rows: i64,
    sum: u128,
}

async fn fingerprint(conn: &mut Conn, table: &SharedTable) -> Result<Fingerprint, sqlx::Error> {
    let mut print = Fingerprint::default();
    let mut last_key: Option<Vec<Value>> = None;
    let batch = table.batch(BATCH);
    loop {
        let rows = copy::read(conn, table, last_key.as_deref(), batch).await?;
        for row in &rows {
            print.rows += 1;
            print.sum = print.sum.wrapping_add(hash(row));
        }
        match rows.last() {
            Some(last) => {
                last_key = Some(table.key.iter().map(|index| last[*index].clone()).collect());
            }
            None => return Ok(print),
        }
    }
}

fn hash(row: &[Value]) -> u128 {
    let mut digest = Sha256::new();
    for value in row {
        let (kind, bytes): (u8, Option<Vec<u8>>) = match value {
            Value::Text(text) => (1, text.as_ref().map(|text| text.as_bytes().to_vec())),
            Value::Integer(number) => (2, number.map(|number| number.to_be_bytes().to_vec())),
            Value::Real(number) => (3, number.map(|number| number.to_be_bytes().to_vec())),
            Value::Blob(bytes) => (4, bytes.clone()),
        };
        digest.update([kind, u8::from(bytes.is_some())]);
        let bytes = bytes.unwrap_or_default();
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    }
    let digest = digest.finalize();
    digest
        .iter()
        .take(16)
        .fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

async fn sum(conn: &mut Conn, table: &str, column: &str) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT CAST(COALESCE(SUM({column}), 0) AS BIGINT) AS n FROM {table}");
    query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_differ_have_different_hashes() {
        let text = |text: &str| Value::Text(Some(text.to_owned()));
        let row = vec![text("ab"), text("c"), Value::Integer(None)];
        for other in [
            vec![text("a"), text("bc"), Value::Integer(None)],
            vec![text("ab"), text("c"), Value::Integer(Some(0))],
            vec![text("ab"), text("c"), Value::Text(None)],
            vec![text("ab"), Value::Text(None), Value::Integer(None)],
        ] {
            assert_ne!(hash(&row), hash(&other), "{other:?}");
        }
        assert_eq!(hash(&row), hash(&row.clone()));
    }
}
