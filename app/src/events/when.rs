//! When an event begins, as its visitors read it: by the clocks of the venue's town.

use crate::error::FieldError;
use jiff::{
    Timestamp, Zoned, civil,
    tz::{AmbiguousOffset, TimeZone},
};

fn local(starts_at: Timestamp, time_zone: &str) -> Zoned {
    // Zones are checked when an event is made; UTC is the honest answer for one that has gone.
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
        clocks(&local)
    )
}

/// Whose time it is: `BST`, or how far from UTC where a zone has no letters of its own.
fn clocks(local: &Zoned) -> String {
    let name = local.strftime("%Z").to_string();
    if name.starts_with(['+', '-']) {
        return format!("UTC{name}");
    }
    name
}

/// Day of the month and month, for a card's corner: `1` and `May`.
pub fn day_and_month(starts_at: Timestamp, time_zone: &str) -> (String, String) {
    let local = local(starts_at, time_zone);
    (
        local.strftime("%-d").to_string(),
        local.strftime("%b").to_string(),
    )
}

/// As the fields of a form have them: `2031-05-01` and `20:30`.
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

/// The moment that a form's date and time name, by the clocks of `time_zone`.
///
/// Errors: at `date`, `time` or `time_zone`.
pub fn starts_at(date: &str, time: &str, time_zone: &str) -> Result<Timestamp, FieldError> {
    let zone = TimeZone::get(time_zone.trim()).map_err(|_| {
        FieldError::new(
            "time_zone",
            "Choose the time zone of the venue, like Europe/London.",
        )
    })?;
    let day: civil::Date = date
        .trim()
        .parse()
        .map_err(|_| FieldError::new("date", "Choose the day, like 2031-05-01."))?;
    let hour: civil::Time = time
        .trim()
        .parse()
        .map_err(|_| FieldError::new("time", "Choose when it begins, like 19:30."))?;
    let local = zone.into_ambiguous_zoned(day.to_datetime(hour));
    if matches!(local.offset(), AmbiguousOffset::Gap { .. }) {
        let message = "The clocks go forward then, and skip this time.";
        return Err(FieldError::new("time", message));
    }
    local
        .compatible()
        .map(|zoned| zoned.timestamp())
        .map_err(|_| FieldError::new("date", "That day is too far away."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_venues() {
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
    fn a_form_says_what_it_would_mean() {
        let moment = "2031-05-01T19:30:00Z".parse().unwrap();
        let (date, time) = date_and_time(moment, "Europe/London");
        assert_eq!((date.as_str(), time.as_str()), ("2031-05-01", "20:30"));
        assert_eq!(starts_at(&date, &time, "Europe/London"), Ok(moment));
    }

    #[test]
    fn a_form_means_the_venues_clocks() {
        let begins = starts_at("2031-05-01", "20:30", "Europe/London").unwrap();
        assert_eq!(begins, "2031-05-01T19:30:00Z".parse().unwrap());
        let skipped = starts_at("2027-03-28", "01:30", "Europe/London");
        assert_eq!(skipped.unwrap_err().field, "time");
        assert!(starts_at("2027-10-31", "01:30", "Europe/London").is_ok());
        assert_eq!(
            starts_at("1 May", "20:30", "Europe/London")
                .unwrap_err()
                .field,
            "date"
        );
        assert_eq!(
            starts_at("2031-05-01", "late", "Europe/London")
                .unwrap_err()
                .field,
            "time"
        );
        assert_eq!(
            starts_at("2031-05-01", "20:30", "Leeds").unwrap_err().field,
            "time_zone"
        );
    }
}
