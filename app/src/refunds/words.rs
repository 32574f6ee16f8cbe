//! Views of a refund's status for buyers and sellers, and of what a seller is owed.

use leptos::prelude::*;
use model::{
    money::Money,
    refunds::{Owed, RefundStatus},
};

/// A refund's status for the ticket's buyer.
pub fn refund_status_for_buyer(status: RefundStatus, amount: Money) -> impl IntoView {
    let text = match status {
        RefundStatus::Pending => format!("Refund on its way: {amount}"),
        RefundStatus::Succeeded => format!("Refunded {amount}; banks take 5–10 days"),
        RefundStatus::Failed => "The refund didn't get through; we're looking into it".to_owned(),
    };
    status_line(status, text)
}

/// A refund's status for the ticket's seller.
pub fn refund_status_for_seller(status: RefundStatus, amount: Money) -> impl IntoView {
    let text = match status {
        RefundStatus::Pending => format!("{amount} is on its way back to the buyer"),
        RefundStatus::Succeeded => format!("{amount} went back to the buyer"),
        RefundStatus::Failed => "The refund didn't get through; we're looking into it".to_owned(),
    };
    status_line(status, text)
}

fn status_line(status: RefundStatus, text: String) -> impl IntoView {
    let class = match status {
        RefundStatus::Pending => "refund refund-open",
        RefundStatus::Succeeded => "refund refund-good",
        RefundStatus::Failed => "refund refund-bad",
    };
    view! { <p class=class>{text}</p> }
}

/// What a seller is owed, in one line; none if nothing is owed.
pub fn owed_line(owed: &[Owed]) -> Option<impl IntoView + use<>> {
    let amounts = join_amounts(owed)?;
    Some(view! {
        <p class="notice">
            <strong>{format!("Owed to you: {amounts}.")}</strong>
            " The operator of this shop pays it out to you, outside of the shop."
        </p>
    })
}

/// Formats as `£25.00, €30.00 and ¥500`.
fn join_amounts(owed: &[Owed]) -> Option<String> {
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
    fn amounts_of_all_currencies_are_joined() {
        let owed = |amount_minor, currency: &str| Owed {
            amount_minor,
            currency: currency.parse().unwrap(),
        };
        assert_eq!(join_amounts(&[]), None);
        assert_eq!(join_amounts(&[owed(0, "GBP")]), None);
        assert_eq!(join_amounts(&[owed(2500, "GBP")]).unwrap(), "£25.00");
        let all = [
            owed(3000, "EUR"),
            owed(0, "CHF"),
            owed(2500, "GBP"),
            owed(500, "JPY"),
        ];
        assert_eq!(join_amounts(&all).unwrap(), "€30.00, £25.00 and ¥500");
    }
}
