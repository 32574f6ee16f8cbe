//! What tables a database has, asked of the database itself: what a migration adds is here without
//! being named anywhere. Changes nothing.

use super::{Conn, engine_of};
use sqlx::query_as;
use sqlx_macros::FromRow;
use std::collections::BTreeSet;

/// How far `stagedoor move` has come, in the database that it fills; gone once that is done.
pub const MOVE_PROGRESS: &str = "move_progress";

/// A table that the shop writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it is called.
    pub name: String,
    /// In their order.
    pub columns: Vec<Column>,
    /// Tables that its rows refer to.
    pub refers_to: BTreeSet<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// What is in it.
    pub kind: Kind,
    /// Its place within the primary key, from 1 on; 0 if it is not of it.
    pub key_place: i64,
}

/// What is in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// TEXT.
    Text,
    /// BIGINT, and what is smaller.
    Integer,
    /// Floating point.
    Real,
    /// Bytes.
    Blob,
    /// Something else, in the engine's words.
    Other(String),
}

impl Kind {
    fn of(words: String) -> Self {
        match words.as_str() {
            "text" | "character varying" => Self::Text,
            "bigint" | "integer" | "smallint" => Self::Integer,
            "double precision" | "real" => Self::Real,
            "blob" | "bytea" => Self::Blob,
            _ => Self::Other(words),
        }
    }
}

#[derive(FromRow)]
struct ColumnRow {
    table_name: String,
    column_name: String,
    kind: String,
    key_place: i64,
}

/// All tables but those that the engine fills by itself, in the order of their names.
pub async fn tables(conn: &mut Conn) -> Result<Vec<Table>, sqlx::Error> {
    let engine = engine_of(conn);
    let mut tables: Vec<Table> = Vec::new();
    let columns = query_as::<_, ColumnRow>(engine.columns());
    for row in columns.fetch_all(&mut *conn).await? {
        let name = row.table_name;
        let column = Column {
            name: row.column_name,
            kind: Kind::of(row.kind),
            key_place: row.key_place,
        };
        match tables.last_mut() {
            Some(last) if last.name == name => last.columns.push(column),
            _ => tables.push(Table {
                name,
                columns: vec![column],
                refers_to: BTreeSet::new(),
            }),
        }
    }
    let references = query_as::<_, (String, String)>(engine.references());
    for (name, refers_to) in references.fetch_all(conn).await? {
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.refers_to.insert(refers_to);
        }
    }
    Ok(tables)
}
