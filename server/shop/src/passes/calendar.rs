//! Formats the event of an order for calendars: RFC 5545, one VEVENT. An event without a known end is
//! entered with two hours, and the description states that they are assumed. Reads no database.
//!
//! Written here because the crate `icalendar` (0.17.17) can write lines of 76 bytes, and control
//! characters as they are.

use super::Booklet;
use jiff::{SignedDuration, Timestamp};

/// How long an event without an end is assumed to last.
const ASSUMED_DURATION: SignedDuration = SignedDuration::from_hours(2);
/// The most bytes of a line without its line break.
const LINE_BYTES: usize = 75;

/// Formats the file. `now` becomes DTSTAMP; `public_url` is the shop's origin.
pub(crate) fn render_calendar(booklet: &Booklet, public_url: &str, now: Timestamp) -> String {
    let event = &booklet.event;
    let host = public_url
        .split_once("://")
        .map_or(public_url, |(_, host)| host);
    let seats: Vec<&str> = booklet
        .passes
        .iter()
        .map(|pass| pass.label.as_str())
        .collect();
    let page = format!("{public_url}/orders/{}", booklet.order);
    let when = match event.ends_at {
        Some(_) => format!("{}.", event.when_in_full()),
        None => format!(
            "Begins {}. The end is not known; two hours are assumed.",
            event.when_in_full()
        ),
    };
    let description = format!(
        "{when}\nTickets: {}.\nOrder {}: {page}",
        seats.join("; "),
        booklet.order.code(),
    );
    let ends = event.ends_at.filter(|end| *end > event.starts_at);
    let ends = ends.or_else(|| event.starts_at.checked_add(ASSUMED_DURATION).ok());
    let lines = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//Stagedoor//Tickets//EN".to_owned(),
        "CALSCALE:GREGORIAN".to_owned(),
        "METHOD:PUBLISH".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:order-{}@{host}", booklet.order),
        format!("DTSTAMP:{}", utc(now)),
        format!("DTSTART:{}", utc(event.starts_at)),
        format!("DTEND:{}", utc(ends.unwrap_or(event.starts_at))),
        format!("SEQUENCE:{}", event.version - 1),
        format!("SUMMARY:{}", escape(&event.title)),
        format!(
            "LOCATION:{}",
            escape(&format!("{}, {}", event.venue, event.city))
        ),
        format!("DESCRIPTION:{}", escape(&description)),
        format!("URL:{page}"),
        "STATUS:CONFIRMED".to_owned(),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
    ];
    lines.iter().map(|line| fold(line)).collect()
}

fn utc(moment: Timestamp) -> String {
    moment.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Escapes a text value, so that nothing in it ends a line or separates values.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Folds a line into lines of at most 75 bytes, of which all but the first begin with a space. No
/// character is split.
fn fold(line: &str) -> String {
    let mut folded = String::with_capacity(line.len() + 8);
    let mut bytes = 0;
    for c in line.chars() {
        if bytes + c.len_utf8() > LINE_BYTES {
            folded.push_str("\r\n ");
            bytes = 1;
        }
        folded.push(c);
        bytes += c.len_utf8();
    }
    folded.push_str("\r\n");
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::booklet::tests::booklet;

    #[test]
    fn an_order_is_an_entry_in_a_calendar() {
        let now = "2031-05-01T10:00:00Z".parse().unwrap();
        let file = render_calendar(
            &booklet("Strings; by candlelight, \\o/"),
            "https://x.example",
            now,
        );
        let unfolded = file.replace("\r\n ", "");
        let lines: Vec<&str> = unfolded.split_terminator("\r\n").collect();
        for line in [
            "BEGIN:VCALENDAR",
            "UID:order-00000000-0000-0000-0000-0000000000a9@x.example",
            "DTSTAMP:20310501T100000Z",
            "DTSTART:20311212T193000Z",
            "DTEND:20311212T213000Z",
            "SUMMARY:Strings\\; by candlelight\\, \\\\o/",
            "LOCATION:Old Hall\\, Leeds",
            "URL:https://x.example/orders/00000000-0000-0000-0000-0000000000a9",
            "END:VCALENDAR",
        ] {
            assert!(lines.contains(&line), "{line}: {lines:?}");
        }
        let description = lines.iter().find(|line| line.starts_with("DESC")).unwrap();
        assert!(description.contains("two hours are assumed.\\nTickets: Stalls\\, Row C"));
    }

    #[test]
    fn no_line_is_longer_than_75_bytes_and_no_character_is_split() {
        for character in ["a", "ä", "日", "🎻"] {
            for before in 0..4 {
                let line = format!("{}{}", "x".repeat(before), character.repeat(120));
                let folded = fold(&line);
                assert!(folded.split("\r\n").all(|part| part.len() <= LINE_BYTES));
                assert_eq!(folded.replace("\r\n ", ""), format!("{line}\r\n"));
            }
        }
        assert_eq!(fold("short"), "short\r\n");
    }

    #[test]
    fn a_title_cannot_add_lines() {
        let file = render_calendar(
            &booklet("x\r\nATTENDEE:mailto:a@b.example"),
            "https://x.example",
            Timestamp::UNIX_EPOCH,
        );
        assert!(!file.contains("\nATTENDEE"), "{file}");
    }
}
