//! Writes a PDF with tickets in several scripts, to be looked at, and says how long that took:
//! `cargo run --release -p ticket-pdf --example ticket-pdf -- tickets.pdf`.

use std::{error::Error, time::Instant};
use ticket_pdf::{Code, Document, Ticket, write};

const TITLES: [(&str, &str, &str, &str); 11] = [
    (
        "Candlelight Strings",
        "Old Hall, Leeds",
        "Stalls, Row C, Seat 12",
        "Ann Ash",
    ),
    (
        "日本の劇場 髙島屋「雪国」公演",
        "国立劇場, 東京",
        "1階席, 3列, 12番",
        "山田太郎",
    ),
    (
        "东方红大剧院交响音乐会",
        "国家大剧院, 北京",
        "楼座, 3排, 12号",
        "王小明",
    ),
    (
        "ليلة الموسيقى العربية في دار الأوبرا",
        "دار الأوبرا المصرية, القاهرة",
        "الصالة, صف 3, مقعد 12",
        "محمد عبد الله",
    ),
    (
        "מסיבת שירה בתיאטרון הלאומי 2031",
        "הבימה, תל אביב",
        "יציע, שורה 3, מושב 12",
        "דני כהן",
    ),
    (
        "คอนเสิร์ตที่โรงละครแห่งชาติกรุงเทพมหานคร",
        "โรงละครแห่งชาติ, กรุงเทพ",
        "ชั้น 1, แถว 3, ที่นั่ง 12",
        "สมชาย ใจดี",
    ),
    (
        "राष्ट्रीय नाट्य विद्यालय का वार्षिक उत्सव",
        "कमानी सभागार, नई दिल्ली",
        "पंक्ति 3, सीट 12",
        "रवि शर्मा",
    ),
    (
        "🎻 Strings & 🎭 Drama 👩🏽‍🎤 🏳️‍🌈 🇯🇵",
        "Old Hall ☎️, Leeds ★",
        "Standing 🎟️",
        "Zoë 🌸",
    ),
    (
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "LlanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogochConcertHall, Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
        "The Right Honourable Earl's Circle with restricted view, Row AAAAAAAA, Seat 1200000",
        "Wolfeschlegelsteinhausenbergerdorff Maximiliane von und zu",
    ),
    (
        "한국어 뮤지컬 「햄릿」 — 𒀀𒀁",
        "예술의전당, 서울",
        "General admission",
        "김철수",
    ),
    ("Show", "Hall, Leeds", "General admission", "Ann"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("where should it go?")?;
    let tickets: Vec<Ticket> = TITLES.iter().map(ticket).collect();
    let begun = Instant::now();
    let bytes = write(&document(tickets.clone()))?;
    println!(
        "{} tickets: {} bytes, {:?} at first",
        tickets.len(),
        bytes.len(),
        begun.elapsed()
    );
    std::fs::write(path, bytes)?;
    for ticket in &tickets {
        let document = document(vec![ticket.clone()]);
        let begun = Instant::now();
        let bytes = write(&document)?;
        println!(
            "{} bytes, {:?}: {}",
            bytes.len(),
            begun.elapsed(),
            ticket.title
        );
    }
    Ok(())
}

fn document(tickets: Vec<Ticket>) -> Document {
    Document {
        title: "Tickets".to_owned(),
        shop: "Stagedoor".to_owned(),
        language: None,
        tickets,
    }
}

fn ticket((title, place, seat, holder): &(&str, &str, &str, &str)) -> Ticket {
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Not a code, but as many squares as one has.
    let runs = (0..53 * 53_u16)
        .filter(|n| n.wrapping_mul(40_503) % 5 < 2)
        .map(|n| (n % 53 + 4, n / 53 + 4, 1));
    Ticket {
        title: (*title).to_owned(),
        when: "Friday 12 December 2031, 7:30 pm GMT".to_owned(),
        place: (*place).to_owned(),
        facts: vec![
            fact("Seat", seat),
            fact("Holder", holder),
            fact("Price", "£25.00"),
            fact("Order", "0193-5A3C"),
            fact("Sold by", "Sally"),
        ],
        code: Code { side: 61, runs: runs.collect() },
        number: "0193-5A3C".to_owned(),
        count: "Ticket 1 of 11".to_owned(),
        notes: vec![
            "Show this code at the door, on paper or on a screen. It lets one person in, once. A refund \
             ends it."
                .to_owned(),
            "Whoever has a copy of the code can show it first, so keep it to yourself.".to_owned(),
        ],
    }
}
