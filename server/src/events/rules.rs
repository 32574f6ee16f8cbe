//! What an event must be like. Pure: text in, cleaned text or errors at fields out.

use super::words;
use crate::{
    names,
    text::{line_error, lines_error},
};
use app::{
    error::FieldError,
    events::{Category, CreateEvent, UpdateEvent},
    money::Currency,
};
use jiff::{Timestamp, tz::TimeZone};

const TITLE_MAX: usize = 120;
const VENUE_MAX: usize = 120;
const CITY_MAX: usize = 80;
const DESCRIPTION_MAX: usize = 5000;

/// ISO 3166-1 alpha-2, and XK for Kosovo: assigned by its users, as ISO 3166-1 allows, among them the
/// European Union and the card networks.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
    BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY \
    CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN \
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
    PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN \
    VU WF WS XK YE YT ZA ZM ZW";

/// Names in the database of time zones that stand for no place's time.
const NOT_PLACES: [&str; 2] = ["Factory", "Etc/Unknown"];

/// An event that may be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// 1 to 120 characters.
    pub title: String,
    /// Up to 5000 characters.
    pub description: String,
    /// 1 to 120 characters.
    pub venue: String,
    /// 1 to 80 characters.
    pub city: String,
    /// ISO 3166-1 alpha-2, capitals.
    pub country: String,
    /// When it begins.
    pub starts_at: Timestamp,
    /// An IANA time zone that exists.
    pub time_zone: String,
    /// What its tickets are priced in.
    pub currency: Currency,
    /// What kind of evening it is.
    pub category: Category,
}

impl Checked {
    /// The words that the search looks for.
    pub fn search_text(&self) -> String {
        words::index(&format!("{} {} {}", self.title, self.venue, self.city))
    }

    /// How far the venue's clocks are ahead of UTC when it begins, in microseconds.
    pub fn utc_offset_micros(&self) -> i64 {
        TimeZone::get(&self.time_zone).map_or(0, |zone| {
            i64::from(zone.to_offset(self.starts_at).seconds()) * 1_000_000
        })
    }

    /// What the city filter compares.
    pub fn city_key(&self) -> String {
        names::key(&self.city)
    }
}

/// Checks a new event; all that is wrong is said at once.
pub fn check(request: CreateEvent, now: Timestamp) -> Result<Checked, Vec<FieldError>> {
    check_after(request, None, now)
}

/// `before` is the currency that the event has so far: it may keep one that is no longer accepted.
fn check_after(
    request: CreateEvent,
    before: Option<Currency>,
    now: Timestamp,
) -> Result<Checked, Vec<FieldError>> {
    let mut errors = Vec::new();
    if !request.currency.is_accepted() && before != Some(request.currency) {
        let message = format!("Cards can no longer be charged in {}.", request.currency);
        errors.push(FieldError::new("currency", message));
    }
    let checked = Checked {
        title: line(&mut errors, "title", &request.title, 1, TITLE_MAX),
        venue: line(&mut errors, "venue", &request.venue, 1, VENUE_MAX),
        city: line(&mut errors, "city", &request.city, 1, CITY_MAX),
        country: country(&mut errors, &request.country),
        starts_at: future(&mut errors, request.starts_at, now),
        time_zone: time_zone(&mut errors, &request.time_zone),
        currency: request.currency,
        description: text(&mut errors, &request.description.unwrap_or_default()),
        category: request.category,
    };
    if errors.is_empty() {
        Ok(checked)
    } else {
        Err(errors)
    }
}

/// The event as it would be after `request`, checked as a new one is; a start that does not
/// change may be as it was.
pub fn check_update(
    before: &Checked,
    request: UpdateEvent,
    now: Timestamp,
) -> Result<Checked, Vec<FieldError>> {
    let merged = CreateEvent {
        title: request.title.unwrap_or_else(|| before.title.clone()),
        venue: request.venue.unwrap_or_else(|| before.venue.clone()),
        city: request.city.unwrap_or_else(|| before.city.clone()),
        country: request.country.unwrap_or_else(|| before.country.clone()),
        starts_at: request.starts_at.unwrap_or(before.starts_at),
        time_zone: request
            .time_zone
            .unwrap_or_else(|| before.time_zone.clone()),
        currency: request.currency.unwrap_or(before.currency),
        description: Some(
            request
                .description
                .unwrap_or_else(|| before.description.clone()),
        ),
        category: request.category.unwrap_or(before.category),
    };
    check_after(merged, Some(before.currency), now)
}

fn line(
    errors: &mut Vec<FieldError>,
    field: &'static str,
    value: &str,
    min: usize,
    max: usize,
) -> String {
    let value = value.trim();
    let length = value.chars().count();
    if length < min {
        errors.push(FieldError::new(field, "This can't be empty."));
    } else if length > max {
        errors.push(FieldError::new(
            field,
            format!("Use at most {max} characters."),
        ));
    } else if let Some(wrong) = line_error(value) {
        errors.push(FieldError::new(field, wrong));
    }
    value.to_owned()
}

fn text(errors: &mut Vec<FieldError>, value: &str) -> String {
    let value = value.trim().replace("\r\n", "\n");
    if value.chars().count() > DESCRIPTION_MAX {
        let message = format!("Use at most {DESCRIPTION_MAX} characters.");
        errors.push(FieldError::new("description", message));
    } else if let Some(wrong) = lines_error(&value) {
        errors.push(FieldError::new("description", wrong));
    }
    value
}

fn country(errors: &mut Vec<FieldError>, value: &str) -> String {
    let value = value.trim().to_uppercase();
    if value.len() != 2 || !COUNTRIES.split(' ').any(|code| code == value) {
        let message = "Use a two-letter country code, such as GB or DE.";
        errors.push(FieldError::new("country", message));
    }
    value
}

/// As exact as it is kept: in microseconds.
fn future(errors: &mut Vec<FieldError>, starts_at: Timestamp, now: Timestamp) -> Timestamp {
    if starts_at <= now {
        errors.push(FieldError::new("startsAt", "Choose a time in the future."));
    }
    Timestamp::from_microsecond(starts_at.as_microsecond()).unwrap_or(starts_at)
}

fn time_zone(errors: &mut Vec<FieldError>, value: &str) -> String {
    let value = value.trim();
    // As the database of time zones spells it.
    let known = TimeZone::get(value)
        .ok()
        .filter(|zone| !zone.is_unknown())
        .and_then(|zone| zone.iana_name().map(str::to_owned))
        .filter(|name| !NOT_PLACES.contains(&name.as_str()));
    known.unwrap_or_else(|| {
        let message = "Use a time zone's name, such as Europe/London.";
        errors.push(FieldError::new("timeZone", message));
        value.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T10:00:00Z".parse().unwrap()
    }

    fn request() -> CreateEvent {
        CreateEvent {
            title: "  Late Show ".to_owned(),
            venue: "Old Hall".to_owned(),
            city: "Leeds".to_owned(),
            country: "gb".to_owned(),
            starts_at: "2031-05-01T19:30:00Z".parse().unwrap(),
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            description: None,
            category: Category::Theatre,
        }
    }

    #[test]
    fn a_good_event_is_cleaned_and_kept() {
        let checked = check(request(), now()).unwrap();
        assert_eq!(
            (checked.title.as_str(), checked.country.as_str()),
            ("Late Show", "GB")
        );
        assert_eq!(checked.search_text(), "late show old hall leeds");
        assert_eq!(checked.utc_offset_micros(), 3_600_000_000);
    }

    #[test]
    fn a_time_zone_is_one_that_exists_and_is_spelt_as_it_is_known() {
        let zone = |name: &str| {
            let request = CreateEvent {
                time_zone: name.to_owned(),
                ..request()
            };
            check(request, now()).map(|checked| checked.time_zone).ok()
        };
        assert_eq!(zone("europe/belgrade").as_deref(), Some("Europe/Belgrade"));
        assert_eq!(zone("utc").as_deref(), Some("UTC"));
        for name in [
            "",
            "CET+1",
            "Europe/Atlantis",
            "GMT+25",
            "Etc/Unknown",
            "Factory",
            "localtime",
            "../UTC",
            "+01:00",
            "Europe/London ",
        ] {
            let known = zone(name);
            assert_eq!(
                known.is_some(),
                name.trim() == "Europe/London",
                "{name}: {known:?}"
            );
        }
    }

    #[test]
    fn kosovo_is_a_country() {
        let request = CreateEvent {
            country: "xk".to_owned(),
            ..request()
        };
        assert_eq!(check(request, now()).unwrap().country, "XK");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = CreateEvent {
            title: " ".to_owned(),
            city: "x".repeat(81),
            country: "XX".to_owned(),
            starts_at: now(),
            time_zone: "Mars/Olympus".to_owned(),
            description: Some("x".repeat(5001)),
            ..request()
        };
        let fields: Vec<String> = check(wrong, now())
            .unwrap_err()
            .into_iter()
            .map(|error| error.field)
            .collect();
        let expected = [
            "title",
            "city",
            "country",
            "startsAt",
            "timeZone",
            "description",
        ];
        assert_eq!(fields, expected);
    }
}
