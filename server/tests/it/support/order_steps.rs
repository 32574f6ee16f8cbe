//! Records every change of an order's state by a trigger, and checks it against the table of transitions. Only on
//! SQLite.

use platform::db::{Db, Engine};
use shop::orders::state::{State, has_transition};
use sqlx::{AssertSqlSafe, Row};

/// Starts recording.
pub async fn watch(db: &Db) {
    for sql in [
        "CREATE TABLE IF NOT EXISTS order_steps (was TEXT NOT NULL, became TEXT NOT NULL)",
        "CREATE TRIGGER IF NOT EXISTS order_steps AFTER UPDATE OF status ON orders \
         WHEN OLD.status <> NEW.status \
         BEGIN INSERT INTO order_steps VALUES (OLD.status, NEW.status); END",
    ] {
        let done = db.write(move |conn| {
            Box::pin(async move {
                sqlx::query(AssertSqlSafe(sql))
                    .execute(conn)
                    .await
                    .map(|_| ())
            })
        });
        done.await.unwrap();
    }
}

/// A recorded change that no transition allows. Always `None` on PostgreSQL.
pub async fn find_illegal(db: &Db) -> Option<String> {
    if db.engine() != Engine::Sqlite {
        return None;
    }
    let rows = sqlx::query("SELECT DISTINCT was, became FROM order_steps")
        .fetch_all(db.reads())
        .await
        .unwrap();
    rows.iter().find_map(|row| {
        let state = |column: &str| row.get::<String, _>(column).parse::<State>().unwrap();
        let (was, became) = (state("was"), state("became"));
        (!has_transition(was, became)).then(|| format!("an order changed from {was} to {became}"))
    })
}
