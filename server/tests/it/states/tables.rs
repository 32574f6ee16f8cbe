//! Compares what no answer shows: the ledger, frozen tickets, and the invariants of the tables.

use super::{
    elsewhere::Books,
    model::{TicketNo, World},
};
use crate::support::{App, sound::UNSOUND};
use platform::clock::Clock;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use stagedoor::audit::{Provider, Verdict, audit};
use std::{collections::BTreeSet, sync::LazyLock};

/// All checks of invariants in one statement, which is run after each move.
static FINDS: LazyLock<String> = LazyLock::new(|| {
    let each: Vec<String> = UNSOUND
        .iter()
        .map(|(broken, sql)| format!("SELECT '{broken}' AS broken, found.n FROM ({sql}) AS found"))
        .collect();
    format!(
        "SELECT broken, n FROM ({}) AS found WHERE n <> 0",
        each.join(" UNION ALL ")
    )
});

const BOOKS: &str =
    "SELECT account, CAST(SUM(amount_minor) AS BIGINT) AS n FROM ledger GROUP BY account";

/// Compares the tables with the model.
pub async fn agree(app: &App, tickets: &[Value], world: &World) {
    let db = app.db.reads();
    let broken = sqlx::query(AssertSqlSafe(FINDS.as_str()))
        .fetch_all(db)
        .await
        .unwrap();
    let broken: Vec<String> = broken.iter().map(|row| row.get("broken")).collect();
    assert!(broken.is_empty(), "{broken:?}");
    let mut books = Books::default();
    for row in sqlx::query(BOOKS).fetch_all(db).await.unwrap() {
        let (account, sum): (String, i64) = (row.get("account"), row.get("n"));
        match account.as_str() {
            "provider" => books.at_stripe = sum,
            "seller" => books.owed_to_seller = -sum,
            _ => books.unallocated = sum,
        }
    }
    let promised = world.books;
    assert!(
        books == promised,
        "the books say {books:?}, promised was {promised:?}"
    );
    let frozen = sqlx::query("SELECT id FROM tickets WHERE frozen = 1")
        .fetch_all(db)
        .await
        .unwrap();
    let frozen: BTreeSet<String> = frozen.iter().map(|row| row.get("id")).collect();
    let is_frozen = |number: &TicketNo| frozen.contains(tickets[*number]["id"].as_str().unwrap());
    let frozen: Vec<TicketNo> = (0..tickets.len()).filter(is_frozen).collect();
    let promised: Vec<TicketNo> = (0..tickets.len())
        .filter(|number| world.is_frozen(*number))
        .collect();
    assert!(
        frozen == promised,
        "frozen are {frozen:?}, promised was {promised:?}"
    );
}

/// Runs the audit command.
pub async fn assert_audited(app: &App) {
    let journal = Provider::Journal(app.journal());
    let report = audit(&app.db, journal, app.clock.now()).await.unwrap();
    assert!(report.verdict == Verdict::Holds, "the audit says {report}");
}
