//! Stripe's documented test cards and their outcomes.

use serde::{Deserialize, Serialize};

/// The outcome of a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Authorised at once.
    Approve,
    /// Declined.
    Decline(Refusal),
    /// Authorised after the buyer confirms with the bank.
    Authenticate,
    /// Declined after the buyer confirms with the bank.
    AuthenticateThenDecline(Refusal),
}

/// How a refund to a card proceeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundPath {
    /// Succeeded at once.
    #[default]
    Prompt,
    /// Pending, succeeds after two seconds.
    Pending,
    /// Succeeded, fails after two seconds.
    Fails,
}

/// Why a card is declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// Stripe's error code.
    pub code: String,
    /// The bank's reason, if the code is `card_declined`.
    pub decline_code: Option<String>,
    /// For the buyer.
    pub message: String,
}

fn refusal(code: &str, decline_code: &str, message: &str) -> Refusal {
    Refusal {
        code: code.to_owned(),
        decline_code: Some(decline_code)
            .filter(|code| !code.is_empty())
            .map(str::to_owned),
        message: message.to_owned(),
    }
}

/// The buyer's confirmation with the bank failed.
pub(crate) fn authentication_failed() -> Refusal {
    refusal(
        "payment_intent_authentication_failure",
        "",
        "Your bank could not confirm that it is you. Try again or use another card.",
    )
}

fn generic() -> Refusal {
    refusal(
        "card_declined",
        "generic_decline",
        "Your card was declined.",
    )
}

fn insufficient() -> Refusal {
    refusal(
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    )
}

/// The outcome of a test PaymentMethod: Stripe's, and the double's own for further cards.
pub(crate) fn by_payment_method(id: &str) -> Option<Outcome> {
    let name = id.strip_prefix("pm_card_")?;
    Some(match name {
        "visa"
        | "visa_debit"
        | "mastercard"
        | "mastercard_debit"
        | "mastercard_prepaid"
        | "amex"
        | "discover"
        | "diners"
        | "jcb"
        | "unionpay"
        | "us"
        | "gb"
        | "de"
        | "fr"
        | "se"
        | "jp"
        | "threeDSecureOptional"
        | "pendingRefund"
        | "refundFail" => Outcome::Approve,
        "chargeDeclined" | "visa_chargeDeclined" | "chargeCustomerFail" => {
            Outcome::Decline(generic())
        }
        "chargeDeclinedInsufficientFunds" | "visa_chargeDeclinedInsufficientFunds" => {
            Outcome::Decline(insufficient())
        }
        "chargeDeclinedLostCard" | "visa_chargeDeclinedLostCard" => Outcome::Decline(refusal(
            "card_declined",
            "lost_card",
            "Your card was declined.",
        )),
        "chargeDeclinedStolenCard" | "visa_chargeDeclinedStolenCard" => Outcome::Decline(refusal(
            "card_declined",
            "stolen_card",
            "Your card was declined.",
        )),
        "chargeDeclinedExpiredCard" => {
            Outcome::Decline(refusal("expired_card", "", "Your card has expired."))
        }
        "chargeDeclinedIncorrectCvc" => Outcome::Decline(refusal(
            "incorrect_cvc",
            "",
            "Your card's security code is incorrect.",
        )),
        "chargeDeclinedProcessingError" => Outcome::Decline(refusal(
            "processing_error",
            "",
            "An error occurred while processing your card. Try again in a little bit.",
        )),
        "threeDSecure2Required"
        | "threeDSecureRequired"
        | "authenticationRequired"
        | "authenticationRequiredOnSetup" => Outcome::Authenticate,
        "threeDSecureRequiredChargeDeclined" => Outcome::AuthenticateThenDecline(generic()),
        "authenticationRequiredChargeDeclinedInsufficientFunds" => {
            Outcome::AuthenticateThenDecline(insufficient())
        }
        _ => return None,
    })
}

/// How refunds to a test PaymentMethod proceed.
pub(crate) fn refund_path(id: &str) -> RefundPath {
    match id {
        "pm_card_pendingRefund" => RefundPath::Pending,
        "pm_card_refundFail" => RefundPath::Fails,
        _ => RefundPath::Prompt,
    }
}

/// The PaymentMethod and outcome of a test card number.
pub(crate) fn by_number(number: &str) -> Result<(&'static str, Outcome), Refusal> {
    let digits: String = number
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect();
    if !passes_luhn(&digits) {
        return Err(refusal(
            "incorrect_number",
            "",
            "Your card number is incorrect.",
        ));
    }
    let method = match digits.as_str() {
        "4242424242424242" => "pm_card_visa",
        "4000056655665556" => "pm_card_visa_debit",
        "5555555555554444" | "2223003122003222" => "pm_card_mastercard",
        "378282246310005" => "pm_card_amex",
        "6011111111111117" => "pm_card_discover",
        "3056930009020004" => "pm_card_diners",
        "3566002020360505" => "pm_card_jcb",
        "4000008260000000" => "pm_card_gb",
        "4000002760000016" => "pm_card_de",
        "4000000000000002" => "pm_card_chargeDeclined",
        "4000000000009995" => "pm_card_chargeDeclinedInsufficientFunds",
        "4000000000009987" => "pm_card_chargeDeclinedLostCard",
        "4000000000009979" => "pm_card_chargeDeclinedStolenCard",
        "4000000000000069" => "pm_card_chargeDeclinedExpiredCard",
        "4000000000000127" => "pm_card_chargeDeclinedIncorrectCvc",
        "4000000000000119" => "pm_card_chargeDeclinedProcessingError",
        "4000000000003220" => "pm_card_threeDSecure2Required",
        "4000002760003184" | "4000002500003155" => "pm_card_authenticationRequired",
        "4000008400001629" => "pm_card_threeDSecureRequiredChargeDeclined",
        "4000008260003178" => "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000000000007726" => "pm_card_pendingRefund",
        "4000000000005126" => "pm_card_refundFail",
        _ => "",
    };
    let outcome = by_payment_method(method).ok_or_else(|| {
        let message = "Only test cards work here. Try 4242 4242 4242 4242.";
        refusal("card_declined", "test_mode_live_card", message)
    })?;
    Ok((method, outcome))
}

fn passes_luhn(digits: &str) -> bool {
    let mut sum = 0;
    for (place, digit) in digits.chars().rev().enumerate() {
        let Some(digit) = digit.to_digit(10) else {
            return false;
        };
        sum += match (place % 2, digit) {
            (1, digit) if digit > 4 => digit * 2 - 9,
            (1, digit) => digit * 2,
            (_, digit) => digit,
        };
    }
    (12..=19).contains(&digits.len()) && sum % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_number_has_its_outcome() {
        let outcome = |number: &str| by_number(number).map(|(_, outcome)| outcome);
        assert_eq!(outcome("4242 4242 4242 4242").unwrap(), Outcome::Approve);
        assert_eq!(
            outcome("4000-0000-0000-3220").unwrap(),
            Outcome::Authenticate
        );
        assert!(matches!(
            outcome("4000000000000002").unwrap(),
            Outcome::Decline(_)
        ));
        let code = |number: &str| outcome(number).unwrap_err().code;
        assert_eq!(code("4242424242424241"), "incorrect_number");
        assert_eq!(code(""), "incorrect_number");
        // Passes the checksum, but is no test card.
        assert_eq!(code("4111111111111111"), "card_declined");
    }

    #[test]
    fn two_numbers_are_for_delayed_refunds() {
        let path = |number: &str| refund_path(by_number(number).unwrap().0);
        assert_eq!(path("4242424242424242"), RefundPath::Prompt);
        assert_eq!(path("4000000000007726"), RefundPath::Pending);
        assert_eq!(path("4000000000005126"), RefundPath::Fails);
    }
}
