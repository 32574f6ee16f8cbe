//! Compares data that is not in answers: the ledger and frozen tickets. Also checks the invariants of the
//! tables.

use super::{
    elsewhere::Balances,
    model::{TicketNo, World},
};
use crate::support::{App, sound};
use platform::clock::Clock;
use serde_json::Value;
use sqlx::Row;
use stagedoor::audit::{Provider, Verdict, audit};
use std::collections::BTreeSet;

const BALANCES: &str =
    "SELECT account, CAST(SUM(amount_minor) AS BIGINT) AS n FROM ledger GROUP BY account";

/// Compares the tables with the model.
pub async fn assert_agree(app: &App, tickets: &[Value], world: &World) {
    let db = app.db.reads();
    sound::assert_tables(db, app.clock.now()).await;
    let mut balances = Balances::default();
    for row in sqlx::query(BALANCES).fetch_all(db).await.unwrap() {
        let (account, sum): (String, i64) = (row.get("account"), row.get("n"));
        match account.as_str() {
            "provider" => balances.at_stripe = sum,
            "seller" => balances.owed_to_seller = -sum,
            _ => balances.unallocated = sum,
        }
    }
    let expected = world.balances;
    assert!(
        balances == expected,
        "the ledger has {balances:?}, expected {expected:?}"
    );
    let frozen = sqlx::query("SELECT id FROM tickets WHERE frozen = 1")
        .fetch_all(db)
        .await
        .unwrap();
    let frozen: BTreeSet<String> = frozen.iter().map(|row| row.get("id")).collect();
    let is_frozen = |number: &TicketNo| frozen.contains(tickets[*number]["id"].as_str().unwrap());
    let frozen: Vec<TicketNo> = (0..tickets.len()).filter(is_frozen).collect();
    let expected: Vec<TicketNo> = (0..tickets.len())
        .filter(|number| world.is_frozen(*number))
        .collect();
    assert!(
        frozen == expected,
        "tickets {frozen:?} are frozen, expected {expected:?}"
    );
}

/// Runs the audit command.
pub async fn assert_audited(app: &App) {
    let journal = Provider::Journal(app.journal());
    let report = audit(&app.db, journal, app.clock.now()).await.unwrap();
    assert!(report.verdict == Verdict::Holds, "the audit says {report}");
}
