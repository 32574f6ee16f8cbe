//! Plans a move: the tables and columns that both databases have, in an order that satisfies foreign keys.
//! Does not access the databases.

use super::BATCH_MAX;
use anyhow::{Result, bail, ensure};
use platform::db::{Column, Kind, MOVE_PROGRESS, Table};

/// Tables into which migrations insert rows. In the target these are deleted and replaced by the rows of
/// the source.
pub const MADE_BY_MIGRATIONS: &[&str] = &[];
/// The record of applied migrations, which is not moved.
const MIGRATIONS: &str = "_sqlx_migrations";
/// PostgreSQL allows 65 535 values in a statement, SQLite 32 766.
const VALUES_MAX: usize = 30_000;
/// The most rows of a table with pictures, which are large.
const ROWS_OF_BYTES_MAX: i64 = 8;

/// A table that both databases have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedTable {
    pub name: String,
    /// The columns that both have, in the source's order.
    pub columns: Vec<Column>,
    /// The positions in `columns` of the primary key's columns, in its order.
    pub key: Vec<usize>,
}

impl SharedTable {
    /// The number of rows in a batch, at most `most`.
    pub(super) fn batch(&self, most: i64) -> i64 {
        let fit = i64::try_from(VALUES_MAX / self.columns.len()).unwrap_or(1);
        let most = most.min(fit).clamp(1, BATCH_MAX);
        if self.columns.iter().any(|column| column.kind == Kind::Blob) {
            most.min(ROWS_OF_BYTES_MAX)
        } else {
            most
        }
    }

    /// The columns for a statement.
    pub(super) fn column_list(&self) -> String {
        list(self.columns.iter())
    }

    /// The columns of the key for a statement.
    pub(super) fn key_list(&self) -> String {
        list(self.key.iter().map(|index| &self.columns[*index]))
    }
}

fn list<'c>(columns: impl Iterator<Item = &'c Column>) -> String {
    let quoted: Vec<String> = columns
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    quoted.join(", ")
}

/// The tables that both have, ordered so that referenced tables come first. Tables and columns that only
/// one has are internal to its engine. Errors: a shared column differs, or cannot be moved.
pub(super) fn shared_tables(source: Vec<Table>, target: &[Table]) -> Result<Vec<SharedTable>> {
    let mut waiting: Vec<Table> = source
        .into_iter()
        .filter(|table| table.name != MIGRATIONS && table.name != MOVE_PROGRESS)
        .filter(|table| target.iter().any(|other| other.name == table.name))
        .collect();
    let mut placed: Vec<SharedTable> = Vec::new();
    while !waiting.is_empty() {
        // A table that refers to itself is moved in the order of its keys, which is that of creation.
        let ready = waiting.iter().position(|table| {
            let others = waiting.iter().filter(|other| other.name != table.name);
            others
                .into_iter()
                .all(|other| !table.refers_to.contains(&other.name))
        });
        let Some(ready) = ready else {
            let names: Vec<&str> = waiting.iter().map(|table| table.name.as_str()).collect();
            bail!(
                "tables refer to each other in a circle: {}",
                names.join(", ")
            );
        };
        let table = waiting.remove(ready);
        if let Some(other) = target.iter().find(|other| other.name == table.name) {
            placed.push(shared_columns(table, other)?);
        }
    }
    Ok(placed)
}

/// Errors: the target has tables that are not of a shop. These would be in use by another program, and be
/// included in the shop's backups.
pub(super) fn assert_no_foreign_tables(source: &[Table], target: &[Table]) -> Result<()> {
    let foreign: Vec<&str> = target
        .iter()
        .map(|table| table.name.as_str())
        .filter(|name| *name != MIGRATIONS && *name != MOVE_PROGRESS)
        .filter(|name| !source.iter().any(|table| table.name == *name))
        .collect();
    ensure!(
        foreign.is_empty(),
        "there are tables of something else ({}): a shop needs a database of its own",
        foreign.join(", ")
    );
    Ok(())
}

fn shared_columns(table: Table, other: &Table) -> Result<SharedTable> {
    let Table { name, columns, .. } = table;
    let mut shared = Vec::new();
    for column in columns {
        let Some(same) = other.columns.iter().find(|same| same.name == column.name) else {
            continue;
        };
        let what = format!("{name}.{}", column.name);
        ensure!(
            *same == column,
            "{what} is not the same in both: {column:?}, {same:?}"
        );
        if let Kind::Other(type_name) = &column.kind {
            bail!("{what} has the type {type_name}, which cannot be moved");
        }
        shared.push(column);
    }
    let mut key: Vec<usize> = (0..shared.len())
        .filter(|index| shared[*index].key_place > 0)
        .collect();
    key.sort_by_key(|index| shared[*index].key_place);
    ensure!(!key.is_empty(), "{name} has no primary key");
    for index in &key {
        ensure!(
            matches!(shared[*index].kind, Kind::Text | Kind::Integer),
            "{name}: a primary key of the type {:?} is not supported",
            shared[*index].kind
        );
    }
    Ok(SharedTable {
        name,
        columns: shared,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, refers_to: &[&str], kind: Kind) -> Table {
        let column = |name: &str, kind, key_place| Column {
            name: name.to_owned(),
            kind,
            key_place,
        };
        Table {
            name: name.to_owned(),
            columns: vec![column("id", Kind::Text, 1), column("what", kind, 0)],
            refers_to: refers_to.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn referenced_tables_come_first() {
        let both = vec![
            table("a", &["c", "a"], Kind::Text),
            table("b", &[], Kind::Text),
            table("c", &["b"], Kind::Text),
            table("only_here", &[], Kind::Text),
        ];
        let order: Vec<String> = shared_tables(both.clone(), &both[..3])
            .unwrap()
            .into_iter()
            .map(|table| table.name)
            .collect();
        assert_eq!(order, ["b", "c", "a"]);
        let circle = vec![
            table("a", &["b"], Kind::Text),
            table("b", &["a"], Kind::Text),
        ];
        assert!(shared_tables(circle.clone(), &circle).is_err());
    }

    #[test]
    fn tables_that_cannot_be_moved_are_named() {
        let refused =
            |one: Table, other: Table| shared_tables(vec![one], &[other]).unwrap_err().to_string();
        let text = table("a", &[], Kind::Text);
        let number = table("a", &[], Kind::Integer);
        assert!(refused(text.clone(), number).starts_with("a.what is not the same in both"));
        let vector = table("a", &[], Kind::Other("tsvector".to_owned()));
        assert!(refused(vector.clone(), vector).contains("tsvector"));
        let mut keyless = text.clone();
        keyless.columns[0].key_place = 0;
        assert_eq!(refused(keyless.clone(), keyless), "a has no primary key");
    }

    #[test]
    fn batches_are_limited_by_values_and_pictures() {
        let both = [table("a", &[], Kind::Text)];
        let shared_table = &shared_tables(both.to_vec(), &both).unwrap()[0];
        assert_eq!(shared_table.batch(1_000_000), BATCH_MAX);
        assert_eq!(shared_table.batch(0), 1);
        let both = [table("a", &[], Kind::Blob)];
        let with_bytes = &shared_tables(both.to_vec(), &both).unwrap()[0];
        assert_eq!(with_bytes.batch(500), ROWS_OF_BYTES_MAX);
    }
}
