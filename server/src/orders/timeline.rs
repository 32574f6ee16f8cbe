//! What has happened to an order, told from its domain events, its refused cards and its refunds.

use crate::{
    outbox::EventType,
    payments::declines,
    refunds::store::{self as refunds, RefundRow, State},
};
use model::{
    ids::OrderId,
    orders::{Happening, Moment},
};
use sqlx::{AnyPool, query_as};

/// A domain event: when, which, and its data.
type Told = (model::Moment, EventType, String);

/// The moments of an order, oldest first.
pub async fn moments(reads: &AnyPool, order: OrderId) -> Result<Vec<Moment>, sqlx::Error> {
    let told: Vec<Told> = query_as(
        "SELECT occurred_at, type, data FROM outbox WHERE aggregate_id = $1 ORDER BY version",
    )
    .bind(order)
    .fetch_all(reads)
    .await?;
    let mut moments = of_events(&told);
    for refund in refunds::refunds_of_order(reads, order).await? {
        moments.extend(of_refund(&refund));
    }
    for decline in declines::declines_of_order(reads, order).await? {
        moments.push(Moment {
            at: decline.at.timestamp(),
            what: Happening::Declined,
            amount_minor: None,
            reason: declines::reason(&decline.code).map(str::to_owned),
        });
    }
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}

/// Events say where the order stands after each change; a moment is a change of that.
fn of_events(told: &[Told]) -> Vec<Moment> {
    let mut before = String::new();
    let mut ends = serde_json::Value::Null;
    let mut moments = Vec::new();
    for (at, kind, data) in told {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let status = data["status"].as_str().unwrap_or_default().to_owned();
        // Only asking for more time moves the end.
        let longer = !ends.is_null() && ends != data["expiresAt"];
        ends = data["expiresAt"].clone();
        let what = match (kind, status.as_str()) {
            (EventType::OrderCreated, _) => Some(Happening::Reserved),
            _ if longer => Some(Happening::MoreTime),
            (EventType::OrderExpired, _) => Some(Happening::Expired),
            (EventType::OrderCancelled, _) => Some(Happening::Cancelled),
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
                at: at.timestamp(),
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
    let moment = |at: model::Moment, what| Moment {
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

    fn told(kind: EventType, status: &str) -> Told {
        let data = format!(r#"{{"status":"{status}","totalMinor":2500}}"#);
        (model::Moment::EPOCH, kind, data)
    }

    fn whats(events: &[Told]) -> Vec<Happening> {
        of_events(events).iter().map(|moment| moment.what).collect()
    }

    #[test]
    fn a_purchase_is_told_in_three_moments() {
        let bought = [
            told(EventType::OrderCreated, "created"),
            told(EventType::OrderUpdated, "awaiting_payment"),
            // Another card, or another attempt: nothing new to the buyer.
            told(EventType::OrderUpdated, "awaiting_payment"),
            told(EventType::OrderUpdated, "complete"),
            // A part of it is refunded: the refund tells of that itself.
            told(EventType::OrderUpdated, "complete"),
        ];
        let whats = whats(&bought);
        assert_eq!(whats, [Reserved, PaymentBegun, Paid]);
        assert_eq!(of_events(&bought)[2].amount_minor, Some(2500));
    }

    #[test]
    fn a_late_payment_revives() {
        let late = [
            told(EventType::OrderCreated, "created"),
            told(EventType::OrderUpdated, "awaiting_payment"),
            told(EventType::OrderExpired, "expired"),
            told(EventType::OrderUpdated, "awaiting_payment"),
            told(EventType::OrderUpdated, "complete"),
        ];
        assert_eq!(
            whats(&late),
            [Reserved, PaymentBegun, Expired, Revived, Paid]
        );
    }
}
