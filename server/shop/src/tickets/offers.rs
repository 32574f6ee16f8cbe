//! Sorts and filters the offers of an event for display. Pure.

use model::tickets::{NO_SECTION, Offer, Ticket, TicketStatus};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Groups offers, which come cheapest first, by section; the section with the cheapest offer first.
pub(crate) fn sort_by_section(mut offers: Vec<Offer>) -> Vec<Offer> {
    let mut positions = HashMap::new();
    for offer in &offers {
        let next = positions.len();
        positions.entry(offer.section.clone()).or_insert(next);
    }
    offers.sort_by_key(|offer| positions.get(&offer.section).copied());
    offers
}

/// Removes duplicates and keeps the order of first occurrence.
pub(crate) fn deduplicate(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// Keeps the available seats that are part of `together` or more adjacent numbers in a row.
pub(crate) fn keep_adjacent_seats(
    seats: Vec<(Ticket, String)>,
    together: i64,
) -> Vec<(Ticket, String)> {
    let free = |ticket: &Ticket| ticket.status == TicketStatus::Available;
    if together <= 1 {
        return seats
            .into_iter()
            .filter(|(ticket, _)| free(ticket))
            .collect();
    }
    let mut rows: BTreeMap<(String, Option<String>), BTreeSet<i64>> = BTreeMap::new();
    for (ticket, _) in &seats {
        if let (true, Some(number)) = (free(ticket), number(ticket)) {
            rows.entry(row_of(ticket)).or_default().insert(number);
        }
    }
    let is_in_run = |ticket: &Ticket| {
        let (Some(number), Some(row)) = (number(ticket), rows.get(&row_of(ticket))) else {
            return false;
        };
        let below = (1..).take_while(|step| row.contains(&(number - step)));
        let above = (1..).take_while(|step| row.contains(&(number + step)));
        1 + below.count() + above.count() >= usize::try_from(together).unwrap_or(usize::MAX)
    };
    seats
        .into_iter()
        .filter(|(ticket, _)| free(ticket) && is_in_run(ticket))
        .collect()
}

fn row_of(ticket: &Ticket) -> (String, Option<String>) {
    let section = ticket.section.clone();
    (
        section.unwrap_or_else(|| NO_SECTION.to_owned()),
        ticket.row.clone(),
    )
}

/// A seat's number. At most 32 bits, so that adding to it cannot overflow.
fn number(ticket: &Ticket) -> Option<i64> {
    ticket.seat.as_ref()?.parse::<u32>().ok().map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::{EventId, TicketId, UserId};
    use uuid::Uuid;

    fn seat(row: &str, seat: &str, status: TicketStatus) -> (Ticket, String) {
        let ticket = Ticket {
            id: TicketId(Uuid::nil()),
            event_id: EventId(Uuid::nil()),
            seller_id: UserId(Uuid::nil()),
            section: None,
            row: Some(row.to_owned()),
            seat: Some(seat.to_owned()),
            label: format!("{row}{seat}"),
            price_minor: 100,
            face_value_minor: None,
            currency: "GBP".parse().unwrap(),
            status,
            reserved_seconds_left: None,
            version: 1,
        };
        (ticket, String::new())
    }

    #[test]
    fn adjacent_seats_have_adjacent_numbers() {
        use TicketStatus::{Available, Reserved};
        let seats = || {
            vec![
                seat("A", "10", Available),
                seat("B", "1", Available),
                seat("A", "9", Available),
                seat("A", "11", Reserved),
                seat("A", "12", Available),
                seat("A", "8", Available),
                seat("A", "left", Available),
            ]
        };
        let labels = |together| {
            let found = keep_adjacent_seats(seats(), together);
            found
                .into_iter()
                .map(|(seat, _)| seat.label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(1), ["A10", "B1", "A9", "A12", "A8", "Aleft"]);
        assert_eq!(labels(2), ["A10", "A9", "A8"]);
        assert_eq!(labels(3), ["A10", "A9", "A8"]);
        assert!(labels(4).is_empty());
    }

    #[test]
    fn offers_are_grouped_by_section_cheapest_first() {
        let offer = |section: &str, price_minor| Offer {
            section: Some(section.to_owned()),
            price_minor,
            face_value_minor: None,
            seller_id: UserId(Uuid::nil()),
            seller_name: String::new(),
            available: 1,
            reserved: 0,
        };
        let offers = vec![
            offer("Circle", 10),
            offer("Stalls", 20),
            offer("Circle", 30),
            offer("Stalls", 40),
        ];
        let prices: Vec<i64> = sort_by_section(offers)
            .iter()
            .map(|offer| offer.price_minor)
            .collect();
        assert_eq!(prices, [10, 30, 20, 40]);
        let names = deduplicate(vec!["b".into(), "a".into(), "b".into()]);
        assert_eq!(names, ["b", "a"]);
    }
}
