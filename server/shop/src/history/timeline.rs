//! Derives the entries of an order's timeline from its domain events, declined cards and refunds.

use crate::{
    payments::declines,
    refunds::store::{self as refunds, RefundRow, State},
};
use model::{
    Moment,
    ids::OrderId,
    orders::{Happening, TimelineEntry},
};
use platform::outbox::EventType;
use sqlx::{AnyPool, query_as};

/// A domain event: time, type and data. The type is text because a newer version may have added one.
type EventRow = (Moment, String, String);

/// All entries of the order's timeline, oldest first.
pub async fn list(reads: &AnyPool, order: OrderId) -> Result<Vec<TimelineEntry>, sqlx::Error> {
    let rows: Vec<EventRow> = query_as(
        "SELECT occurred_at, type, data FROM outbox WHERE aggregate_id = $1 ORDER BY version",
    )
    .bind(order)
    .fetch_all(reads)
    .await?;
    let mut entries = event_entries(&rows);
    for refund in refunds::list_for_order(reads, order).await? {
        entries.extend(refund_entries(&refund));
    }
    for decline in declines::list_for_order(reads, order).await? {
        entries.push(TimelineEntry {
            at: decline.at.timestamp(),
            what: Happening::Declined,
            amount_minor: None,
            reason: declines::reason(&decline.code).map(str::to_owned),
        });
    }
    entries.sort_by_key(|entry| entry.at);
    Ok(entries)
}

/// Each event has the order's status after a change; a change of the status makes an entry.
fn event_entries(rows: &[EventRow]) -> Vec<TimelineEntry> {
    let mut previous_status = String::new();
    let mut expires_at = serde_json::Value::Null;
    let mut entries = Vec::new();
    for (at, kind, data) in rows {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let status = data["status"].as_str().unwrap_or_default().to_owned();
        // Only an extension of the hold changes it.
        let extended = !expires_at.is_null() && expires_at != data["expiresAt"];
        expires_at = data["expiresAt"].clone();
        let what = match (kind.parse().ok(), status.as_str()) {
            (Some(EventType::OrderCreated), _) => Some(Happening::Reserved),
            _ if extended => Some(Happening::MoreTime),
            (Some(EventType::OrderExpired), _) => Some(Happening::Expired),
            (Some(EventType::OrderCancelled), _) => Some(Happening::Cancelled),
            (_, "awaiting_payment") if previous_status == "expired" => Some(Happening::Revived),
            (_, "awaiting_payment") if previous_status == "created" => {
                Some(Happening::PaymentBegun)
            }
            // After a failed refund the order is complete again; the refund has its own entry.
            (_, "complete") if !matches!(previous_status.as_str(), "complete" | "refunded") => {
                Some(Happening::Paid)
            }
            _ => None,
        };
        if let Some(what) = what {
            let has_amount = matches!(what, Happening::Paid);
            entries.push(TimelineEntry {
                at: at.timestamp(),
                what,
                amount_minor: data["totalMinor"].as_i64().filter(|_| has_amount),
                reason: None,
            });
        }
        previous_status = status;
    }
    entries
}

fn refund_entries(refund: &RefundRow) -> Vec<TimelineEntry> {
    let entry = |at: Moment, what| TimelineEntry {
        at: at.timestamp(),
        what,
        amount_minor: Some(refund.amount_minor.get()),
        reason: None,
    };
    let end = match refund.state {
        State::Succeeded => Some(Happening::Refunded),
        State::Failed => Some(Happening::RefundFailed),
        State::Intended | State::Pending => None,
    };
    let begun = entry(refund.created_at, Happening::RefundBegun);
    let end = end.zip(refund.settled_at).map(|(what, at)| entry(at, what));
    std::iter::once(begun).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Happening::{Expired, Paid, PaymentBegun, Reserved, Revived};

    fn event(kind: EventType, status: &str) -> EventRow {
        let data = format!(r#"{{"status":"{status}","totalMinor":2500}}"#);
        (Moment::EPOCH, kind.to_string(), data)
    }

    fn kinds(events: &[EventRow]) -> Vec<Happening> {
        event_entries(events)
            .iter()
            .map(|entry| entry.what)
            .collect()
    }

    #[test]
    fn a_purchase_has_three_entries() {
        let bought = [
            event(EventType::OrderCreated, "created"),
            event(EventType::OrderUpdated, "awaiting_payment"),
            // Another card or attempt: no new entry.
            event(EventType::OrderUpdated, "awaiting_payment"),
            event(EventType::OrderUpdated, "complete"),
            // A partial refund has its own entries.
            event(EventType::OrderUpdated, "complete"),
        ];
        assert_eq!(kinds(&bought), [Reserved, PaymentBegun, Paid]);
        assert_eq!(event_entries(&bought)[2].amount_minor, Some(2500));
    }

    #[test]
    fn a_late_payment_revives() {
        let late = [
            event(EventType::OrderCreated, "created"),
            event(EventType::OrderUpdated, "awaiting_payment"),
            event(EventType::OrderExpired, "expired"),
            event(EventType::OrderUpdated, "awaiting_payment"),
            event(EventType::OrderUpdated, "complete"),
        ];
        assert_eq!(
            kinds(&late),
            [Reserved, PaymentBegun, Expired, Revived, Paid]
        );
    }
}
