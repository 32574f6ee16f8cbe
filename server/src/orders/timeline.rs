//! What has happened to an order, told from its domain events, its refused cards and its refunds.

use crate::{
    clock::from_micros,
    payments::declines,
    refunds::store::{self as refunds, RefundRow, State},
};
use app::orders::{Happening, Moment};
use model::ids::OrderId;
use sqlx::{AnyPool, Row, query};

/// The moments of an order, oldest first.
pub async fn moments(reads: &AnyPool, order: OrderId) -> Result<Vec<Moment>, sqlx::Error> {
    let rows = query(
        "SELECT occurred_at, type, data FROM outbox WHERE aggregate_id = $1 ORDER BY version",
    )
    .bind(order.to_string())
    .fetch_all(reads)
    .await?;
    let mut told = Vec::with_capacity(rows.len());
    for row in &rows {
        let data: String = row.try_get("data")?;
        let kind: String = row.try_get("type")?;
        told.push((row.try_get("occurred_at")?, kind, data));
    }
    let mut moments = of_events(&told);
    for refund in refunds::refunds_of_order(reads, order).await? {
        moments.extend(of_refund(&refund));
    }
    for decline in declines::declines_of_order(reads, order).await? {
        moments.push(Moment {
            at: from_micros(decline.at),
            what: Happening::Declined,
            amount_minor: None,
            reason: declines::reason(&decline.code).map(str::to_owned),
        });
    }
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}

/// Events say where the order stands after each change; a moment is a change of that.
fn of_events(told: &[(i64, String, String)]) -> Vec<Moment> {
    let mut before = String::new();
    let mut ends = serde_json::Value::Null;
    let mut moments = Vec::new();
    for (at, kind, data) in told {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let status = data["status"].as_str().unwrap_or_default().to_owned();
        // Only asking for more time moves the end.
        let longer = !ends.is_null() && ends != data["expiresAt"];
        ends = data["expiresAt"].clone();
        let what = match (kind.as_str(), status.as_str()) {
            ("OrderCreated", _) => Some(Happening::Reserved),
            _ if longer => Some(Happening::MoreTime),
            ("OrderExpired", _) => Some(Happening::Expired),
            ("OrderCancelled", _) => Some(Happening::Cancelled),
            (_, "awaiting_payment") if before == "expired" => Some(Happening::Revived),
            (_, "awaiting_payment") if before == "created" => Some(Happening::PaymentBegun),
            // A refund that came back leaves a paid order behind; it has a moment of its own.
            (_, "complete") if !matches!(before.as_str(), "complete" | "refunded") => {
                Some(Happening::Paid)
            }
            _ => None,
        };
        if let Some(what) = what {
            let money = matches!(what, Happening::Paid);
            moments.push(Moment {
                at: from_micros(*at),
                what,
                amount_minor: data["totalMinor"].as_i64().filter(|_| money),
                reason: None,
            });
        }
        before = status;
    }
    moments
}

fn of_refund(refund: &RefundRow) -> Vec<Moment> {
    let moment = |at, what| Moment {
        at: from_micros(at),
        what,
        amount_minor: Some(refund.amount_minor),
        reason: None,
    };
    let end = match refund.state {
        State::Succeeded => Some(Happening::Refunded),
        State::Failed => Some(Happening::RefundFailed),
        State::Intended | State::Pending => None,
    };
    let begun = moment(refund.created_at, Happening::RefundBegun);
    let end = end
        .zip(refund.settled_at)
        .map(|(what, at)| moment(at, what));
    std::iter::once(begun).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Happening::{Expired, Paid, PaymentBegun, Reserved, Revived};

    fn told(kind: &str, status: &str) -> (i64, String, String) {
        let data = format!(r#"{{"status":"{status}","totalMinor":2500}}"#);
        (0, kind.to_owned(), data)
    }

    fn whats(events: &[(i64, String, String)]) -> Vec<Happening> {
        of_events(events).iter().map(|moment| moment.what).collect()
    }

    #[test]
    fn a_purchase_is_told_in_three_moments() {
        let bought = [
            told("OrderCreated", "created"),
            told("OrderUpdated", "awaiting_payment"),
            // Another card, or another attempt: nothing new to the buyer.
            told("OrderUpdated", "awaiting_payment"),
            told("OrderUpdated", "complete"),
            // A part of it is refunded: the refund tells of that itself.
            told("OrderUpdated", "complete"),
        ];
        let whats = whats(&bought);
        assert_eq!(whats, [Reserved, PaymentBegun, Paid]);
        assert_eq!(of_events(&bought)[2].amount_minor, Some(2500));
    }

    #[test]
    fn a_late_payment_revives() {
        let late = [
            told("OrderCreated", "created"),
            told("OrderUpdated", "awaiting_payment"),
            told("OrderExpired", "expired"),
            told("OrderUpdated", "awaiting_payment"),
            told("OrderUpdated", "complete"),
        ];
        assert_eq!(
            whats(&late),
            [Reserved, PaymentBegun, Expired, Revived, Paid]
        );
    }
}
