//! Dates and times of events as text and as form fields, in the venue's time zone.

use super::Event;
use crate::error::FieldError;
use jiff::{
    SignedDuration, Timestamp, Zoned, civil,
    tz::{AmbiguousOffset, TimeZone},
};

fn local(starts_at: Timestamp, time_zone: &str) -> Zoned {
    // Time zones are checked when an event is created; one that no longer exists is shown as UTC.
    starts_at.to_zoned(TimeZone::get(time_zone).unwrap_or(TimeZone::UTC))
}

/// `Thu 1 May 2031, 8:30 pm`
pub fn when(starts_at: Timestamp, time_zone: &str) -> String {
    let local = local(starts_at, time_zone);
    format!("{}, {}", local.strftime("%a %-d %b %Y"), clock_time(&local))
}

/// `Thursday 1 May 2031, 8:30 pm BST`
pub fn when_in_full(starts_at: Timestamp, time_zone: &str) -> String {
    let local = local(starts_at, time_zone);
    format!(
        "{}, {} {}",
        local.strftime("%A %-d %B %Y"),
        clock_time(&local),
        zone_abbreviation(&local)
    )
}

/// A shorter event is shown with one day, even if it ends after midnight.
const SEVERAL_DAYS_MIN: SignedDuration = SignedDuration::from_hours(12);

/// As [`when`]; for an event of several days with the last day: `Thu 1 May, 8:30 pm – Sat 3 May 2031`.
pub fn when_until(starts_at: Timestamp, ends_at: Option<Timestamp>, time_zone: &str) -> String {
    let begins = local(starts_at, time_zone);
    let ends = ends_at
        .filter(|end| end.duration_since(starts_at) >= SEVERAL_DAYS_MIN)
        .map(|end| local(end, time_zone))
        .filter(|end| end.date() != begins.date());
    let Some(ends) = ends else {
        return when(starts_at, time_zone);
    };
    let first = if begins.year() == ends.year() {
        begins.strftime("%a %-d %b")
    } else {
        begins.strftime("%a %-d %b %Y")
    };
    let (first, last) = (first.to_string(), ends.strftime("%a %-d %b %Y"));
    format!("{first}, {} – {last}", clock_time(&begins))
}

/// As [`when_in_full`], with the end: `Thursday 1 May 2031, 8:30 pm – 11:00 pm BST`, or
/// `Thursday 1 May 2031, 8:30 pm – Saturday 3 May 2031, 6:00 pm BST`.
pub fn when_until_in_full(
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    time_zone: &str,
) -> String {
    let Some(ends_at) = ends_at.filter(|end| *end > starts_at) else {
        return when_in_full(starts_at, time_zone);
    };
    let (begins, ends) = (local(starts_at, time_zone), local(ends_at, time_zone));
    let first = if begins.offset() == ends.offset() {
        let day = begins.strftime("%A %-d %B %Y");
        format!("{day}, {}", clock_time(&begins))
    } else {
        // The clocks change during the event.
        when_in_full(starts_at, time_zone)
    };
    let last = if begins.date() == ends.date() {
        format!("{} {}", clock_time(&ends), zone_abbreviation(&ends))
    } else {
        when_in_full(ends_at, time_zone)
    };
    format!("{first} – {last}")
}

impl Event {
    /// Short form, for lists.
    pub fn when(&self) -> String {
        when_until(self.starts_at, self.ends_at, &self.time_zone)
    }

    pub fn when_in_full(&self) -> String {
        when_until_in_full(self.starts_at, self.ends_at, &self.time_zone)
    }
}

/// `BST`, or the offset from UTC for a zone without an abbreviation.
fn zone_abbreviation(local: &Zoned) -> String {
    let name = local.strftime("%Z").to_string();
    if name.starts_with(['+', '-']) {
        return format!("UTC{name}");
    }
    name
}

/// Day of the month and month, for a date badge: `1` and `May`.
pub fn day_and_month(starts_at: Timestamp, time_zone: &str) -> (String, String) {
    let local = local(starts_at, time_zone);
    (
        local.strftime("%-d").to_string(),
        local.strftime("%b").to_string(),
    )
}

/// Values of form fields: `2031-05-01` and `20:30`.
pub fn date_and_time(starts_at: Timestamp, time_zone: &str) -> (String, String) {
    let local = local(starts_at, time_zone);
    (
        local.strftime("%Y-%m-%d").to_string(),
        local.strftime("%H:%M").to_string(),
    )
}

fn clock_time(local: &Zoned) -> String {
    local.strftime("%-I:%M %p").to_string().to_lowercase()
}

/// Parses the form fields `date` and `time` in `time_zone`.
///
/// Errors: all invalid fields of `date`, `time` and `time_zone`.
pub fn starts_at(date: &str, time: &str, time_zone: &str) -> Result<Timestamp, Vec<FieldError>> {
    moment([("date", date), ("time", time)], time_zone)
}

/// Parses a date field and a time field in `time_zone`.
///
/// Errors: all invalid fields, including `time_zone`.
pub(super) fn moment(
    [(date_field, date), (time_field, time)]: [(&'static str, &str); 2],
    time_zone: &str,
) -> Result<Timestamp, Vec<FieldError>> {
    let zone = TimeZone::get(time_zone.trim()).map_err(|_| {
        FieldError::new(
            "time_zone",
            "Choose the time zone of the venue, like Europe/London.",
        )
    });
    let day: Result<civil::Date, _> = date
        .trim()
        .parse()
        .map_err(|_| FieldError::new(date_field, "Choose the day, like 2031-05-01."));
    let hour: Result<civil::Time, _> = time
        .trim()
        .parse()
        .map_err(|_| FieldError::new(time_field, "Choose the time, like 19:30."));
    let (zone, day, hour) = match (zone, day, hour) {
        (Ok(zone), Ok(day), Ok(hour)) => (zone, day, hour),
        (zone, day, hour) => {
            let wrong = [day.err(), hour.err(), zone.err()];
            return Err(wrong.into_iter().flatten().collect());
        }
    };
    let local = zone.into_ambiguous_zoned(day.to_datetime(hour));
    if matches!(local.offset(), AmbiguousOffset::Gap { .. }) {
        let message = "The clocks go forward then, and skip this time.";
        return Err(vec![FieldError::new(time_field, message)]);
    }
    local
        .compatible()
        .map(|zoned| zoned.timestamp())
        .map_err(|_| vec![FieldError::new(date_field, "That day is too far away.")])
}

/// As [`moment`], but `None` if both fields are empty. If only the date is empty, it is `on`, the day of the
/// start.
pub fn moment_if_given(
    [(date_field, date), (time_field, time)]: [(&'static str, &str); 2],
    on: &str,
    time_zone: &str,
) -> Result<Option<Timestamp>, Vec<FieldError>> {
    let day = match (date.trim(), time.trim()) {
        ("", "") => return Ok(None),
        ("", _) => ("date", on),
        (date, _) => (date_field, date),
    };
    moment([day, (time_field, time)], time_zone).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_venues_time_zone() {
        let starts_at = "2031-05-01T19:30:00Z".parse().unwrap();
        assert_eq!(when(starts_at, "Europe/London"), "Thu 1 May 2031, 8:30 pm");
        assert_eq!(when(starts_at, "Asia/Tokyo"), "Fri 2 May 2031, 4:30 am");
        assert_eq!(
            when_in_full(starts_at, "Europe/London"),
            "Thursday 1 May 2031, 8:30 pm BST"
        );
        assert_eq!(
            when_in_full(starts_at, "America/Sao_Paulo"),
            "Thursday 1 May 2031, 4:30 pm UTC-03"
        );
        assert_eq!(
            day_and_month(starts_at, "Nowhere/AtAll"),
            ("1".to_owned(), "May".to_owned())
        );
    }

    #[test]
    fn form_fields_round_trip() {
        let moment = "2031-05-01T19:30:00Z".parse().unwrap();
        let (date, time) = date_and_time(moment, "Europe/London");
        assert_eq!((date.as_str(), time.as_str()), ("2031-05-01", "20:30"));
        assert_eq!(starts_at(&date, &time, "Europe/London"), Ok(moment));
    }

    #[test]
    fn form_fields_are_parsed_in_the_venues_time_zone() {
        let begins = starts_at("2031-05-01", "20:30", "Europe/London").unwrap();
        assert_eq!(begins, "2031-05-01T19:30:00Z".parse().unwrap());
        let wrong = |date, time, zone| {
            let wrong = starts_at(date, time, zone).unwrap_err().into_iter();
            wrong.map(|wrong| wrong.field).collect::<Vec<_>>()
        };
        assert_eq!(wrong("2027-03-28", "01:30", "Europe/London"), ["time"]);
        assert!(starts_at("2027-10-31", "01:30", "Europe/London").is_ok());
        assert_eq!(wrong("1 May", "20:30", "Europe/London"), ["date"]);
        assert_eq!(wrong("2031-05-01", "late", "Europe/London"), ["time"]);
        assert_eq!(wrong("2031-05-01", "20:30", "Leeds"), ["time_zone"]);
        assert_eq!(wrong("", "", ""), ["date", "time", "time_zone"]);
    }

    fn spans(starts_at: &str, ends_at: &str) -> (String, String) {
        let (starts_at, ends_at) = (starts_at.parse().unwrap(), ends_at.parse().unwrap());
        let zone = "Europe/London";
        (
            when_until(starts_at, Some(ends_at), zone),
            when_until_in_full(starts_at, Some(ends_at), zone),
        )
    }

    #[test]
    fn a_short_event_has_one_day() {
        let (short, full) = spans("2031-05-01T19:30:00Z", "2031-05-01T22:00:00Z");
        assert_eq!(short, "Thu 1 May 2031, 8:30 pm");
        assert_eq!(full, "Thursday 1 May 2031, 8:30 pm – 11:00 pm BST");
        let (short, full) = spans("2031-05-01T19:30:00Z", "2031-05-02T00:30:00Z");
        assert_eq!(short, "Thu 1 May 2031, 8:30 pm");
        assert_eq!(
            full,
            "Thursday 1 May 2031, 8:30 pm – Friday 2 May 2031, 1:30 am BST"
        );
    }

    #[test]
    fn an_event_of_several_days_has_its_first_and_last_day() {
        let (short, full) = spans("2031-05-01T19:30:00Z", "2031-05-03T17:00:00Z");
        assert_eq!(short, "Thu 1 May, 8:30 pm – Sat 3 May 2031");
        assert_eq!(
            full,
            "Thursday 1 May 2031, 8:30 pm – Saturday 3 May 2031, 6:00 pm BST"
        );
        let (short, _) = spans("2031-12-31T19:30:00Z", "2032-01-01T17:00:00Z");
        assert_eq!(short, "Wed 31 Dec 2031, 7:30 pm – Thu 1 Jan 2032");
    }

    #[test]
    fn both_zone_abbreviations_are_shown_if_the_clocks_change() {
        let (_, full) = spans("2027-10-30T19:00:00Z", "2027-10-31T02:30:00Z");
        assert_eq!(
            full,
            "Saturday 30 October 2027, 8:00 pm BST – Sunday 31 October 2027, 2:30 am GMT"
        );
    }

    #[test]
    fn an_end_is_optional_and_without_a_date_on_the_day_of_the_start() {
        let end = |date, time| {
            let fields = [("end_date", date), ("end_time", time)];
            moment_if_given(fields, "2031-05-01", "Europe/London")
        };
        assert_eq!(end("", " "), Ok(None));
        assert_eq!(end("", "23:00"), Ok("2031-05-01T22:00:00Z".parse().ok()));
        assert_eq!(
            end("2031-05-03", "18:00"),
            Ok("2031-05-03T17:00:00Z".parse().ok())
        );
        assert_eq!(end("2031-05-03", "").unwrap_err()[0].field, "end_time");
        assert_eq!(end("2027-03-28", "01:30").unwrap_err()[0].field, "end_time");
    }
}
