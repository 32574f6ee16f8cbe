//! The entries of an order's timeline, from its domain events, its declined cards and its refunds.

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

/// A domain event: when it occurred, its type and its data. The type is text: a newer version may have
/// added one.
type Row = (Moment, String, String);

/// The entries of an order, oldest first.
pub async fn entries(reads: &AnyPool, order: OrderId) -> Result<Vec<TimelineEntry>, sqlx::Error> {
    let rows: Vec<Row> = query_as(
        "SELECT occurred_at, type, data FROM outbox WHERE aggregate_id = $1 ORDER BY version",
    )
    .bind(order)
    .fetch_all(reads)
    .await?;
    let mut entries = of_events(&rows);
    for refund in refunds::list_for_order(reads, order).await? {
        entries.extend(of_refund(&refund));
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

/// Events say where the order stands after each change; an entry is a change of that.
fn of_events(rows: &[Row]) -> Vec<TimelineEntry> {
    let mut before = String::new();
    let mut ends = serde_json::Value::Null;
    let mut entries = Vec::new();
    for (at, kind, data) in rows {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let status = data["status"].as_str().unwrap_or_default().to_owned();
        // Only asking for more time moves the end.
        let longer = !ends.is_null() && ends != data["expiresAt"];
        ends = data["expiresAt"].clone();
        let what = match (kind.parse().ok(), status.as_str()) {
            (Some(EventType::OrderCreated), _) => Some(Happening::Reserved),
            _ if longer => Some(Happening::MoreTime),
            (Some(EventType::OrderExpired), _) => Some(Happening::Expired),
            (Some(EventType::OrderCancelled), _) => Some(Happening::Cancelled),
            (_, "awaiting_payment") if before == "expired" => Some(Happening::Revived),
            (_, "awaiting_payment") if before == "created" => Some(Happening::PaymentBegun),
            // A refund that came back leaves a paid order behind; it has an entry of its own.
            (_, "complete") if !matches!(before.as_str(), "complete" | "refunded") => {
                Some(Happening::Paid)
            }
            _ => None,
        };
        if let Some(what) = what {
            let money = matches!(what, Happening::Paid);
            entries.push(TimelineEntry {
                at: at.timestamp(),
                what,
                amount_minor: data["totalMinor"].as_i64().filter(|_| money),
                reason: None,
            });
        }
        before = status;
    }
    entries
}

fn of_refund(refund: &RefundRow) -> Vec<TimelineEntry> {
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

    fn event(kind: EventType, status: &str) -> Row {
        let data = format!(r#"{{"status":"{status}","totalMinor":2500}}"#);
        (Moment::EPOCH, kind.to_string(), data)
    }

    fn whats(events: &[Row]) -> Vec<Happening> {
        of_events(events).iter().map(|entry| entry.what).collect()
    }

    #[test]
    fn a_purchase_has_three_entries() {
        let bought = [
            event(EventType::OrderCreated, "created"),
            event(EventType::OrderUpdated, "awaiting_payment"),
            // Another card, or another attempt: nothing new to the buyer.
            event(EventType::OrderUpdated, "awaiting_payment"),
            event(EventType::OrderUpdated, "complete"),
            // A part of it is refunded: the refund has entries of its own.
            event(EventType::OrderUpdated, "complete"),
        ];
        let whats = whats(&bought);
        assert_eq!(whats, [Reserved, PaymentBegun, Paid]);
        assert_eq!(of_events(&bought)[2].amount_minor, Some(2500));
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
            whats(&late),
            [Reserved, PaymentBegun, Expired, Revived, Paid]
        );
    }
}
