//! Reads an amount as a person types it, in any of the usual ways of writing one, and never through a
//! float. Where one text has two plausible readings, the person is asked.

use super::{Currency, Money};

/// What was typed is not an amount in this currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with separators, or separators at odd places.
    #[error("Write an amount like {0}.")]
    NotAnAmount(String),
    /// More decimals than the currency has.
    #[error("{0} has at most {1} digits after the point.")]
    TooPrecise(&'static str, u8),
    /// The separator may stand between thousands or before decimals.
    #[error("Did you mean {0} or {1}? Write it like one of these.")]
    Ambiguous(String, String),
    /// Too big to hold.
    #[error("That is more than a ticket can cost.")]
    TooLarge,
}

/// Other ways of writing a currency beside its code and its sign.
const ALIASES: &[(&str, &[&str])] = &[
    ("AUD", &["AU$", "$"]),
    ("BRL", &["$"]),
    ("CAD", &["C$", "$"]),
    ("CHF", &["Fr.", "SFr."]),
    ("CZK", &["Kč"]),
    ("DKK", &["kr.", "kr"]),
    ("HKD", &["$"]),
    ("HUF", &["Ft"]),
    ("IDR", &["Rp.", "Rp"]),
    ("ISK", &["kr.", "kr"]),
    ("JPY", &["円"]),
    ("KRW", &["원"]),
    ("MXN", &["$"]),
    ("MYR", &["RM"]),
    ("NOK", &["kr.", "kr"]),
    ("NZD", &["$"]),
    ("PLN", &["zł"]),
    ("RON", &["lei"]),
    ("SEK", &["kr.", "kr"]),
    ("SGD", &["$"]),
    ("TRY", &["TL"]),
    ("TWD", &["$"]),
    ("USD", &["US$"]),
];

/// What may stand in the place of decimals that are zero.
const NO_DECIMALS: [&str; 6] = [".-", ",-", ".–", ",–", ".—", ",—"];

impl Money {
    /// Reads an amount as a person types it: `25`, `25.5`, `25,50`, `£1,250.50`, `1 250,50 EUR`,
    /// `1'250.-`, `1.250,50 €`.
    ///
    /// Of two kinds of separators the last is before the decimals. One alone is between thousands if it
    /// comes more than once or can be nothing else, and before the decimals otherwise.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let not_an_amount = || AmountError::NotAnAmount(Self::new(2500, currency).plain());
        let text: String = text.chars().map(plain_sign).collect();
        let text = without_currency(text.trim(), currency);
        let text = NO_DECIMALS
            .into_iter()
            .find_map(|end| text.strip_suffix(end))
            .unwrap_or(text);
        let (whole, fraction) = split(text, currency).ok_or_else(not_an_amount)??;
        let exponent = usize::from(currency.exponent());
        let kept = fraction.len().min(exponent);
        if fraction[kept..].bytes().any(|digit| digit != b'0') {
            return Err(AmountError::TooPrecise(
                currency.code(),
                currency.exponent(),
            ));
        }
        format!("{whole}{:0<exponent$}", &fraction[..kept])
            .parse()
            .map(|minor| Self::new(minor, currency))
            .map_err(|_| AmountError::TooLarge)
    }
}

/// Full-width signs, kinds of spaces and kinds of apostrophes as their plain form.
fn plain_sign(sign: char) -> char {
    match sign {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(sign) - 0xfee0).unwrap_or(sign),
        '\u{ffe5}' => '¥',
        '\u{2019}' | '\u{2bc}' | '`' | '´' => '\'',
        space if space.is_whitespace() => ' ',
        other => other,
    }
}

/// The text without the currency before or after it, or both.
fn without_currency(text: &str, currency: Currency) -> &str {
    let aliases = ALIASES
        .iter()
        .find(|(code, _)| *code == currency.code())
        .map_or(&[] as &[&str], |(_, aliases)| aliases);
    let names = || {
        [currency.code(), currency.sign()]
            .into_iter()
            .chain(aliases.iter().copied())
            .filter(|name| !name.is_empty())
    };
    let text = names()
        .find_map(|name| {
            let start = text.get(..name.len())?;
            start
                .eq_ignore_ascii_case(name)
                .then(|| text[name.len()..].trim_start())
        })
        .unwrap_or(text);
    names()
        .find_map(|name| {
            let from = text.len().checked_sub(name.len())?;
            let end = text.get(from..)?;
            end.eq_ignore_ascii_case(name)
                .then(|| text[..from].trim_end())
        })
        .unwrap_or(text)
}

type Parts = (String, String);

/// The digits before and after the decimal separator. `None`: this is no amount.
fn split(text: &str, currency: Currency) -> Option<Result<Parts, AmountError>> {
    let is_separator = |sign: char| matches!(sign, '.' | ',' | '\'' | ' ');
    if !text.contains(|sign: char| sign.is_ascii_digit())
        || !text
            .chars()
            .all(|sign| sign.is_ascii_digit() || is_separator(sign))
    {
        return None;
    }
    let digits = |text: &str| text.replace(is_separator, "");
    let Some(at) = text.rfind(is_separator) else {
        return Some(Ok((text.to_owned(), String::new())));
    };
    let (whole, last, fraction) = (&text[..at], text[at..].chars().next()?, &text[at + 1..]);
    let decimal = || Some(Ok((whole.to_owned(), fraction.to_owned())));
    match whole.chars().find(|sign| is_separator(*sign)) {
        // Thousands before, and another sign before the decimals.
        Some(group) if group != last => {
            let fine = matches!(last, '.' | ',') && is_grouped(whole, group);
            fine.then(|| Ok((digits(whole), fraction.to_owned())))
        }
        Some(group) => is_grouped(text, group).then(|| Ok((digits(text), String::new()))),
        None if matches!(last, '\'' | ' ') => {
            is_grouped(text, last).then(|| Ok((digits(text), String::new())))
        }
        None if !is_grouped(text, last) || whole.starts_with('0') => decimal(),
        None => match (currency.exponent(), last) {
            (3, '.') => decimal(),
            (0, _) | (2, ',') => Some(Ok((digits(text), String::new()))),
            // The shop itself writes a point before decimals, and a comma between thousands.
            _ => Some(Err(ambiguous(&digits(text), whole, fraction, currency))),
        },
    }
}

fn ambiguous(thousands: &str, whole: &str, fraction: &str, currency: Currency) -> AmountError {
    let exponent = usize::from(currency.exponent());
    let decimals = &fraction[..fraction.len().min(exponent)];
    AmountError::Ambiguous(
        format!("{thousands}.{:0<exponent$}", ""),
        format!("{whole}.{decimals}"),
    )
}

/// Whether `group` stands between thousands: three digits behind each, one to three before the first.
/// A comma may also stand as in India, with two digits between it and the next.
fn is_grouped(text: &str, group: char) -> bool {
    let parts: Vec<&str> = text.split(group).collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let between = &parts[1..parts.len().saturating_sub(1).max(1)];
    let all = |length: usize| between.iter().all(|part| part.len() == length);
    parts.len() > 1
        && parts.iter().all(|part| digits(part))
        && (1..=3).contains(&first.len())
        && last.len() == 3
        && (all(3) || (group == ',' && first.len() <= 2 && all(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, code: &str) -> Result<i64, AmountError> {
        let currency: Currency = code.parse().unwrap();
        Money::parse(text, currency).map(|money| money.minor)
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, code, minor) in [
            ("25", "GBP", 2500),
            (" 25.5 ", "GBP", 2550),
            ("25.", "GBP", 2500),
            (".5", "GBP", 50),
            ("0,29", "GBP", 29),
            ("0.500", "GBP", 50),
            ("£45", "GBP", 4500),
            ("GBP 45.5", "GBP", 4550),
            ("gbp45", "GBP", 4500),
            ("45 GBP", "GBP", 4500),
            ("1,250", "GBP", 125_000),
            ("1,250.50", "GBP", 125_050),
            ("£ 1.250,50", "GBP", 125_050),
            ("1,234,567.8", "GBP", 123_456_780),
            ("1 500,00 €", "EUR", 150_000),
            ("1\u{202f}500,00\u{a0}€", "EUR", 150_000),
            ("1 500 EUR", "EUR", 150_000),
            ("1.234.567", "EUR", 123_456_700),
            ("15,-", "EUR", 1500),
            ("Fr. 1'250.-", "CHF", 125_000),
            ("1’250.50", "CHF", 125_050),
            ("1,25,000.50", "INR", 12_500_050),
            ("₹12,34,567", "INR", 123_456_700),
            ("450 kr", "SEK", 45_000),
            ("¥1,500", "JPY", 1500),
            ("￥１，５００", "JPY", 1500),
            ("1500円", "JPY", 1500),
            ("1.500", "JPY", 1500),
            ("1500.00", "JPY", 1500),
            ("1.005", "KWD", 1005),
            ("1,005.250", "KWD", 1_005_250),
            ("0,500", "KWD", 500),
            ("US$25 USD", "USD", 2500),
        ] {
            assert_eq!(read(text, code), Ok(minor), "{text} in {code}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_an_example() {
        for bad in [
            "",
            ".",
            ",",
            "-1",
            "1.2.3",
            "12a",
            "1e3",
            "Loll",
            "٣",
            "£",
            "€45",
            "12,50.5",
            ",250.5",
            "1,250,50",
            "1,,250.5",
            "12 50",
            "1 250 5",
            "1'25",
            "1 250'50",
            "250,1234,567",
            "1.250.5,5",
        ] {
            let wrong = read(bad, "GBP").unwrap_err();
            assert_eq!(wrong.to_string(), "Write an amount like 25.00.", "{bad}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_asked() {
        for (text, code, asked) in [
            (
                "1.250",
                "EUR",
                "Did you mean 1250.00 or 1.25? Write it like one of these.",
            ),
            (
                "12,345",
                "KWD",
                "Did you mean 12345.000 or 12.345? Write it like one of these.",
            ),
        ] {
            assert_eq!(read(text, code).unwrap_err().to_string(), asked);
        }
    }

    #[test]
    fn decimals_that_a_currency_has_not_are_refused() {
        assert_eq!(
            read("1.2345", "GBP"),
            Err(AmountError::TooPrecise("GBP", 2))
        );
        assert_eq!(
            read("1,250.505", "GBP"),
            Err(AmountError::TooPrecise("GBP", 2))
        );
        assert_eq!(read("15.5", "JPY"), Err(AmountError::TooPrecise("JPY", 0)));
        assert_eq!(read(&"9".repeat(40), "GBP"), Err(AmountError::TooLarge));
    }

    /// Whatever the shop prints can be typed into it.
    #[test]
    fn every_amount_that_is_printed_is_read() {
        for currency in Currency::all() {
            for minor in [
                1,
                5,
                10,
                99,
                100,
                999,
                1000,
                1500,
                99_999,
                1_234_567,
                150_000_000,
            ] {
                let money = Money::new(minor, currency);
                for printed in [money.to_string(), money.plain()] {
                    assert_eq!(Money::parse(&printed, currency), Ok(money), "{printed}");
                }
            }
        }
    }
}
