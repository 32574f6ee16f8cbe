//! The amounts that Stripe can charge to cards in each currency, and the minor units that it uses.
//!
//! Owns the table of Stripe's rules and the conversion between the shop's minor units (ISO 4217) and
//! Stripe's. Does not own parsing or formatting of amounts (`money.rs`), and makes no calls.
//!
//! Source: <https://docs.stripe.com/currencies>, sections "Special cases", "Minimum charge amount by
//! currency" and "Maximum charge amounts", as read on 2026-11-30; for three-decimal currencies the
//! section "Three-decimal currencies" of the same page.

use crate::money::{Currency, Money};

/// Stripe's rules for one currency, in Stripe's minor units.
struct Terms {
    code: &'static str,
    /// Digits after the decimal point in Stripe's amounts. ISK and UGX have no minor unit, but Stripe expects
    /// their amounts with two decimals, which are always 00.
    decimals: u8,
    /// The smallest charge.
    least: i64,
    /// The number of digits of the largest charge.
    digits: u8,
}

const fn terms(code: &'static str, decimals: u8, least: i64, digits: u8) -> Terms {
    Terms {
        code,
        decimals,
        least,
        digits,
    }
}

/// Currencies in which Stripe charges cards, sorted by code. A currency of `money.rs` that is missing here is
/// no longer accepted: the euro replaced BGN on 2026-01-01.
///
/// The smallest charge is the documented one. Where Stripe documents none, it applies its minimum in the
/// currency of the shop's bank account; the table has the equivalent of 0.50 US dollars in November 2026,
/// rounded up.
///
/// The largest charge: Stripe's API reference gives eight digits for all currencies; its page on currencies
/// gives twelve for IDR and ten for COP; all card networks accept nine. The table has nine where eight digits
/// would be less than 10 000 US dollars.
const TERMS: &[Terms] = &[
    terms("AED", 2, 200, 8),
    terms("ARS", 2, 50, 9),
    terms("AUD", 2, 50, 8),
    terms("BHD", 3, 190, 8),
    terms("BRL", 2, 50, 8),
    terms("CAD", 2, 50, 8),
    terms("CHF", 2, 50, 8),
    terms("CLP", 0, 500, 8),
    terms("COP", 2, 50, 10),
    terms("CZK", 2, 1500, 8),
    terms("DKK", 2, 250, 8),
    terms("EUR", 2, 50, 8),
    terms("GBP", 2, 30, 8),
    terms("HKD", 2, 400, 8),
    terms("HUF", 2, 17_500, 9),
    terms("IDR", 2, 50, 12),
    terms("ILS", 2, 50, 8),
    terms("INR", 2, 50, 9),
    terms("ISK", 2, 7_000, 9),
    terms("JOD", 3, 360, 8),
    terms("JPY", 0, 50, 8),
    terms("KES", 2, 7_000, 9),
    terms("KRW", 0, 50, 8),
    terms("KWD", 3, 160, 8),
    terms("MAD", 2, 500, 8),
    terms("MXN", 2, 1000, 8),
    terms("MYR", 2, 200, 8),
    terms("NGN", 2, 80_000, 9),
    terms("NOK", 2, 300, 8),
    terms("NZD", 2, 50, 8),
    terms("OMR", 3, 200, 8),
    terms("PEN", 2, 200, 8),
    terms("PHP", 2, 50, 8),
    terms("PLN", 2, 200, 8),
    terms("QAR", 2, 200, 8),
    terms("RON", 2, 200, 8),
    terms("SAR", 2, 200, 8),
    terms("SEK", 2, 300, 8),
    terms("SGD", 2, 50, 8),
    terms("THB", 2, 1000, 8),
    terms("TND", 3, 1600, 8),
    terms("TRY", 2, 2_500, 8),
    terms("TWD", 2, 2_000, 8),
    terms("UAH", 2, 2_500, 8),
    terms("UGX", 2, 200_000, 9),
    terms("USD", 2, 50, 8),
    terms("VND", 0, 14_000, 9),
    terms("ZAR", 2, 50, 8),
];

/// Why an amount cannot be charged to a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotChargeable {
    /// Cards can no longer be charged in this currency.
    Currency(Currency),
    /// Not between the smallest and the largest charge, which are given.
    OutOfRange(Money, Money),
    /// Not a multiple of the currency's step. Contains the nearest valid amounts below and above.
    BetweenSteps(Money, Money),
}

impl NotChargeable {
    /// The message for a ticket's price, as a sentence.
    pub fn of_a_ticket(self) -> String {
        match self {
            Self::Currency(currency) => format!("Cards can no longer be charged in {currency}."),
            Self::OutOfRange(least, most) => {
                format!("A ticket can cost from {least} to {most}.")
            }
            Self::BetweenSteps(below, above) => {
                format!("Cards cannot be charged this exactly. Use {below} or {above}.")
            }
        }
    }
}

fn terms_of(code: &str) -> Option<&'static Terms> {
    let position = TERMS.binary_search_by(|terms| terms.code.cmp(code)).ok()?;
    TERMS.get(position)
}

/// Stripe's minor units per minor unit of the shop.
fn factor(terms: &Terms, exponent: u8) -> i64 {
    10_i64.pow(u32::from(terms.decimals.saturating_sub(exponent)))
}

impl Currency {
    /// Whether cards can be charged in this currency.
    pub fn is_accepted(self) -> bool {
        terms_of(self.code()).is_some()
    }

    /// The step between chargeable amounts, in the shop's minor units: for currencies with three decimals,
    /// Stripe accepts only amounts that end in 0.
    fn step(self) -> i64 {
        if self.exponent() == 3 { 10 } else { 1 }
    }

    /// The smallest and the largest charge. `None` if the currency is not accepted.
    pub fn charge_range(self) -> Option<(Money, Money)> {
        let terms = terms_of(self.code())?;
        let (factor, step) = (factor(terms, self.exponent()), self.step());
        let most = (10_i64.pow(u32::from(terms.digits)) - 1) / factor;
        let least = terms.least.unsigned_abs().div_ceil(factor.unsigned_abs());
        let least = i64::try_from(least).unwrap_or(i64::MAX);
        Some((
            Money::new(least, self),
            Money::new(most - most % step, self),
        ))
    }
}

impl Money {
    /// Checks that a card can be charged this amount.
    pub fn check_chargeable(self) -> Result<(), NotChargeable> {
        let currency = self.currency;
        let (least, most) = currency
            .charge_range()
            .ok_or(NotChargeable::Currency(currency))?;
        if !(least.minor..=most.minor).contains(&self.minor) {
            return Err(NotChargeable::OutOfRange(least, most));
        }
        let step = currency.step();
        let below = self.minor - self.minor % step;
        if below == self.minor {
            return Ok(());
        }
        Err(NotChargeable::BetweenSteps(
            Self::new(below, currency),
            Self::new(below + step, currency),
        ))
    }
}

/// Converts the shop's minor units to Stripe's. `code` may be lower case; a currency that is not in the table
/// has the same units on both sides. `None` on overflow.
pub fn to_provider(code: &str, minor: i64) -> Option<i64> {
    minor.checked_mul(provider_factor(code))
}

/// Converts Stripe's minor units to the shop's, rounding towards zero. Stripe's amounts are always whole in
/// the shop's units.
pub fn from_provider(code: &str, amount: i64) -> i64 {
    amount / provider_factor(code)
}

fn provider_factor(code: &str) -> i64 {
    let code = code.to_uppercase();
    match (terms_of(&code), code.parse::<Currency>()) {
        (Some(terms), Ok(currency)) => factor(terms, currency.exponent()),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(code: &str, minor: i64) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    #[test]
    fn every_currency_but_bgn_is_accepted() {
        let refused: Vec<_> = Currency::all()
            .filter(|currency| !currency.is_accepted())
            .map(Currency::code)
            .collect();
        assert_eq!(refused, ["BGN"]);
        for terms in TERMS {
            let currency: Currency = terms.code.parse().unwrap();
            assert!(terms.decimals >= currency.exponent(), "{currency}");
            let (least, most) = currency.charge_range().unwrap();
            assert_eq!(least.check_chargeable(), Ok(()), "{currency}");
            assert_eq!(most.check_chargeable(), Ok(()), "{currency}");
            for outside in [least.minor - 1, most.minor + 1, 0, -1, i64::MIN, i64::MAX] {
                let outside = Money::new(outside, currency);
                assert_eq!(
                    outside.check_chargeable(),
                    Err(NotChargeable::OutOfRange(least, most)),
                    "{outside}"
                );
            }
        }
    }

    #[test]
    fn amounts_are_converted_only_where_units_differ() {
        for (code, ours, theirs) in [
            ("UGX", 50_000, 5_000_000),
            ("isk", 4_500, 450_000),
            ("JPY", 1_500, 1_500),
            ("KRW", 9_000, 9_000),
            ("VND", 90_000, 90_000),
            ("GBP", 2_500, 2_500),
            ("HUF", 250_000, 250_000),
            ("TWD", 80_000, 80_000),
            ("KWD", 5_120, 5_120),
            ("XTS", 7, 7),
        ] {
            assert_eq!(to_provider(code, ours), Some(theirs), "{code}");
            assert_eq!(from_provider(code, theirs), ours, "{code}");
        }
        assert_eq!(to_provider("UGX", i64::MAX), None);
    }

    #[test]
    fn the_documented_limits_are_enforced() {
        for (code, minor) in [
            ("GBP", 30),
            ("EUR", 50),
            ("HUF", 17_500),
            ("JPY", 50),
            ("IDR", 150_000_000),
            ("COP", 9_999_999_999),
            ("KWD", 1_000),
            ("GBP", 99_999_999),
            ("UGX", 50_000),
        ] {
            assert_eq!(
                money(code, minor).check_chargeable(),
                Ok(()),
                "{code} {minor}"
            );
        }
        for (code, minor) in [("GBP", 29), ("EUR", 25), ("JPY", 49), ("GBP", 100_000_000)] {
            let wrong = money(code, minor).check_chargeable();
            assert!(
                matches!(wrong, Err(NotChargeable::OutOfRange(..))),
                "{code} {minor}"
            );
        }
        for code in ["BHD", "JOD", "KWD", "OMR", "TND"] {
            assert_eq!(
                money(code, 9_005).check_chargeable(),
                Err(NotChargeable::BetweenSteps(
                    money(code, 9_000),
                    money(code, 9_010)
                ))
            );
        }
        assert!(matches!(
            money("BGN", 2_500).check_chargeable(),
            Err(NotChargeable::Currency(_))
        ));
    }

    #[test]
    fn messages_state_what_a_ticket_can_cost() {
        let wrong = |code, minor| money(code, minor).check_chargeable().unwrap_err();
        assert_eq!(
            wrong("GBP", 1).of_a_ticket(),
            "A ticket can cost from £0.30 to £999,999.99."
        );
        assert_eq!(
            wrong("KWD", 1_005).of_a_ticket(),
            "Cards cannot be charged this exactly. Use KWD\u{a0}1.000 or KWD\u{a0}1.010."
        );
    }
}
