//! Copies rows: reads batches in the order of the primary key from one database and writes each to the
//! other, in one transaction with the progress.

use super::plan::{MADE_BY_MIGRATIONS, SharedTable};
use anyhow::{Context, Result, bail, ensure};
use platform::db::{Conn, Db, Kind, MOVE_PROGRESS, RowValues, Statement, has_table};
use sqlx::{AssertSqlSafe, Executor, Row, any::AnyRow, query, query_as, query_scalar};

/// The value of one column of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Real(Option<f64>),
    Blob(Option<Vec<u8>>),
}

impl Value {
    fn read(row: &AnyRow, index: usize, kind: &Kind) -> Result<Self, sqlx::Error> {
        Ok(match kind {
            Kind::Integer => Self::Integer(row.try_get(index)?),
            Kind::Real => Self::Real(row.try_get(index)?),
            Kind::Blob => Self::Blob(row.try_get(index)?),
            Kind::Text | Kind::Other(_) => Self::Text(row.try_get(index)?),
        })
    }

    fn bind(self, row: &mut RowValues<'_>) {
        match self {
            Self::Text(text) => row.bind(text),
            Self::Integer(number) => row.bind(number),
            Self::Real(number) => row.bind(number),
            Self::Blob(bytes) => row.bind(bytes),
        };
    }

    /// The JSON of a key column in the stored progress.
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Integer(number) => (*number).into(),
            Self::Real(_) | Self::Blob(_) => serde_json::Value::Null,
        }
    }
}

/// The progress of a table.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many rows are copied.
    pub rows: i64,
    /// The key of the last copied row.
    pub last_key: Option<Vec<Value>>,
}

/// Creates the progress table in the target, unless an interrupted move has created it. Errors: the
/// target has rows that are not from a move.
pub(super) async fn begin(to: &Db, shared: &[SharedTable]) -> Result<()> {
    if has_table(&mut *to.reads().acquire().await?, MOVE_PROGRESS).await? {
        return Ok(());
    }
    let names: Vec<String> = shared.iter().map(|table| table.name.clone()).collect();
    to.write(move |conn| Box::pin(async move { begin_in_txn(conn, &names).await }))
        .await
}

async fn begin_in_txn(conn: &mut Conn, names: &[String]) -> Result<()> {
    for name in names {
        if MADE_BY_MIGRATIONS.contains(&name.as_str()) {
            conn.execute(AssertSqlSafe(format!("DELETE FROM {name}")))
                .await?;
            continue;
        }
        let row = conn
            .fetch_optional(AssertSqlSafe(format!("SELECT 1 AS n FROM {name} LIMIT 1")))
            .await?;
        ensure!(row.is_none(), "{name} has rows already: it must be empty");
    }
    let create = format!(
        "CREATE TABLE {MOVE_PROGRESS} (table_name TEXT PRIMARY KEY, rows_moved BIGINT NOT NULL, \
         last_key TEXT)"
    );
    conn.execute(AssertSqlSafe(create)).await?;
    for name in names {
        let insert = format!("INSERT INTO {MOVE_PROGRESS} (table_name, rows_moved) VALUES ($1, 0)");
        query(AssertSqlSafe(insert))
            .bind(name.clone())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The stored progress of a table. Errors: there is none, among others.
pub(super) async fn progress(to: &Db, table: &SharedTable) -> Result<Progress> {
    let select = format!("SELECT rows_moved, last_key FROM {MOVE_PROGRESS} WHERE table_name = $1");
    let (rows, last_key) = query_as::<_, (i64, Option<String>)>(AssertSqlSafe(select))
        .bind(table.name.clone())
        .fetch_optional(to.reads())
        .await?
        .context("this move was begun by another version: empty --to and start again")?;
    Ok(Progress {
        rows,
        last_key: last_key.map(|key| key_of(table, &key)).transpose()?,
    })
}

fn key_of(table: &SharedTable, kept: &str) -> Result<Vec<Value>> {
    let parts: Vec<serde_json::Value> = serde_json::from_str(kept)?;
    ensure!(parts.len() == table.key.len(), "its key has changed");
    let of = |(index, part): (&usize, serde_json::Value)| {
        Ok(match table.columns[*index].kind {
            Kind::Integer => Value::Integer(serde_json::from_value(part)?),
            _ => Value::Text(serde_json::from_value(part)?),
        })
    };
    table.key.iter().zip(parts).map(of).collect()
}

/// The number of rows of a table.
pub(super) async fn count(conn: &mut Conn, table: &SharedTable) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) AS n FROM {}", table.name);
    query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await
}

/// The next rows after a key, in the order of keys.
pub(super) async fn read(
    conn: &mut Conn,
    table: &SharedTable,
    after: Option<&[Value]>,
    limit: i64,
) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let (columns, key, name) = (table.column_list(), table.key_list(), &table.name);
    let mut select = Statement::new(format!("SELECT {columns} FROM {name} "));
    if let Some(after) = after {
        select.push(format_args!("WHERE ({key}) > "));
        bind_rows(&mut select, [after.to_vec()]).push(" ");
    }
    select.push(format_args!("ORDER BY {key} LIMIT {limit}"));
    let found = select.query()?.fetch_all(conn).await?;
    let row = |row: &AnyRow| {
        let columns = table.columns.iter().enumerate();
        columns
            .map(|(index, column)| Value::read(row, index, &column.kind))
            .collect()
    };
    found.iter().map(row).collect()
}

fn bind_rows(
    statement: &mut Statement,
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> &mut Statement {
    statement.bind_rows(rows, |row, values| {
        for value in values {
            value.bind(row);
        }
    })
}

/// Writes a batch and the progress in one transaction. Errors: another move is running, or the rows
/// violate a constraint.
pub(super) async fn write(
    to: &Db,
    table: &SharedTable,
    before: Progress,
    batch: Vec<Vec<Value>>,
) -> Result<Progress> {
    let after = Progress {
        rows: before.rows + i64::try_from(batch.len())?,
        last_key: batch
            .last()
            .map(|row| table.key.iter().map(|index| row[*index].clone()).collect()),
    };
    let key = after.last_key.iter().flatten().map(Value::json).collect();
    let key = serde_json::Value::Array(key).to_string();
    let (name, rows_after) = (table.name.clone(), after.rows);
    let columns = table.column_list();
    let mut insert = Statement::new(format!("INSERT INTO {name} ({columns}) VALUES "));
    bind_rows(&mut insert, batch);
    to.write(move |conn| {
        Box::pin(async move {
            advance(conn, name, before.rows, rows_after, key).await?;
            insert.query()?.execute(conn).await?;
            anyhow::Ok(())
        })
    })
    .await?;
    Ok(after)
}

async fn advance(
    conn: &mut Conn,
    name: String,
    before: i64,
    after: i64,
    key: String,
) -> Result<()> {
    let update = format!(
        "UPDATE {MOVE_PROGRESS} SET rows_moved = $1, last_key = $2 \
         WHERE table_name = $3 AND rows_moved = $4"
    );
    let done = query(AssertSqlSafe(update))
        .bind(after)
        .bind(key)
        .bind(name)
        .bind(before)
        .execute(conn)
        .await?;
    if done.rows_affected() == 0 {
        bail!("another `stagedoor move` is running");
    }
    Ok(())
}

/// Updates the target's planner statistics. Names each table: without names, PostgreSQL would include
/// system tables and warn about missing permissions.
pub(super) async fn analyze(to: &Db, shared: &[SharedTable]) -> Result<()> {
    let names: Vec<String> = shared.iter().map(|table| table.name.clone()).collect();
    to.write(move |conn| {
        Box::pin(async move {
            for name in names {
                conn.execute(AssertSqlSafe(format!("ANALYZE {name}")))
                    .await?;
            }
            Ok(())
        })
    })
    .await
}

/// Drops the progress table, after which the target can be opened as a shop.
pub(super) async fn drop_progress(to: &Db) -> Result<()> {
    to.write(|conn| {
        Box::pin(async move {
            conn.execute(AssertSqlSafe(format!("DROP TABLE {MOVE_PROGRESS}")))
                .await?;
            Ok(())
        })
    })
    .await
}
