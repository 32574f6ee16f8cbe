//! What stands on a ticket, read back from its file.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(unreachable_pub, reason = "no crate uses a test")]

mod reading;

use reading::{Page, pages};
use ticket_pdf::{Code, Document, Ticket, write};

fn ticket(title: &str) -> Ticket {
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ticket {
        title: title.to_owned(),
        when: "Friday 12 December 2031, 7:30 pm GMT".to_owned(),
        place: "Old Hall, Leeds".to_owned(),
        facts: vec![
            fact("Seat", "Stalls, Row C, Seat 12"),
            fact("Holder", "Ann Ash"),
            fact("Price", "£25.00"),
            fact("Order", "0000-00A9"),
            fact("Sold by", "Sally"),
        ],
        code: Code {
            side: 61,
            runs: (0..53).map(|row| (4, row + 4, 53)).collect(),
        },
        number: "0000-0001".to_owned(),
        count: "Ticket 1 of 1".to_owned(),
        notes: vec!["Show this code at the door.".to_owned()],
    }
}

fn document(tickets: Vec<Ticket>) -> Document {
    Document {
        title: "Tickets".to_owned(),
        shop: "Stagedoor".to_owned(),
        language: None,
        tickets,
    }
}

fn one(ticket: Ticket) -> Page {
    pages(&write(&document(vec![ticket])).unwrap()).remove(0)
}

/// Words of a script that runs from right to left, as they stand.
fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

#[test]
fn all_words_of_a_ticket_can_be_copied() {
    let page = one(ticket("Candlelight Strings"));
    let lines: Vec<&str> = page
        .lines
        .iter()
        .map(|(_, _, text)| text.as_str())
        .collect();
    for line in [
        "Stagedoor",
        "Candlelight Strings",
        "Friday 12 December 2031, 7:30 pm GMT",
        "Old Hall, Leeds",
        "Stalls, Row C, Seat 12",
        "Ann Ash",
        "£25.00",
        "0000-00A9",
        "Ticket 1 of 1",
        "0000-0001",
        "Show this code at the door.",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
}

#[test]
fn words_in_any_script_can_be_copied() {
    for title in [
        "Žluťoučký kůň — Łódź, œuvre, İstanbul",
        "Лебединое озеро, Київ",
        "Ορφέας και Ευρυδίκη, ᾠδή",
        "日本の劇場 髙島屋",
        "东方红大剧院",
        "臺灣戲劇節",
        "한국어 뮤지컬",
        "โรงละครแห่งชาติ น้ำ",
        "राष्ट्रीय नाट्य विद्यालय",
        "বাংলা নাট্যশালা",
        "தமிழ் நாடகம்",
        "🎻🎭 👩🏽‍🎤 🏳️‍🌈 🇯🇵",
        "𒀀𒀁 and 𒀀",
    ] {
        let page = one(ticket(title));
        let letters = page.letters();
        assert!(
            letters.contains(&title.replace(' ', "")),
            "{title}: {letters}"
        );
    }
    for title in ["מסיבה בתיאטרון", "شمس وقمر"] {
        let page = one(ticket(title));
        let letters = page.letters();
        assert!(
            letters.contains(&reversed(title).replace(' ', "")),
            "{title}: {letters}"
        );
        let line = page
            .lines
            .iter()
            .find(|(_, _, text)| *text == reversed(title));
        assert!(line.unwrap().0 > 120.0, "it begins on the right: {line:?}");
    }
}

#[test]
fn the_code_is_on_the_page_whatever_is_written() {
    let usual = one(ticket("Late Show")).code.unwrap();
    assert!(usual[0] > 0.0 && usual[1] > 421.0 && usual[2] < 595.0 && usual[3] < 842.0);
    assert!(usual[2] - usual[0] > 170.0, "six centimetres at least");
    let many_words = "many words ".repeat(400);
    for long in [
        "W".repeat(120),
        "W".repeat(5_000),
        "မြန်မာ".repeat(60),
        "ᾠ\u{302}\u{302}".repeat(120),
        many_words,
    ] {
        let mut ticket = ticket(&long);
        ticket.place.clone_from(&long);
        ticket.notes.push(long.clone());
        for (_, value) in &mut ticket.facts {
            value.clone_from(&long);
        }
        let page = one(ticket);
        assert_eq!(page.code, Some(usual), "{long}");
        for (x, y, text) in &page.lines {
            assert!(
                (20.0..575.0).contains(x) && (30.0..812.0).contains(y),
                "{text}"
            );
        }
    }
}

#[test]
fn a_word_of_120_letters_is_all_there() {
    let page = one(ticket(&"W".repeat(120)));
    assert_eq!(page.letters().matches('W').count(), 120);
}

#[test]
fn what_is_cut_stands_below_in_full() {
    let mut long = ticket(&"Donaudampfschifffahrt ".repeat(5));
    long.place = "Elektrizitätenhauptbetriebswerk ".repeat(8);
    for (_, value) in &mut long.facts {
        *value = "Unterbeamtengesellschaft ".repeat(9);
    }
    let page = one(long);
    let above = page.lines.iter().filter(|(_, y, _)| *y > 421.0);
    let cut = above.filter(|(_, _, text)| text.ends_with('…')).count();
    assert!(cut > 0);
    let below = page.lines.iter().filter(|(_, y, _)| *y < 421.0);
    let below: String = below.map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(below.matches("Donau").count(), 5);
    assert_eq!(below.matches("Elektri").count(), 8);
}

#[test]
fn ten_tickets_are_ten_pages_and_little_more_than_one() {
    let small = write(&document(vec![ticket("日本の劇場 🎻")])).unwrap();
    let large = write(&document(vec![ticket("日本の劇場 🎻"); 10])).unwrap();
    assert_eq!(pages(&large).len(), 10);
    assert!(small.len() < 60_000, "{} bytes", small.len());
    assert!(
        large.len() < small.len() + 9 * 4_000,
        "{} bytes",
        large.len()
    );
}

#[test]
fn a_ticket_may_have_empty_words() {
    let mut empty = ticket("");
    empty.place.clear();
    empty.facts.clear();
    empty.notes.clear();
    assert!(one(empty).code.is_some());
}
