//! The times of an event: start, end, end of sales, end of the tickets' validity.

use super::Event;
use jiff::{SignedDuration, Timestamp};

/// How long after the start the tickets of an event without an end are valid.
const VALID_FOR: SignedDuration = SignedDuration::from_hours(12);

/// The times of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub starts_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    /// The end of sales, if that is after the start.
    pub sales_until: Option<Timestamp>,
}

impl Span {
    pub fn sale_ends(&self) -> Timestamp {
        self.sales_until
            .map_or(self.starts_at, |until| until.max(self.starts_at))
    }

    pub fn is_on_sale(&self, now: Timestamp) -> bool {
        now < self.sale_ends()
    }

    /// The end, or the start if no end is known.
    pub fn last_moment(&self) -> Timestamp {
        self.ends_at
            .map_or(self.starts_at, |end| end.max(self.starts_at))
    }

    /// Whether end and sales have passed; the event then can no longer be changed.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.last_moment().max(self.sale_ends()) <= now
    }

    /// When the tickets cease to be valid.
    pub fn tickets_until(&self) -> Timestamp {
        match self.ends_at.filter(|end| *end > self.starts_at) {
            Some(end) => end,
            None => self
                .starts_at
                .saturating_add(VALID_FOR)
                .unwrap_or(self.starts_at),
        }
    }
}

impl Event {
    pub fn span(&self) -> Span {
        Span {
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            sales_until: self.sales_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_event_without_an_end_is_sold_until_its_start_and_shown_for_12_hours() {
        let span = Span {
            starts_at: at("2031-05-01T19:30:00Z"),
            ends_at: None,
            sales_until: None,
        };
        assert!(span.is_on_sale(at("2031-05-01T19:29:59Z")));
        assert!(!span.is_on_sale(at("2031-05-01T19:30:00Z")));
        assert!(span.is_over(at("2031-05-01T19:30:00Z")));
        assert_eq!(span.tickets_until(), at("2031-05-02T07:30:00Z"));
    }

    #[test]
    fn an_event_of_three_days_is_sold_and_shown_as_long_as_it_says() {
        let span = Span {
            starts_at: at("2031-05-01T10:00:00Z"),
            ends_at: Some(at("2031-05-03T18:00:00Z")),
            sales_until: Some(at("2031-05-03T12:00:00Z")),
        };
        assert!(span.is_on_sale(at("2031-05-03T11:59:59Z")));
        assert!(!span.is_on_sale(at("2031-05-03T12:00:00Z")));
        assert!(!span.is_over(at("2031-05-03T17:59:59Z")));
        assert!(span.is_over(at("2031-05-03T18:00:00Z")));
        assert_eq!(span.tickets_until(), at("2031-05-03T18:00:00Z"));
    }

    #[test]
    fn a_start_that_was_moved_behind_the_end_counts() {
        let span = Span {
            starts_at: at("2031-05-05T10:00:00Z"),
            ends_at: Some(at("2031-05-03T18:00:00Z")),
            sales_until: Some(at("2031-05-03T12:00:00Z")),
        };
        assert_eq!(span.sale_ends(), span.starts_at);
        assert_eq!(span.last_moment(), span.starts_at);
        assert_eq!(span.tickets_until(), at("2031-05-05T22:00:00Z"));
    }
}
