//! Reads generic query plans, which do not depend on parameters, and finds full scans of large tables and indexes
//! in them.

use platform::db::Engine;
use sqlx::{AnyConnection, AssertSqlSafe, Executor, Row};
use std::collections::BTreeMap;

/// The smallest number of rows of a large table.
const LARGE_ROWS: i64 = 5000;

/// The large tables and indexes of a database, with their numbers of rows.
pub struct LargeTables {
    engine: Engine,
    rows: BTreeMap<String, i64>,
}

impl LargeTables {
    /// Requires current statistics in the database.
    pub async fn read(conn: &mut AnyConnection, engine: Engine) -> Self {
        let mut large = Self {
            engine,
            rows: BTreeMap::new(),
        };
        match engine {
            Engine::Sqlite => {
                // The table itself, or its largest index.
                for row in all(conn, "SELECT tbl, idx, stat FROM sqlite_stat1").await {
                    let stat: String = row.get("stat");
                    let rows: i64 = stat.split(' ').next().unwrap().parse().unwrap();
                    let index: Option<String> = row.get("idx");
                    let table_rows = large.rows.entry(row.get("tbl")).or_default();
                    *table_rows = rows.max(*table_rows);
                    large.rows.extend(index.map(|index| (index, rows)));
                }
            }
            Engine::Postgres => {
                let sql = "SELECT CAST(relname AS TEXT) AS name, CAST(reltuples AS BIGINT) AS n \
                     FROM pg_class WHERE relkind IN ('r', 'i')";
                for row in all(conn, sql).await {
                    large.rows.insert(row.get("name"), row.get("n"));
                }
            }
        }
        large.rows.retain(|_, rows| *rows >= LARGE_ROWS);
        large
    }

    pub fn has(&self, name: &str) -> bool {
        self.rows.contains_key(name)
    }

    /// The full scans of a statement, and its plan.
    pub async fn scans(&self, conn: &mut AnyConnection, sql: &str) -> (Vec<String>, String) {
        let plan = match self.engine {
            Engine::Sqlite => plan_of_sqlite(conn, sql).await,
            Engine::Postgres => plan_of_postgres(conn, sql).await,
        };
        (self.scans_in_plan(&plan, sql), plan)
    }

    /// The full scans in this plan.
    pub fn scans_in_plan(&self, plan: &str, sql: &str) -> Vec<String> {
        let lines: Vec<&str> = plan.lines().collect();
        match self.engine {
            Engine::Sqlite => self.sqlite_scans(&lines, sql),
            Engine::Postgres => self.postgres_scans(&lines),
        }
    }

    /// `SCAN t` or `SCAN t USING INDEX i`, where t is the alias in the statement.
    fn sqlite_scans(&self, plan: &[&str], sql: &str) -> Vec<String> {
        let scans = plan.iter().filter_map(|line| line.strip_prefix("SCAN "));
        scans
            .filter_map(|scan| {
                let mut words = scan.split(' ');
                let table = table_with_alias(sql, words.next()?);
                let index = scan
                    .split_once(" INDEX ")
                    .map(|(_, index)| index.to_owned());
                let through = index.unwrap_or_else(|| table.clone());
                self.has(&through).then(|| format!("{table} by {through}"))
            })
            .collect()
    }

    /// `Seq Scan`, or an index scan without a condition.
    fn postgres_scans(&self, plan: &[&str]) -> Vec<String> {
        let mut scanned = Vec::new();
        for (number, line) in plan.iter().enumerate() {
            let word_after = |before: &str| {
                let (_, after) = line.split_once(before)?;
                after.split_whitespace().next().map(str::to_owned)
            };
            if let Some(table) = word_after("Seq Scan on ") {
                scanned.extend(self.has(&table).then(|| format!("{table} by {table}")));
            }
            let index = word_after(" using ").or_else(|| word_after("Bitmap Index Scan on "));
            let details = plan[number + 1..]
                .iter()
                .take_while(|line| !line.contains("->"));
            let has_condition = details.into_iter().any(|line| line.contains("Index Cond:"));
            if let Some(index) = index.filter(|index| !has_condition && self.has(index)) {
                let table = word_after(" on ").unwrap_or_default();
                scanned.push(format!("{table} by {index}"));
            }
        }
        scanned
    }
}

async fn all(conn: &mut AnyConnection, sql: &str) -> Vec<sqlx::any::AnyRow> {
    let found = conn.fetch_all(AssertSqlSafe(sql.to_owned())).await;
    found.unwrap_or_else(|error| panic!("{error}: {sql}"))
}

pub async fn plan_of_sqlite(conn: &mut AnyConnection, sql: &str) -> String {
    let rows = all(conn, &format!("EXPLAIN QUERY PLAN {sql}")).await;
    let lines: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    lines.join("\n")
}

/// The generic plan, which PostgreSQL uses for prepared statements that run often.
async fn plan_of_postgres(conn: &mut AnyConnection, sql: &str) -> String {
    all(conn, "SET plan_cache_mode = 'force_generic_plan'").await;
    let count = parameters(sql);
    prepare(conn, sql, count).await;
    let execute = format!("EXECUTE plan{}", in_parentheses(&vec!["NULL"; count]));
    let rows = all(conn, &format!("EXPLAIN (COSTS OFF) {execute}")).await;
    all(conn, "DEALLOCATE plan").await;
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

/// Prepares a statement. A parameter whose type PostgreSQL cannot infer is declared as text, or as a number if
/// that fails.
async fn prepare(conn: &mut AnyConnection, sql: &str, count: usize) {
    let mut kinds = vec!["unknown"; count];
    loop {
        let prepare = format!("PREPARE plan{} AS {sql}", in_parentheses(&kinds));
        let Err(error) = conn.execute(AssertSqlSafe(prepare)).await else {
            return;
        };
        let error = error.to_string();
        let unknown_type = error.split("data type of parameter $").nth(1);
        let number =
            unknown_type.and_then(|number| number.split(' ').next()?.parse::<usize>().ok());
        if let Some(number) = number {
            kinds[number - 1] = "text";
        } else if let Some(text) = kinds.iter_mut().find(|kind| **kind == "text") {
            *text = "bigint";
        } else {
            panic!("{error}: {sql}");
        }
    }
}

fn in_parentheses(words: &[&str]) -> String {
    if words.is_empty() {
        return String::new();
    }
    format!("({})", words.join(", "))
}

/// The greatest n of `$n`.
fn parameters(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).filter_map(|after| {
        let digits = after.split(|letter: char| !letter.is_ascii_digit()).next();
        digits?.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// The table with this alias in a statement: `FROM orders o`, `orders AS o`.
fn table_with_alias(sql: &str, name: &str) -> String {
    let words: Vec<&str> = sql
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty() && *word != "AS")
        .collect();
    let named = words
        .windows(3)
        .find(|three| matches!(three[0], "FROM" | "JOIN" | "UPDATE" | "INTO") && three[2] == name);
    named.map_or(name, |three| three[1]).to_owned()
}

#[test]
fn a_table_is_found_by_its_alias() {
    let sql = "SELECT 1 FROM orders o JOIN order_lines AS l ON l.order_id = o.id WHERE o.id = $12";
    assert_eq!(table_with_alias(sql, "o"), "orders");
    assert_eq!(table_with_alias(sql, "l"), "order_lines");
    assert_eq!(table_with_alias(sql, "tickets"), "tickets");
    assert_eq!(parameters(sql), 12);
}
