//! Rows on their way: read by key from one database, written to the other, each batch in one
//! transaction with how far it has come.

use super::plan::{MADE_BY_MIGRATIONS, Shared};
use anyhow::{Context, Result, bail, ensure};
use platform::db::{Conn, Db, Kind, MOVE_PROGRESS, RowValues, Statement, tables};
use sqlx::{AssertSqlSafe, Executor, Row, any::AnyRow, query, query_as, query_scalar};

/// What stands in one column of one row.
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

    /// A part of a key, as it is kept.
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Integer(number) => (*number).into(),
            Self::Real(_) | Self::Blob(_) => serde_json::Value::Null,
        }
    }
}

/// How far a table has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many rows are there.
    pub rows: i64,
    /// The key of the last one.
    pub last_key: Option<Vec<Value>>,
}

/// Marks a new target as one that is being filled, or finds that it is ours already.
///
/// Errors: it has rows, and not of a move; or of one that another version began.
pub(super) async fn begin(to: &Db, shared: &[Shared]) -> Result<()> {
    let there = tables(&mut *to.reads().acquire().await?).await?;
    if there.iter().any(|table| table.name == MOVE_PROGRESS) {
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
        let some = conn
            .fetch_optional(AssertSqlSafe(format!("SELECT 1 AS n FROM {name} LIMIT 1")))
            .await?;
        ensure!(some.is_none(), "there are {name} already: it must be empty");
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

/// How far this table has come.
pub(super) async fn progress(to: &Db, table: &Shared) -> Result<Progress> {
    let select = format!("SELECT rows_moved, last_key FROM {MOVE_PROGRESS} WHERE table_name = $1");
    let (rows, last_key) = query_as::<_, (i64, Option<String>)>(AssertSqlSafe(select))
        .bind(table.name.clone())
        .fetch_optional(to.reads())
        .await?
        .context("another version began this move: empty --to, and begin anew")?;
    Ok(Progress {
        rows,
        last_key: last_key.map(|key| key_of(table, &key)).transpose()?,
    })
}

fn key_of(table: &Shared, kept: &str) -> Result<Vec<Value>> {
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

/// How many rows a table has.
pub(super) async fn count(conn: &mut Conn, table: &Shared) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) AS n FROM {}", table.name);
    query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await
}

/// The next rows, in the order of their keys.
pub(super) async fn read(
    conn: &mut Conn,
    table: &Shared,
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

/// Writes a batch and how far the table has come with it, in one transaction.
///
/// Errors: another move is at it; or the rows are there already, or not such as may be there.
pub(super) async fn write(
    to: &Db,
    table: &Shared,
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
            go_on(conn, name, before.rows, rows_after, key).await?;
            insert.query()?.execute(conn).await?;
            anyhow::Ok(())
        })
    })
    .await?;
    Ok(after)
}

async fn go_on(conn: &mut Conn, name: String, before: i64, after: i64, key: String) -> Result<()> {
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
        bail!("another `stagedoor move` is at it");
    }
    Ok(())
}

/// Lets the target's planner know what it has. Each table by its name: of all, PostgreSQL would go
/// through its own as well, and warn of those that their owner alone may look at.
pub(super) async fn analyze(to: &Db, shared: &[Shared]) -> Result<()> {
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

/// The target is a shop from now on.
pub(super) async fn end(to: &Db) -> Result<()> {
    to.write(|conn| {
        Box::pin(async move {
            conn.execute(AssertSqlSafe(format!("DROP TABLE {MOVE_PROGRESS}")))
                .await?;
            Ok(())
        })
    })
    .await
}
