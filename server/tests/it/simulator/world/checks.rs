//! Checks of the invariants.

use super::World;
use crate::support::{
    order_steps,
    sound::{self, OWED},
};
use platform::clock::Clock;
use stagedoor::audit::{Provider, Verdict, audit};

impl World {
    /// Checks the invariants that always hold.
    pub async fn check_always(&self) -> Result<(), String> {
        let mut found = sound::violations(self.db.reads(), self.clock.now()).await;
        found.extend(order_steps::find_illegal(&self.db).await);
        if found.is_empty() {
            Ok(())
        } else {
            Err(found.join("\n"))
        }
    }

    /// Checks the invariants that hold once no work is pending.
    pub async fn check_quiescent(&self) -> Result<(), String> {
        self.check_always().await?;
        for (violation, sql) in [
            (
                "an order is not in a final state",
                "SELECT COUNT(*) AS n FROM orders WHERE status IN \
                 ('created', 'awaiting_payment', 'capturing', 'refunding')",
            ),
            (
                "a call is still pending",
                "SELECT COUNT(*) AS n FROM payment_effects WHERE state = 'pending'",
            ),
        ] {
            if self.query_number(sql).await != 0 {
                return Err(violation.to_owned());
            }
        }
        let journal = self.double.journal();
        let kept: i64 = journal
            .iter()
            .map(|line| line.amount_received - line.amount_refunded)
            .sum();
        let owed = format!("SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM ({OWED}) AS owed");
        let owed = self.query_number(&owed).await;
        if kept != owed {
            return Err(format!(
                "the amounts at Stripe and of the orders differ: {kept} and {owed}"
            ));
        }
        let mut lines = journal.iter();
        if let Some(line) = lines.find(|line| line.status == "requires_capture") {
            return Err(format!("{} is still authorised", line.id));
        }
        let now = self.clock.now();
        let report = audit(&self.db, Provider::Journal(journal), now).await;
        let report = report.unwrap();
        if report.verdict == Verdict::Holds {
            return Ok(());
        }
        Err(format!("the audit: {report}"))
    }
}
