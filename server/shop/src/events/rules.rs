//! Validates and normalizes the fields of an event. Pure.

use super::words;
use crate::{
    names,
    text::{line_error, lines_error},
};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    Moment,
    error::FieldError,
    events::{Category, CreateEvent, Span, UpdateEvent},
    money::Currency,
};
use std::time::Duration;

const TITLE_MAX: usize = 120;
const VENUE_MAX: usize = 120;
const CITY_MAX: usize = 80;
const DESCRIPTION_MAX: usize = 5000;
/// The longest duration of an event. `listing.rs` looks back this far for running events.
pub(super) const DURATION_MAX: Duration = Duration::from_hours(366 * 24);

/// ISO 3166-1 alpha-2, and XK for Kosovo, a user-assigned code that the European Union and the card
/// networks use.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
    BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY \
    CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN \
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
    PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN \
    VU WF WS XK YE YT ZA ZM ZW";

/// Names in the time zone database that are not time zones of a place.
const NOT_PLACES: [&str; 2] = ["Factory", "Etc/Unknown"];

/// The validated fields of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
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
    pub starts_at: Moment,
    pub ends_at: Option<Moment>,
    /// The end of sales, if that is after the start.
    pub sales_until: Option<Moment>,
    /// A known IANA time zone.
    pub time_zone: String,
    pub currency: Currency,
    pub category: Category,
}

impl Checked {
    /// The words that the search compares.
    pub(crate) fn search_text(&self) -> String {
        words::index_words(&format!("{} {} {}", self.title, self.venue, self.city))
    }

    /// The venue's offset from UTC at the start, in microseconds.
    pub(crate) fn utc_offset_micros(&self) -> i64 {
        TimeZone::get(&self.time_zone).map_or(0, |zone| {
            i64::from(zone.to_offset(self.starts_at.timestamp()).seconds()) * 1_000_000
        })
    }

    pub(crate) fn span(&self) -> Span {
        Span {
            starts_at: self.starts_at.timestamp(),
            ends_at: self.ends_at.map(Moment::timestamp),
            sales_until: self.sales_until.map(Moment::timestamp),
        }
    }

    pub(crate) fn is_on_sale(&self, now: Moment) -> bool {
        self.span().is_on_sale(now.timestamp())
    }

    /// The value that the city filter compares.
    pub(crate) fn city_key(&self) -> String {
        names::key(&self.city)
    }
}

/// Checks a new event. Errors: all invalid fields.
pub(crate) fn check(request: CreateEvent, now: Timestamp) -> Result<Checked, Vec<FieldError>> {
    check_after(request, None, now)
}

/// `before` is the event before an update. It may keep a currency that is no longer accepted, and times in
/// the past.
fn check_after(
    request: CreateEvent,
    before: Option<&Checked>,
    now: Timestamp,
) -> Result<Checked, Vec<FieldError>> {
    let mut errors = Vec::new();
    let kept = before.map(|before| before.currency);
    if !request.currency.is_accepted() && kept != Some(request.currency) {
        let message = format!("Cards can no longer be charged in {}.", request.currency);
        errors.push(FieldError::new("currency", message));
    }
    let span = Span {
        starts_at: request.starts_at,
        ends_at: request.ends_at,
        sales_until: request.sales_until,
    };
    // In the order of the form's fields, which is the order of the errors.
    let title = line(&mut errors, "title", &request.title, 1, TITLE_MAX);
    let venue = line(&mut errors, "venue", &request.venue, 1, VENUE_MAX);
    let city = line(&mut errors, "city", &request.city, 1, CITY_MAX);
    let country = country(&mut errors, &request.country);
    let span = times(&mut errors, span, before.map(Checked::span), now);
    let checked = Checked {
        title,
        venue,
        city,
        country,
        starts_at: span.starts_at.into(),
        ends_at: span.ends_at.map(Moment::from),
        sales_until: span.sales_until.map(Moment::from),
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

/// The event after the update, checked like a new one, except that unchanged times may be in the past.
pub(crate) fn check_update(
    before: &Checked,
    request: UpdateEvent,
    now: Timestamp,
) -> Result<Checked, Vec<FieldError>> {
    let span = before.span();
    let merged = CreateEvent {
        title: request.title.unwrap_or_else(|| before.title.clone()),
        venue: request.venue.unwrap_or_else(|| before.venue.clone()),
        city: request.city.unwrap_or_else(|| before.city.clone()),
        country: request.country.unwrap_or_else(|| before.country.clone()),
        starts_at: request.starts_at.unwrap_or(span.starts_at),
        ends_at: request.ends_at.unwrap_or(span.ends_at),
        sales_until: request.sales_until.unwrap_or(span.sales_until),
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
    check_after(merged, Some(before), now)
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

/// Rounds to microseconds, as stored.
fn to_stored(time: Timestamp) -> Timestamp {
    Moment::from(time).timestamp()
}

/// Checks the times. A time that is unchanged from `before` may be in the past.
fn times(errors: &mut Vec<FieldError>, span: Span, before: Option<Span>, now: Timestamp) -> Span {
    let span = Span {
        starts_at: to_stored(span.starts_at),
        ends_at: span.ends_at.map(to_stored),
        sales_until: span.sales_until.map(to_stored),
    };
    let has_passed = |time: Option<Timestamp>, of: fn(Span) -> Option<Timestamp>| {
        time.is_some_and(|time| time <= now) && time != before.and_then(of)
    };
    let in_future = "Choose a time in the future.";
    if has_passed(Some(span.starts_at), |span| Some(span.starts_at)) {
        errors.push(FieldError::new("startsAt", in_future));
    }
    if let Some(end) = span.ends_at {
        if end <= span.starts_at {
            let message = "The end must be after the start. If the event ends after midnight, enter the date as well.";
            errors.push(FieldError::new("endsAt", message));
        } else if Moment::from(end).since(span.starts_at.into()) > DURATION_MAX {
            errors.push(FieldError::new(
                "endsAt",
                "An event lasts at most 366 days.",
            ));
        } else if has_passed(span.ends_at, |span| span.ends_at) {
            errors.push(FieldError::new("endsAt", in_future));
        }
    }
    if let Some(until) = span.sales_until {
        if until <= span.starts_at {
            let message = "Sales end when the event starts unless you choose a later time. Choose a time after the start, or leave this empty.";
            errors.push(FieldError::new("salesUntil", message));
        } else if until > span.tickets_until() {
            let message = if span.ends_at.is_some() {
                "Sales must end before the event does."
            } else {
                "Sales end at most 12 hours after the start of an event without an end."
            };
            errors.push(FieldError::new("salesUntil", message));
        } else if has_passed(span.sales_until, |span| span.sales_until) {
            errors.push(FieldError::new("salesUntil", in_future));
        }
    }
    if errors.is_empty() && before.is_some() && span.is_over(now) {
        let field = if span.ends_at == before.and_then(|before| before.ends_at) {
            "salesUntil"
        } else {
            "endsAt"
        };
        let message = "The event would be over at once, and could not be changed again. Choose a time in \
                       the future.";
        errors.push(FieldError::new(field, message));
    }
    span
}

fn time_zone(errors: &mut Vec<FieldError>, value: &str) -> String {
    let value = value.trim();
    // Uses the spelling of the time zone database.
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
            ends_at: None,
            sales_until: None,
            time_zone: "Europe/London".to_owned(),
            currency: "GBP".parse().unwrap(),
            description: None,
            category: Category::Theatre,
        }
    }

    #[test]
    fn a_valid_event_is_normalized() {
        let checked = check(request(), now()).unwrap();
        assert_eq!(
            (checked.title.as_str(), checked.country.as_str()),
            ("Late Show", "GB")
        );
        assert_eq!(checked.search_text(), "late show old hall leeds");
        assert_eq!(checked.utc_offset_micros(), 3_600_000_000);
    }

    #[test]
    fn a_time_zone_must_exist_and_is_normalized() {
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
    fn all_invalid_fields_are_reported() {
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

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn wrong_times(starts: &str, ends: Option<&str>, sales: Option<&str>) -> Vec<String> {
        let request = CreateEvent {
            starts_at: time(starts),
            ends_at: ends.map(time),
            sales_until: sales.map(time),
            ..request()
        };
        let errors = check(request, now()).err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn an_end_is_after_the_start_and_sales_end_between_them() {
        let (start, end) = ("2031-05-01T10:00:00Z", Some("2031-05-03T18:00:00Z"));
        let none: [&str; 0] = [];
        assert_eq!(wrong_times(start, end, None), none);
        assert_eq!(wrong_times(start, end, end), none);
        assert_eq!(wrong_times(start, None, Some("2031-05-01T22:00:00Z")), none);
        assert_eq!(wrong_times(start, Some("2032-05-01T10:00:00Z"), None), none);
        for end in [
            start,
            "2031-05-01T09:00:00Z",
            "2032-05-02T10:00:01Z",
            "2020-01-01T00:00:00Z",
        ] {
            assert_eq!(wrong_times(start, Some(end), None), ["endsAt"], "{end}");
        }
        for sales in [start, "2031-05-01T09:00:00Z", "2031-05-03T18:00:01Z"] {
            assert_eq!(
                wrong_times(start, end, Some(sales)),
                ["salesUntil"],
                "{sales}"
            );
        }
        let late = Some("2031-05-01T22:00:01Z");
        assert_eq!(wrong_times(start, None, late), ["salesUntil"]);
    }

    #[test]
    fn a_running_events_end_can_change_but_not_its_start() {
        let before = Checked {
            starts_at: time("2026-11-22T10:00:00Z").into(),
            ends_at: Some(time("2026-11-24T18:00:00Z").into()),
            ..check(request(), now()).unwrap()
        };
        let update = |body: &str| {
            let request: UpdateEvent = serde_json::from_str(body).unwrap();
            let errors =
                check_update(&before, request, now()).map_err(|errors| errors[0].field.clone());
            errors.map(|checked| checked.ends_at.map(|end| end.timestamp().to_string()))
        };
        let end = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            update(r#"{"version":1,"title":"Later"}"#),
            end("2026-11-24T18:00:00Z")
        );
        assert_eq!(
            update(r#"{"version":1,"endsAt":"2026-11-25T18:00:00Z"}"#),
            end("2026-11-25T18:00:00Z")
        );
        // The event would be over at once.
        assert_eq!(
            update(r#"{"version":1,"endsAt":null}"#),
            Err("endsAt".to_owned())
        );
        assert_eq!(
            update(r#"{"version":1,"endsAt":"2026-11-23T09:00:00Z"}"#),
            Err("endsAt".to_owned())
        );
        assert_eq!(
            update(r#"{"version":1,"startsAt":"2026-11-22T11:00:00Z"}"#),
            Err("startsAt".to_owned())
        );
    }
}
