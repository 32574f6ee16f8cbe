//! Creates PaymentMethods and ConfirmationTokens from typed cards.

use super::{Params, State, invalid, new_id, no_such};
use crate::reply::Answer;
use crate::{
    cards::{self, Refusal},
    model::{Card, Record, card_error},
};
use serde_json::json;

impl State {
    /// Creates a PaymentMethod (`prefix` is `pm_`) or ConfirmationToken (`ctoken_`) for a card number, or for
    /// one of Stripe's test PaymentMethods.
    pub(crate) fn create_card(&mut self, prefix: &str, params: &Params, now: i64) -> Answer {
        let named = |field: &str| {
            params
                .get(&format!("card[{field}]"))
                .or_else(|| params.get(&format!("payment_method_data[card][{field}]")))
        };
        let (outcome, last4, refund_path) = if let Some(method) = params.get("payment_method") {
            match cards::by_payment_method(method) {
                Some(outcome) => (outcome, "4242".to_owned(), cards::refund_path(method)),
                None => return Err(no_such("payment_method", "PaymentMethod", method)),
            }
        } else if let Some(number) = named("number") {
            let valid = cards::by_number(number).and_then(|known| {
                check_expiry_and_cvc(named("exp_month"), named("exp_year"), named("cvc"), now)?;
                Ok(known)
            });
            match valid {
                Ok((method, outcome)) => {
                    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
                    let last4 = digits[digits.len() - 4..].to_owned();
                    (outcome, last4, cards::refund_path(method))
                }
                Err(refused) => return Ok((402, json!({"error": card_error(&refused, None)}))),
            }
        } else {
            let message = "Missing required param: card[number].";
            return Err(invalid("card[number]", message));
        };
        let card = Card {
            id: new_id(prefix),
            outcome,
            last4,
            created: now,
            used_by: None,
            refund_path,
        };
        let body = card.json();
        self.keep(Record::Card(card));
        Ok((200, body))
    }
}

fn check_expiry_and_cvc(
    month: Option<&String>,
    year: Option<&String>,
    cvc: Option<&String>,
    now: i64,
) -> Result<(), Refusal> {
    let refused = |code: &str, message: &str| {
        Err(Refusal {
            code: code.to_owned(),
            decline_code: None,
            message: message.to_owned(),
        })
    };
    let month = month
        .and_then(|month| month.trim().parse::<i64>().ok())
        .unwrap_or(0);
    if !(1..=12).contains(&month) {
        return refused(
            "invalid_expiry_month",
            "Your card's expiration month is invalid.",
        );
    }
    let year = year
        .and_then(|year| year.trim().parse::<i64>().ok())
        .unwrap_or(-1);
    let year = if (0..100).contains(&year) {
        2000 + year
    } else {
        year
    };
    // Months of 30.44 days are accurate enough for expiry dates.
    let months_now = now / 2_629_800 + 1970 * 12;
    if !(1970..=2100).contains(&year) || year * 12 + month <= months_now {
        return refused(
            "invalid_expiry_year",
            "Your card's expiration date is in the past.",
        );
    }
    let digits = cvc.map_or("", |cvc| cvc.trim());
    if !(3..=4).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return refused("invalid_cvc", "Your card's security code is incomplete.");
    }
    Ok(())
}
