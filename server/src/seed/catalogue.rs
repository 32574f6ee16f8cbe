//! The demo shop's sellers, events and tickets. Venues and companies are invented; cities and currencies
//! are real.

use model::events::Category::{self, Comedy, Dance, Family, Music, Theatre};

/// The sellers' e-mail addresses and names. The first is the demo account for sellers.
pub(super) const SELLERS: &[(&str, &str)] = &[
    (super::SELLER_EMAIL, "Olivia Hart"),
    ("boxoffice@stagedoor.example", "Stagedoor Box Office"),
    ("mateo@stagedoor.example", "Mateo Ruiz"),
    ("saskia@stagedoor.example", "Saskia de Vries"),
];

const OLIVIA: usize = 0;
const HOUSE: usize = 1;
const MATEO: usize = 2;
const SASKIA: usize = 3;

/// A demo event.
pub(super) struct Show {
    pub title: &'static str,
    pub category: Category,
    pub venue: &'static str,
    pub city: &'static str,
    pub country: &'static str,
    pub time_zone: &'static str,
    pub currency: &'static str,
    pub in_days: i64,
    /// Hour and minute of the start, in `time_zone`.
    pub at: (i8, i8),
    /// If it lasts several days: how many days later it ends, and the hour and minute. Sales end then, too.
    pub until: Option<(i64, (i8, i8))>,
    pub seller: usize,
    pub description: &'static str,
    pub lots: &'static [Lot],
}

/// Tickets that are listed together.
pub(super) struct Lot {
    pub seller: usize,
    /// Empty for general admission.
    pub section: &'static str,
    pub price_minor: i64,
    /// 0 if not stated.
    pub face_value_minor: i64,
    pub seats: Seats,
}

/// The seats of a lot.
pub(super) enum Seats {
    /// The number of tickets without seats.
    Unnumbered(i64),
    /// A row, with its first and last seat.
    Row(&'static str, i32, i32),
}

use Seats::{Row, Unnumbered};

const fn lot(
    seller: usize,
    section: &'static str,
    price_minor: i64,
    face_value_minor: i64,
    seats: Seats,
) -> Lot {
    Lot {
        seller,
        section,
        price_minor,
        face_value_minor,
        seats,
    }
}

/// All demo events.
pub(super) const SHOWS: &[Show] = &[
    Show {
        title: "The Lamplighter",
        category: Theatre,
        venue: "Northgate Playhouse",
        city: "Leeds",
        country: "GB",
        time_zone: "Europe/London",
        currency: "GBP",
        in_days: 12,
        at: (19, 30),
        until: None,
        seller: HOUSE,
        description: "The last man to light a city's streets by hand keeps a secret in every lamp. \
            A new play in two acts, told by eight actors and four hundred flames.\n\n\
            Two hours and ten minutes with an interval. Ages 12 and up.",
        lots: &[
            lot(HOUSE, "Stalls", 4200, 4200, Unnumbered(60)),
            lot(HOUSE, "Circle", 3100, 3100, Unnumbered(40)),
            lot(HOUSE, "Balcony", 1800, 1800, Unnumbered(25)),
            lot(OLIVIA, "Stalls", 3800, 4200, Row("F", 11, 12)),
            lot(OLIVIA, "Circle", 2600, 3100, Row("B", 4, 5)),
        ],
    },
    Show {
        title: "Tidewater: A Folk Opera",
        category: Music,
        venue: "The Old Customs House",
        city: "Bristol",
        country: "GB",
        time_zone: "Europe/London",
        currency: "GBP",
        in_days: 19,
        at: (19, 0),
        until: None,
        seller: HOUSE,
        description: "Fiddles, accordion and a choir of forty on the harbour's edge. \
            The audience stands where the water used to be.",
        lots: &[
            lot(HOUSE, "", 2600, 2600, Unnumbered(80)),
            lot(OLIVIA, "", 2200, 2600, Unnumbered(3)),
        ],
    },
    Show {
        title: "Midnight Radio Hour",
        category: Comedy,
        venue: "Cellar 41",
        city: "London",
        country: "GB",
        time_zone: "Europe/London",
        currency: "GBP",
        in_days: 5,
        at: (22, 30),
        until: None,
        seller: OLIVIA,
        description: "A live radio play with no rehearsal, a foley table full of kitchenware and \
            one very patient double bass. A different script every night.",
        lots: &[lot(OLIVIA, "", 1550, 1550, Unnumbered(36))],
    },
    Show {
        title: "Kestrel & the Low Skies",
        category: Music,
        venue: "Brightside Arena",
        city: "Manchester",
        country: "GB",
        time_zone: "Europe/London",
        currency: "GBP",
        in_days: 47,
        at: (20, 0),
        until: None,
        seller: HOUSE,
        description: "The only northern date of the tour. Doors at 18:30, support from Paper Moth.",
        lots: &[
            lot(HOUSE, "Standing", 5950, 5950, Unnumbered(120)),
            lot(HOUSE, "Block 104", 7400, 7400, Unnumbered(60)),
            lot(MATEO, "Block 104", 6800, 7400, Row("M", 7, 10)),
        ],
    },
    Show {
        title: "Die Uhrmacherin",
        category: Theatre,
        venue: "Theater am Kanal",
        city: "Berlin",
        country: "DE",
        time_zone: "Europe/Berlin",
        currency: "EUR",
        in_days: 9,
        at: (20, 0),
        until: None,
        seller: HOUSE,
        description: "A clockmaker repairs the hours that people have lost. In German with English \
            surtitles.",
        lots: &[
            lot(HOUSE, "Parkett", 3800, 3800, Unnumbered(45)),
            lot(HOUSE, "Rang", 2400, 2400, Unnumbered(30)),
            lot(SASKIA, "Parkett", 3500, 3800, Row("9", 14, 15)),
        ],
    },
    Show {
        title: "Nachtzug: Electronic Live Set",
        category: Music,
        venue: "Halle 7",
        city: "Berlin",
        country: "DE",
        time_zone: "Europe/Berlin",
        currency: "EUR",
        in_days: 26,
        at: (23, 0),
        until: None,
        seller: SASKIA,
        description: "Four hours of modular synthesis in an old turbine hall. No phones on the floor.",
        lots: &[lot(SASKIA, "", 2800, 2800, Unnumbered(55))],
    },
    Show {
        title: "Les Heures Bleues",
        category: Music,
        venue: "Salle Garance",
        city: "Paris",
        country: "FR",
        time_zone: "Europe/Paris",
        currency: "EUR",
        in_days: 15,
        at: (20, 30),
        until: None,
        seller: HOUSE,
        description: "A string quartet, a dancer and the light of one window, from dusk to dawn in \
            ninety minutes.",
        lots: &[
            lot(HOUSE, "Orchestre", 4600, 4600, Unnumbered(30)),
            lot(HOUSE, "Mezzanine", 3300, 3300, Unnumbered(20)),
        ],
    },
    Show {
        title: "Grachten: A Walk in Eleven Songs",
        category: Music,
        venue: "Starts at De Kleine Komeet",
        city: "Amsterdam",
        country: "NL",
        time_zone: "Europe/Amsterdam",
        currency: "EUR",
        in_days: 8,
        at: (18, 30),
        until: None,
        seller: SASKIA,
        description: "Headphones, comfortable shoes, and a singer on every bridge. Goes ahead in rain.",
        lots: &[lot(SASKIA, "", 2150, 2150, Unnumbered(24))],
    },
    Show {
        title: "Norrsken",
        category: Dance,
        venue: "Kulturhuset Vinden",
        city: "Stockholm",
        country: "SE",
        time_zone: "Europe/Stockholm",
        currency: "SEK",
        in_days: 33,
        at: (19, 0),
        until: None,
        seller: HOUSE,
        description: "Circus on a dark stage, lit only by what the performers carry.",
        lots: &[
            lot(HOUSE, "Parkett", 49_500, 49_500, Unnumbered(40)),
            lot(HOUSE, "Balkong", 36_000, 36_000, Unnumbered(30)),
        ],
    },
    Show {
        title: "Second Avenue Songbook",
        category: Music,
        venue: "The Gilded Ferry",
        city: "New York",
        country: "US",
        time_zone: "America/New_York",
        currency: "USD",
        in_days: 21,
        at: (19, 30),
        until: None,
        seller: MATEO,
        description: "A century of songs from one street, with a nine-piece band and no microphone.",
        lots: &[
            lot(MATEO, "Tables", 9500, 8500, Unnumbered(12)),
            lot(MATEO, "Bar", 4500, 4500, Unnumbered(30)),
            lot(OLIVIA, "Tables", 8200, 8500, Unnumbered(2)),
        ],
    },
    Show {
        title: "Understudy",
        category: Comedy,
        venue: "Fourth Wall Theatre",
        city: "Chicago",
        country: "US",
        time_zone: "America/Chicago",
        currency: "USD",
        in_days: 30,
        at: (20, 0),
        until: None,
        seller: HOUSE,
        description: "Every night a different actor is handed the lead at the door. A comedy about \
            being ready.",
        lots: &[
            lot(HOUSE, "Orchestra", 6800, 6800, Unnumbered(45)),
            lot(HOUSE, "Mezzanine", 4900, 4900, Unnumbered(35)),
        ],
    },
    Show {
        title: "Paper Cranes",
        category: Family,
        venue: "Asagao Hall",
        city: "Kyoto",
        country: "JP",
        time_zone: "Asia/Tokyo",
        currency: "JPY",
        in_days: 40,
        at: (18, 0),
        until: None,
        seller: HOUSE,
        description: "Shadow puppetry and shamisen: a thousand wishes folded, one by one.",
        lots: &[
            lot(HOUSE, "S", 9800, 9800, Unnumbered(25)),
            lot(HOUSE, "A", 6500, 6500, Unnumbered(40)),
        ],
    },
    Show {
        title: "Rooftop Shakespeare: The Tempest",
        category: Theatre,
        venue: "Harbour Steps Rooftop",
        city: "Sydney",
        country: "AU",
        time_zone: "Australia/Sydney",
        currency: "AUD",
        in_days: 52,
        at: (18, 45),
        until: None,
        seller: MATEO,
        description: "Prospero's island, eleven storeys up. Bring a jacket: the storm is not always \
            in the script.",
        lots: &[lot(MATEO, "", 7900, 7900, Unnumbered(50))],
    },
    Show {
        title: "Cordillera",
        category: Dance,
        venue: "Teatro del Puerto",
        city: "Valparaíso",
        country: "CL",
        time_zone: "America/Santiago",
        currency: "CLP",
        in_days: 61,
        at: (20, 0),
        until: None,
        seller: MATEO,
        description: "Contemporary dance for fourteen bodies and one mountain of salt.",
        lots: &[
            lot(MATEO, "Platea", 24_000, 24_000, Unnumbered(40)),
            lot(MATEO, "Galería", 14_000, 14_000, Unnumbered(30)),
        ],
    },
    Show {
        title: "Three Days of Silent Film",
        category: Family,
        venue: "Lichtspielhaus am Kanal",
        city: "Hamburg",
        country: "DE",
        time_zone: "Europe/Berlin",
        currency: "EUR",
        in_days: 33,
        at: (17, 0),
        until: Some((2, (22, 30))),
        seller: SASKIA,
        description: "Nineteen films, one piano, and an organ for the chases. A ticket is good for all \
            three days; come and go as you like.",
        lots: &[lot(SASKIA, "", 3900, 3900, Unnumbered(30))],
    },
    Show {
        title: "The Small Hours Comedy Club",
        category: Comedy,
        venue: "Cellar 41",
        city: "London",
        country: "GB",
        time_zone: "Europe/London",
        currency: "GBP",
        in_days: 3,
        at: (21, 0),
        until: None,
        seller: OLIVIA,
        description: "Five new acts, one kind host, and a bell for anybody who says \u{201c}so, airports\u{201d}.",
        lots: &[lot(OLIVIA, "", 1200, 1200, Unnumbered(6))],
    },
];
