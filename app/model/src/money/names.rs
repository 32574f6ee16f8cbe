//! What currencies are called, for the list that a seller chooses from.

use super::Currency;

const NAMES: &[(&str, &str)] = &[
    ("AED", "United Arab Emirates dirham"),
    ("ARS", "Argentine peso"),
    ("AUD", "Australian dollar"),
    ("BGN", "Bulgarian lev"),
    ("BHD", "Bahraini dinar"),
    ("BRL", "Brazilian real"),
    ("CAD", "Canadian dollar"),
    ("CHF", "Swiss franc"),
    ("CLP", "Chilean peso"),
    ("COP", "Colombian peso"),
    ("CZK", "Czech koruna"),
    ("DKK", "Danish krone"),
    ("EUR", "Euro"),
    ("GBP", "Pound sterling"),
    ("HKD", "Hong Kong dollar"),
    ("HUF", "Hungarian forint"),
    ("IDR", "Indonesian rupiah"),
    ("ILS", "Israeli new shekel"),
    ("INR", "Indian rupee"),
    ("ISK", "Icelandic króna"),
    ("JOD", "Jordanian dinar"),
    ("JPY", "Japanese yen"),
    ("KES", "Kenyan shilling"),
    ("KRW", "South Korean won"),
    ("KWD", "Kuwaiti dinar"),
    ("MAD", "Moroccan dirham"),
    ("MXN", "Mexican peso"),
    ("MYR", "Malaysian ringgit"),
    ("NGN", "Nigerian naira"),
    ("NOK", "Norwegian krone"),
    ("NZD", "New Zealand dollar"),
    ("OMR", "Omani rial"),
    ("PEN", "Peruvian sol"),
    ("PHP", "Philippine peso"),
    ("PLN", "Polish złoty"),
    ("QAR", "Qatari riyal"),
    ("RON", "Romanian leu"),
    ("SAR", "Saudi riyal"),
    ("SEK", "Swedish krona"),
    ("SGD", "Singapore dollar"),
    ("THB", "Thai baht"),
    ("TND", "Tunisian dinar"),
    ("TRY", "Turkish lira"),
    ("TWD", "New Taiwan dollar"),
    ("UAH", "Ukrainian hryvnia"),
    ("UGX", "Ugandan shilling"),
    ("USD", "US dollar"),
    ("VND", "Vietnamese đồng"),
    ("ZAR", "South African rand"),
];

impl Currency {
    /// `Pound sterling`; the code itself for one without a name here.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(code, _)| *code == self.code());
        found.map_or(self.code(), |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_currency_has_a_name() {
        let named: Vec<&str> = NAMES.iter().map(|(code, _)| *code).collect();
        let all: Vec<&str> = Currency::all().map(Currency::code).collect();
        assert_eq!(named, all);
        let pound: Currency = "GBP".parse().unwrap();
        assert_eq!(pound.name(), "Pound sterling");
    }
}
