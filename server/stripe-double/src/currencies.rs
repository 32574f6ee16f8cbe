//! Stripe's rules for currencies: which are supported, minimum and maximum charges, and steps of amounts.
//!
//! Source: <https://docs.stripe.com/currencies>, as read on 2026-11-30. For currencies without a
//! documented minimum, the double assumes an account with payouts in US dollars.

use crate::reply::Reply;
use serde_json::json;

/// The supported currencies.
const SUPPORTED: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob brl bsd \
     bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip \
     gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak \
     lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr \
     pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb \
     tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw";

/// Minimum charges by currency.
const LEAST: &[(&str, i64)] = &[
    ("aed", 200),
    ("ars", 50),
    ("aud", 50),
    ("bhd", 190),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("clp", 500),
    ("cop", 50),
    ("czk", 1500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17_500),
    ("idr", 50),
    ("ils", 50),
    ("inr", 50),
    ("isk", 7000),
    ("jod", 360),
    ("jpy", 50),
    ("kes", 7000),
    ("krw", 50),
    ("kwd", 160),
    ("mad", 500),
    ("mxn", 1000),
    ("myr", 200),
    ("ngn", 80_000),
    ("nok", 300),
    ("nzd", 50),
    ("omr", 200),
    ("pen", 200),
    ("php", 50),
    ("pln", 200),
    ("qar", 200),
    ("ron", 200),
    ("rub", 50),
    ("sar", 200),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1000),
    ("tnd", 1600),
    ("try", 2500),
    ("twd", 2000),
    ("uah", 2500),
    ("ugx", 200_000),
    ("usd", 50),
    ("vnd", 14_000),
    ("zar", 50),
];

/// Number of digits of the maximum charge.
fn digits(currency: &str) -> u32 {
    match currency {
        "idr" => 12,
        "cop" => 10,
        "ars" | "huf" | "inr" | "isk" | "kes" | "ngn" | "ugx" | "vnd" => 9,
        _ => 8,
    }
}

/// `currency` is lower-case.
pub(crate) fn is_supported(currency: &str) -> bool {
    SUPPORTED.split_whitespace().any(|code| code == currency)
}

/// Checks the amount of a charge. `Err`: Stripe's error.
pub(crate) fn check_charge(currency: &str, amount: i64) -> Result<(), Reply> {
    let least = LEAST.iter().find(|(code, _)| *code == currency);
    let least = least.map_or(1, |(_, least)| *least);
    let most = 10_i64.pow(digits(currency)) - 1;
    if amount < least {
        let message = format!("Amount must be at least {least} in the minor units of {currency}");
        return Err(refused("amount_too_small", &message));
    }
    if amount > most {
        let message =
            format!("Amount must be no more than {most} in the minor units of {currency}");
        return Err(refused("amount_too_large", &message));
    }
    check_steps(currency, amount)
}

/// Checks that an amount of a charge or refund is a multiple of its currency's step.
pub(crate) fn check_steps(currency: &str, amount: i64) -> Result<(), Reply> {
    match currency {
        "isk" | "ugx" if amount % 100 != 0 => {
            let code = currency.to_uppercase();
            let message = format!(
                "Invalid amount. Currency {code} has become effectively zero-decimal and charged \
                 amounts must be evenly divisible by 100."
            );
            Err(refused(
                "invalid_charge_amount_no_decimal_compatible",
                &message,
            ))
        }
        "bhd" | "jod" | "kwd" | "omr" | "tnd" if amount % 10 != 0 => {
            let message = "Invalid amount. The last digit of a three-decimal currency must be 0.";
            Err(refused("parameter_invalid_integer", message))
        }
        _ => Ok(()),
    }
}

fn refused(code: &str, message: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": code, "param": "amount",
        "message": message});
    (400, json!({"error": error}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(currency: &str, amount: i64) -> String {
        match check_charge(currency, amount) {
            Ok(()) => String::new(),
            Err((status, body)) => {
                assert_eq!(status, 400);
                body["error"]["code"].as_str().unwrap().to_owned()
            }
        }
    }

    #[test]
    fn every_minimum_is_of_a_currency_that_is_supported() {
        for (currency, least) in LEAST {
            assert!(is_supported(currency), "{currency}");
            assert_eq!(code(currency, *least), "", "{currency}");
            assert_eq!(code(currency, least - 1), "amount_too_small", "{currency}");
            let more = 10_i64.pow(digits(currency));
            assert_eq!(code(currency, more), "amount_too_large", "{currency}");
        }
        assert!(!is_supported("bgn"));
        assert!(!is_supported("xxx"));
    }

    #[test]
    fn amounts_come_in_the_steps_of_their_currency() {
        assert_eq!(code("ugx", 5_000_000), "");
        assert_eq!(
            code("ugx", 5_000_050),
            "invalid_charge_amount_no_decimal_compatible"
        );
        assert_eq!(code("kwd", 5_120), "");
        assert_eq!(code("kwd", 5_124), "parameter_invalid_integer");
        assert_eq!(code("huf", 17_545), "");
    }
}
