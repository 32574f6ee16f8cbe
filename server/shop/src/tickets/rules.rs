//! Validation of listings. Pure: takes a request and returns cleaned values or errors at fields.

use crate::{names, text::line_error};
use model::{
    error::FieldError,
    money::{Currency, MinorUnits},
    tickets::{EditTicket, ListTicket},
};

/// The most tickets in one request.
pub(crate) const BATCH_MAX: i64 = 10_000;
/// The largest face value, in minor units: twelve digits, as Stripe's largest amounts have.
const FACE_VALUE_MINOR_MAX: MinorUnits = MinorUnits::new(999_999_999_999);
const SECTION_MAX: usize = 40;
const ROW_MAX: usize = 10;
const SEAT_MAX: usize = 10;

/// Section, row and seat of a ticket. All are optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub section: Option<String>,
    pub row: Option<String>,
    pub seat: Option<String>,
}

impl Place {
    /// Whether it names a row or a seat. Such a ticket is listed on its own.
    pub(crate) fn is_numbered(&self) -> bool {
        self.row.is_some() || self.seat.is_some()
    }

    /// A normalised key, equal for different spellings of one seat: `Stalls`, `Row C`, `Seat 07` and
    /// `stalls`, `c`, `7`. `None` without a seat.
    pub(crate) fn seat_key(&self) -> Option<String> {
        let seat = self.seat.as_deref()?;
        let part = |text: Option<&str>, names: &[&str]| {
            let text = names::key(text.unwrap_or_default());
            let bare = names.iter().find_map(|name| {
                let rest = text.strip_prefix(name)?;
                rest.starts_with([' ', '.', ':', '#']).then_some(rest)
            });
            let bare = bare
                .unwrap_or(&text)
                .trim_start_matches(['.', ':', '#', ' ']);
            // Spaces and leading zeros are ignored.
            let bare: String = bare.split_whitespace().collect();
            match bare.trim_start_matches('0') {
                "" if !bare.is_empty() => "0".to_owned(),
                number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
                _ => bare,
            }
        };
        let section = names::key(self.section.as_deref().unwrap_or_default());
        let row = part(
            self.row.as_deref(),
            &["row", "reihe", "rang", "rangée", "fila"],
        );
        let seat = part(
            Some(seat),
            &["seat", "sitz", "platz", "place", "asiento", "no", "nr"],
        );
        Some(format!("{section}\n{row}\n{seat}"))
    }
}

/// Validates a new listing of `quantity` tickets and reports all errors at once. `currency` is the
/// event's; `None` if the event does not exist.
pub(crate) fn check_listing(
    request: &ListTicket,
    quantity: i64,
    currency: Option<Currency>,
) -> Result<Place, Vec<FieldError>> {
    let mut errors = Vec::new();
    let price_minor = MinorUnits::new(request.price_minor);
    let price = match currency {
        Some(currency) => check_price(price_minor, currency),
        None => check_positive_price(price_minor),
    };
    errors.extend(price.err());
    if let Some(face_value) = request.face_value_minor
        && !(MinorUnits::new(1)..=FACE_VALUE_MINOR_MAX).contains(&MinorUnits::new(face_value))
    {
        let message = format!("Must be 1 to {FACE_VALUE_MINOR_MAX} minor units.");
        errors.push(FieldError::new("faceValueMinor", message));
    }
    if !(1..=BATCH_MAX).contains(&quantity) {
        errors.push(FieldError::new(
            "quantity",
            "List 1 to 10 000 tickets at once.",
        ));
    }
    let place = Place {
        section: clean_name(
            &mut errors,
            "section",
            request.section.as_deref(),
            SECTION_MAX,
        ),
        row: clean_name(&mut errors, "row", request.row.as_deref(), ROW_MAX),
        seat: clean_name(&mut errors, "seat", request.seat.as_deref(), SEAT_MAX),
    };
    if quantity > 1 {
        for (field, named) in [("row", &place.row), ("seat", &place.seat)] {
            if named.is_some() {
                errors.push(FieldError::new(field, "List numbered seats one by one."));
            }
        }
    }
    if errors.is_empty() {
        Ok(place)
    } else {
        Err(errors)
    }
}

/// Returns price and place after an edit. Missing fields stay unchanged; an empty text clears one. The
/// price is only checked to be positive; see [`check_price`].
pub(crate) fn check_edit(
    before: (MinorUnits, Place),
    request: &EditTicket,
) -> Result<(MinorUnits, Place), Vec<FieldError>> {
    let mut errors = Vec::new();
    let (price_before, place) = before;
    let price_minor = request.price_minor.map_or(price_before, MinorUnits::new);
    errors.extend(check_positive_price(price_minor).err());
    let mut edited = |field, asked: &Option<String>, before: Option<String>, max| match asked {
        Some(asked) => clean_name(&mut errors, field, Some(asked), max),
        None => before,
    };
    let place = Place {
        section: edited("section", &request.section, place.section, SECTION_MAX),
        row: edited("row", &request.row, place.row, ROW_MAX),
        seat: edited("seat", &request.seat, place.seat, SEAT_MAX),
    };
    if errors.is_empty() {
        Ok((price_minor, place))
    } else {
        Err(errors)
    }
}

/// Checks that a card can be charged this amount. The error is at `priceMinor`.
pub fn check_price(minor: MinorUnits, currency: Currency) -> Result<(), FieldError> {
    minor
        .of(currency)
        .check_chargeable()
        .map_err(|wrong| FieldError::new("priceMinor", wrong.of_a_ticket()))
}

/// Checks the price where the currency is not known. The error is at `priceMinor`.
pub fn check_positive_price(minor: MinorUnits) -> Result<(), FieldError> {
    if minor.is_positive() {
        return Ok(());
    }
    Err(FieldError::new(
        "priceMinor",
        "Must be 1 minor unit or more.",
    ))
}

/// Checks a section that tickets are filtered by. It need not exist.
pub fn check_section(section: Option<&str>) -> Result<(), FieldError> {
    match section {
        Some(section) if section.contains(char::is_control) => {
            let message = "Use letters, digits and signs on one line.";
            Err(FieldError::new("section", message))
        }
        _ => Ok(()),
    }
}

fn clean_name(
    errors: &mut Vec<FieldError>,
    field: &'static str,
    value: Option<&str>,
    max: usize,
) -> Option<String> {
    let value = value?.trim();
    if value.is_empty() {
        return None;
    }
    if value.chars().count() > max {
        errors.push(FieldError::new(
            field,
            format!("Use at most {max} characters."),
        ));
    } else if let Some(wrong) = line_error(value) {
        errors.push(FieldError::new(field, wrong));
    }
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::EventId;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[expect(clippy::unnecessary_wraps, reason = "the type of the argument")]
    fn pounds() -> Option<Currency> {
        Some("GBP".parse().unwrap())
    }

    fn listing(price_minor: i64, section: &str, seat: &str) -> ListTicket {
        ListTicket {
            event_id: EventId(Uuid::nil()),
            price_minor,
            face_value_minor: None,
            section: Some(section.to_owned()),
            row: None,
            seat: Some(seat.to_owned()),
        }
    }

    #[test]
    fn empty_names_are_missing_names() {
        let place = check_listing(&listing(100, "  ", ""), 1, pounds()).unwrap();
        assert_eq!(place, Place::default());
        assert!(!place.is_numbered());
    }

    #[test]
    fn a_numbered_seat_is_one_ticket() {
        assert!(
            check_listing(&listing(100, "Stalls", "12"), 1, pounds())
                .unwrap()
                .is_numbered()
        );
        assert_eq!(
            check_listing(&listing(100, "Stalls", "12"), 2, pounds()).unwrap_err()[0].field,
            "seat"
        );
        assert!(check_listing(&listing(100, "Stalls", ""), BATCH_MAX, pounds()).is_ok());
        assert!(check_listing(&listing(100, "Stalls", ""), BATCH_MAX + 1, pounds()).is_err());
    }

    #[test]
    fn a_seat_is_the_same_however_it_is_written() {
        let key = |section: &str, row: &str, seat: &str| {
            let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Place {
                section: some(section),
                row: some(row),
                seat: some(seat),
            }
            .seat_key()
        };
        let first = key("Stalls", "C", "12");
        for (section, row, seat) in [
            ("stalls", "c", "12"),
            ("STALLS ", "Row C", "Seat 12"),
            ("Stalls", "row  c", "012"),
            ("Ｓｔａｌｌｓ", "Ｃ", "１２"),
            ("Stalls", "Reihe C", "Nr. 12"),
            ("Stalls", "C", "#12"),
        ] {
            assert_eq!(key(section, row, seat), first, "{section}, {row}, {seat}");
        }
        for (section, row, seat) in [
            ("Balcony", "C", "12"),
            ("Stalls", "CC", "12"),
            ("Stalls", "C", "1"),
            ("Stalls", "C1", "2"),
            ("Stalls", "", "C12"),
            ("Stalls", "C", "12a"),
            ("Stalls", "C", "120"),
        ] {
            assert_ne!(key(section, row, seat), first, "{section}, {row}, {seat}");
        }
        assert_eq!(key("Zu\u{308}rich", "1", "0"), key("Zürich", "01", "00"));
        assert_eq!(key("Stalls", "C", ""), None);
    }

    #[test]
    fn an_edit_changes_what_it_names_and_clears_what_it_empties() {
        let before = Place {
            section: Some("Stalls".to_owned()),
            row: Some("C".to_owned()),
            seat: None,
        };
        let edit = EditTicket {
            row: Some(String::new()),
            seat: Some(" 7 ".to_owned()),
            ..EditTicket::default()
        };
        let (price, place) = check_edit((MinorUnits::new(2500), before), &edit).unwrap();
        assert_eq!(price, MinorUnits::new(2500));
        let after = Place {
            section: Some("Stalls".to_owned()),
            row: None,
            seat: Some("7".to_owned()),
        };
        assert_eq!(place, after);
    }

    proptest! {
        #[test]
        fn a_price_is_accepted_exactly_if_it_is_in_range(minor in any::<i64>()) {
            let accepted = check_listing(&listing(minor, "", ""), 1, pounds()).is_ok();
            prop_assert_eq!(accepted, (30..=99_999_999).contains(&minor));
            let accepted = check_listing(&listing(minor, "", ""), 1, None).is_ok();
            prop_assert_eq!(accepted, minor > 0);
        }
    }
}
