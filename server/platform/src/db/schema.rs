//! Reads the tables of a database from the database itself, so that new migrations are covered without
//! a list of names. Changes nothing.

use super::{Conn, engine_of};
use sqlx::{query_as, query_scalar};
use sqlx_macros::FromRow;
use std::collections::BTreeSet;

/// The table with the progress of `stagedoor move`, in its target until the move is finished.
pub const MOVE_PROGRESS: &str = "move_progress";

/// A table that the shop writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// In the order of the schema.
    pub columns: Vec<Column>,
    /// The tables that its foreign keys refer to.
    pub refers_to: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// Its position in the primary key, from 1; 0 if it is not part of it.
    pub key_place: i64,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// BIGINT or smaller.
    Integer,
    Real,
    Blob,
    /// Any other type, by the engine's name.
    Other(String),
}

impl Kind {
    fn of(type_name: String) -> Self {
        match type_name.as_str() {
            "text" | "character varying" => Self::Text,
            "bigint" | "integer" | "smallint" => Self::Integer,
            "double precision" | "real" => Self::Real,
            "blob" | "bytea" => Self::Blob,
            _ => Self::Other(type_name),
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

/// Whether the database has a table of this name.
pub async fn has_table(conn: &mut Conn, name: &str) -> Result<bool, sqlx::Error> {
    let count: i64 = query_scalar(engine_of(conn).has_table())
        .bind(name.to_owned())
        .fetch_one(conn)
        .await?;
    Ok(count > 0)
}

/// All tables except those that the engine fills itself, sorted by name.
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
