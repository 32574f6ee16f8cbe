//! How a refund is told: to who bought the ticket, to who sold it, and what a seller is owed.

use leptos::prelude::*;
use model::{
    money::Money,
    refunds::{Owed, RefundStatus},
};

/// How the refund of a ticket stands, to its buyer.
pub fn told_to_buyer(status: RefundStatus, amount: Money) -> impl IntoView {
    let text = match status {
        RefundStatus::Pending => format!("Refund on its way: {amount}"),
        RefundStatus::Succeeded => format!("Refunded {amount}; banks take 5–10 days"),
        RefundStatus::Failed => "The refund didn't get through; we're looking into it".to_owned(),
    };
    told(status, text)
}

/// How the refund of a ticket stands, to its seller.
pub fn told_to_seller(status: RefundStatus, amount: Money) -> impl IntoView {
    let text = match status {
        RefundStatus::Pending => format!("{amount} is on its way back to the buyer"),
        RefundStatus::Succeeded => format!("{amount} went back to the buyer"),
        RefundStatus::Failed => "The refund didn't get through; we're looking into it".to_owned(),
    };
    told(status, text)
}

fn told(status: RefundStatus, text: String) -> impl IntoView {
    let class = match status {
        RefundStatus::Pending => "refund refund-open",
        RefundStatus::Succeeded => "refund refund-good",
        RefundStatus::Failed => "refund refund-bad",
    };
    view! { <p class=class>{text}</p> }
}

/// What a seller is owed, in one line; nothing where nothing is owed.
pub fn owed_line(owed: &[Owed]) -> Option<impl IntoView + use<>> {
    let amounts = in_a_row(owed)?;
    Some(view! {
        <p class="notice">
            <strong>{format!("Owed to you: {amounts}.")}</strong>
            " The operator of this shop pays it out to you, outside of the shop."
        </p>
    })
}

/// `£25.00, €30.00 and ¥500`
fn in_a_row(owed: &[Owed]) -> Option<String> {
    let amounts: Vec<String> = owed
        .iter()
        .filter(|owed| owed.amount_minor > 0)
        .map(|owed| Money::new(owed.amount_minor, owed.currency).to_string())
        .collect();
    match amounts.split_last()? {
        (last, []) => Some(last.clone()),
        (last, before) => Some(format!("{} and {last}", before.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_said_currency_by_currency() {
        let owed = |amount_minor, currency: &str| Owed {
            amount_minor,
            currency: currency.parse().unwrap(),
        };
        assert_eq!(in_a_row(&[]), None);
        assert_eq!(in_a_row(&[owed(0, "GBP")]), None);
        assert_eq!(in_a_row(&[owed(2500, "GBP")]).unwrap(), "£25.00");
        let all = [
            owed(3000, "EUR"),
            owed(0, "CHF"),
            owed(2500, "GBP"),
            owed(500, "JPY"),
        ];
        assert_eq!(in_a_row(&all).unwrap(), "€30.00, £25.00 and ¥500");
    }
}
