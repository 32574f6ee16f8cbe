//! Work that waits in the database: unpaid orders that are overdue, calls to the provider, webhooks, mails and
//! incidents.
//!
//! Gauges show the length and age of each backlog; the audit warns of rows that wait for too long. Each query uses
//! an index, so it is cheap however large the shop is.

use std::time::Duration;

/// A backlog.
pub(crate) struct Backlog {
    /// The gauge of the number of rows.
    pub(crate) waiting: &'static str,
    /// The gauge of the age of the oldest row, in seconds.
    pub(crate) oldest: &'static str,
    /// The table with the condition of waiting rows.
    rows: &'static str,
    /// The time since when a row waits.
    since: &'static str,
    pub(crate) warning: Option<Warning>,
}

/// When and how the audit warns of a row.
pub(crate) struct Warning {
    /// The kind of object that the row is.
    pub(crate) about: &'static str,
    /// Its identifier and a description of it, as SQL.
    id: &'static str,
    detail: &'static str,
    pub(crate) after: Duration,
}

pub(crate) const BACKLOGS: [Backlog; 5] = [
    // The audit reports overdue orders as violations of I8.
    Backlog {
        waiting: "stagedoor_holds_overdue",
        oldest: "stagedoor_holds_overdue_seconds",
        rows: "orders WHERE status IN ('created', 'awaiting_payment')",
        since: "hold_until",
        warning: None,
    },
    Backlog {
        waiting: "stagedoor_effects_waiting",
        oldest: "stagedoor_effects_oldest_seconds",
        rows: "payment_effects WHERE state = 'pending'",
        // Not `next_at`: each try postpones it, so a call that fails for hours would never be old.
        since: "created_at",
        warning: Some(Warning {
            about: "call",
            id: "id",
            detail: "kind || ' of payment ' || payment_id || COALESCE(', ' || last_error, '')",
            after: Duration::from_mins(10),
        }),
    },
    Backlog {
        waiting: "stagedoor_inbox_waiting",
        oldest: "stagedoor_inbox_oldest_seconds",
        rows: "stripe_inbox WHERE processed_at IS NULL",
        since: "received_at",
        warning: Some(Warning {
            about: "webhook",
            id: "event_id",
            detail: "type",
            after: Duration::from_mins(10),
        }),
    },
    Backlog {
        waiting: "stagedoor_mails_waiting",
        oldest: "stagedoor_mails_oldest_seconds",
        rows: "mails WHERE state = 'pending'",
        // A mail that was not tried yet may be scheduled for later.
        since: "CASE WHEN tries > 0 THEN created_at ELSE next_at END",
        warning: Some(Warning {
            about: "mail",
            id: "id",
            detail: "kind || COALESCE(', ' || last_error, '')",
            after: Duration::from_mins(10),
        }),
    },
    Backlog {
        waiting: "stagedoor_incidents_open",
        oldest: "stagedoor_incidents_oldest_seconds",
        rows: "incidents WHERE settled_at IS NULL",
        since: "found_at",
        warning: None,
    },
];

impl Backlog {
    /// Selects the number of rows and the time of the oldest; `$1` is the present.
    pub(crate) fn size_sql(&self) -> String {
        let Self { rows, since, .. } = self;
        format!("SELECT COUNT(*) AS rows, MIN({since}) AS since FROM {rows} AND {since} <= $1")
    }

    /// Selects `id` and `detail` of the rows that have waited since before `$1`.
    pub(crate) fn late_sql(&self, warning: &Warning) -> String {
        let Self { rows, since, .. } = self;
        let Warning { id, detail, .. } = warning;
        format!("SELECT {id} AS id, {detail} AS detail FROM {rows} AND {since} < $1")
    }
}
