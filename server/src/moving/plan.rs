//! What is moved: the tables and columns that both databases have, in an order in which every row
//! finds those that it refers to. Reads nothing.

use super::BATCH_MAX;
use anyhow::{Result, bail, ensure};
use platform::db::{Column, Kind, MOVE_PROGRESS, Table};

/// Whose rows a migration has made, so that a new database has some already. Theirs come from the
/// source as well.
pub const MADE_BY_MIGRATIONS: &[&str] = &[];
/// Of the migrations' own bookkeeping, each database keeps its own.
const MIGRATIONS: &str = "_sqlx_migrations";
/// PostgreSQL takes 65 535 values in a statement, SQLite 32 766.
const VALUES_MAX: usize = 30_000;
/// Pictures are large.
const ROWS_OF_BYTES_MAX: i64 = 8;

/// A table that both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What it is called.
    pub name: String,
    /// The columns that both have, in the source's order.
    pub columns: Vec<Column>,
    /// Where in them those of the primary key are, in its order.
    pub key: Vec<usize>,
}

impl Shared {
    /// How many rows at once, if `most` are asked for.
    pub(super) fn batch(&self, most: i64) -> i64 {
        let fit = i64::try_from(VALUES_MAX / self.columns.len()).unwrap_or(1);
        let most = most.min(fit).clamp(1, BATCH_MAX);
        if self.columns.iter().any(|column| column.kind == Kind::Blob) {
            most.min(ROWS_OF_BYTES_MAX)
        } else {
            most
        }
    }

    /// Its columns, as a statement names them.
    pub(super) fn column_list(&self) -> String {
        list(self.columns.iter())
    }

    /// Those of its key.
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

/// What `source` and `target` have in common. What only one of them has is its engine's own.
///
/// Errors: what they have in common differs, or cannot be moved.
pub(super) fn shared(source: Vec<Table>, target: &[Table]) -> Result<Vec<Shared>> {
    let mut waiting: Vec<Table> = source
        .into_iter()
        .filter(|table| table.name != MIGRATIONS && table.name != MOVE_PROGRESS)
        .filter(|table| target.iter().any(|other| other.name == table.name))
        .collect();
    let mut placed: Vec<Shared> = Vec::new();
    while !waiting.is_empty() {
        // A table that refers to itself is moved in the order of its keys, which are given by time.
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
            placed.push(in_common(table, other)?);
        }
    }
    Ok(placed)
}

/// Asserts that a target has no tables but those of a shop: what else is there would go on being
/// written by somebody else, and be taken for a part of the shop by backups.
pub(super) fn assert_only_ours(source: &[Table], target: &[Table]) -> Result<()> {
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

fn in_common(table: Table, other: &Table) -> Result<Shared> {
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
        if let Kind::Other(words) = &column.kind {
            bail!("{what} is of the kind {words}, which cannot be moved");
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
            "{name}: a key of {:?} cannot be gone by",
            shared[*index].kind
        );
    }
    Ok(Shared {
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
    fn a_table_comes_after_those_that_it_refers_to() {
        let both = vec![
            table("a", &["c", "a"], Kind::Text),
            table("b", &[], Kind::Text),
            table("c", &["b"], Kind::Text),
            table("only_here", &[], Kind::Text),
        ];
        let order: Vec<String> = shared(both.clone(), &both[..3])
            .unwrap()
            .into_iter()
            .map(|table| table.name)
            .collect();
        assert_eq!(order, ["b", "c", "a"]);
        let circle = vec![
            table("a", &["b"], Kind::Text),
            table("b", &["a"], Kind::Text),
        ];
        assert!(shared(circle.clone(), &circle).is_err());
    }

    #[test]
    fn what_cannot_be_moved_is_said() {
        let refused =
            |one: Table, other: Table| shared(vec![one], &[other]).unwrap_err().to_string();
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
    fn a_batch_fits_into_a_statement_and_pictures_into_memory() {
        let both = [table("a", &[], Kind::Text)];
        let shared_table = &shared(both.to_vec(), &both).unwrap()[0];
        assert_eq!(shared_table.batch(1_000_000), BATCH_MAX);
        assert_eq!(shared_table.batch(0), 1);
        let both = [table("a", &[], Kind::Blob)];
        let with_bytes = &shared(both.to_vec(), &both).unwrap()[0];
        assert_eq!(with_bytes.batch(500), ROWS_OF_BYTES_MAX);
    }
}
