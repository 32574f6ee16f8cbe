//! Money: integer minor units beside a currency. No floats, no arithmetic across currencies.
//!
//! Owns the table of present and former currencies of the shop, parsing of entered amounts (`amount.rs`), and
//! formatting. Does not own the limits of card charges (`charges.rs`).

mod amount;
mod minor_units;
mod names;

pub use amount::AmountError;
pub use minor_units::MinorUnits;

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Code, digits after the decimal point, and the symbol written before the amount (empty: the code is
/// written instead).
const CURRENCIES: &[(&str, u8, &str)] = &[
    ("AED", 2, ""),
    ("ARS", 2, ""),
    ("AUD", 2, "A$"),
    ("BGN", 2, ""),
    ("BHD", 3, ""),
    ("BRL", 2, "R$"),
    ("CAD", 2, "CA$"),
    ("CHF", 2, ""),
    ("CLP", 0, ""),
    ("COP", 2, ""),
    ("CZK", 2, ""),
    ("DKK", 2, ""),
    ("EUR", 2, "€"),
    ("GBP", 2, "£"),
    ("HKD", 2, "HK$"),
    ("HUF", 2, ""),
    ("IDR", 2, ""),
    ("ILS", 2, "₪"),
    ("INR", 2, "₹"),
    ("ISK", 0, ""),
    ("JOD", 3, ""),
    ("JPY", 0, "¥"),
    ("KES", 2, ""),
    ("KRW", 0, "₩"),
    ("KWD", 3, ""),
    ("MAD", 2, ""),
    ("MXN", 2, "MX$"),
    ("MYR", 2, ""),
    ("NGN", 2, "₦"),
    ("NOK", 2, ""),
    ("NZD", 2, "NZ$"),
    ("OMR", 3, ""),
    ("PEN", 2, ""),
    ("PHP", 2, "₱"),
    ("PLN", 2, ""),
    ("QAR", 2, ""),
    ("RON", 2, ""),
    ("SAR", 2, ""),
    ("SEK", 2, ""),
    ("SGD", 2, "S$"),
    ("THB", 2, "฿"),
    ("TND", 3, ""),
    ("TRY", 2, "₺"),
    ("TWD", 2, "NT$"),
    ("UAH", 2, "₴"),
    ("UGX", 0, ""),
    ("USD", 2, "$"),
    ("VND", 0, "₫"),
    ("ZAR", 2, "R"),
];

/// A currency that Stagedoor trades in, by its ISO 4217 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, example = "GBP"))]
#[serde(try_from = "String", into = "&'static str")]
pub struct Currency(&'static (&'static str, u8, &'static str));

impl Currency {
    /// The three capital letters.
    pub fn code(self) -> &'static str {
        self.0.0
    }

    /// Digits after the decimal point: 2 for GBP, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        self.0.1
    }

    /// The symbol written before an amount; empty if the code is written instead.
    fn sign(self) -> &'static str {
        self.0.2
    }

    /// All currencies, sorted by code, including those no longer accepted.
    pub fn all() -> impl Iterator<Item = Self> {
        CURRENCIES.iter().map(Self)
    }
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("not a currency that tickets can be priced in")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let position = CURRENCIES
            .binary_search_by(|(code, ..)| code.cmp(&text))
            .map_err(|_| UnknownCurrency)?;
        Ok(Self(&CURRENCIES[position]))
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for &'static str {
    fn from(currency: Currency) -> Self {
        currency.code()
    }
}

#[cfg(feature = "sqlx")]
crate::text_columns!(Currency);

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: pence for GBP, yen for JPY.
    pub minor: i64,
    pub currency: Currency,
}

impl Money {
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// `None` if the currencies differ or the sum overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        let minor = self.minor.checked_add(other.minor)?;
        Some(Self::new(minor, self.currency))
    }

    /// The amount without currency or grouping, as the value of an input: `25.00`.
    pub fn plain(self) -> String {
        let exponent = u32::from(self.currency.exponent());
        let unit = 10_u64.pow(exponent);
        let sign = if self.minor < 0 { "-" } else { "" };
        let amount = self.minor.unsigned_abs();
        let (whole, fraction) = (amount / unit, amount % unit);
        if exponent == 0 {
            format!("{sign}{whole}")
        } else {
            format!(
                "{sign}{whole}.{fraction:0width$}",
                width = exponent as usize
            )
        }
    }
}

impl fmt::Display for Money {
    /// `£1,200.00`, or `SEK 1,200.00` for currencies without a symbol.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.plain();
        let (sign, digits) = plain
            .strip_prefix('-')
            .map_or(("", plain.as_str()), |rest| ("-", rest));
        let (whole, fraction) = digits
            .split_once('.')
            .map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
        let mut grouped = String::with_capacity(whole.len() + whole.len() / 3);
        for (position, digit) in whole.chars().enumerate() {
            if position > 0 && (whole.len() - position).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        match self.currency.sign() {
            "" => write!(f, "{sign}{}\u{a0}{grouped}", self.currency.code())?,
            symbol => write!(f, "{sign}{symbol}{grouped}")?,
        }
        match fraction {
            Some(fraction) => write!(f, ".{fraction}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn the_table_is_sorted_so_that_every_code_is_found() {
        for (code, ..) in CURRENCIES {
            assert_eq!(currency(code).code(), *code);
        }
        assert!("XXX".parse::<Currency>().is_err());
        assert!("gbp".parse::<Currency>().is_err());
    }

    #[test]
    fn amounts_are_printed_as_buyers_expect() {
        assert_eq!(
            Money::new(123_456_789, currency("GBP")).to_string(),
            "£1,234,567.89"
        );
        assert_eq!(Money::new(5, currency("USD")).to_string(), "$0.05");
        assert_eq!(Money::new(1200, currency("JPY")).to_string(), "¥1,200");
        assert_eq!(
            Money::new(45_000, currency("SEK")).to_string(),
            "SEK\u{a0}450.00"
        );
        assert_eq!(Money::new(-250, currency("EUR")).to_string(), "-€2.50");
    }

    #[test]
    fn currencies_do_not_mix() {
        let pounds = Money::new(100, currency("GBP"));
        assert_eq!(pounds.checked_add(Money::new(1, currency("EUR"))), None);
        assert_eq!(
            pounds.checked_add(Money::new(i64::MAX, currency("GBP"))),
            None
        );
        assert_eq!(
            pounds.checked_add(pounds),
            Some(Money::new(200, currency("GBP")))
        );
    }
}
