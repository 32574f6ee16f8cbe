//! What the home page was asked for: its filters as they stand in its address. What makes no sense
//! there is left out, for people keep addresses, and shorten them.

use jiff::civil::Date;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use model::events::{Category, EventQuery, When};

/// Events on a page.
const PAGE: i64 = 24;

/// The filters, and where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Words.
    pub q: String,
    /// A city.
    pub city: String,
    /// A kind.
    pub category: Option<Category>,
    /// Days from today on. Not beside dates.
    pub when: Option<When>,
    /// Not before this day.
    pub from: Option<Date>,
    /// Not after this day.
    pub to: Option<Date>,
    /// Where the page before ended.
    pub cursor: String,
}

impl Asked {
    /// What this request's address asks for.
    pub fn read() -> Self {
        use_query_map().with_untracked(|query| Self::of(|name| query.get(name)))
    }

    fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name| {
            get(name)
                .map(|text| text.trim().to_owned())
                .unwrap_or_default()
        };
        let (from, to): (Option<Date>, _) = (given("from").parse().ok(), given("to").parse().ok());
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) if from > to => (Some(to), Some(from)),
            dates => dates,
        };
        let dates = from.is_some() || to.is_some();
        Self {
            q: given("q"),
            city: given("city"),
            category: given("category").parse().ok(),
            when: given("when").parse().ok().filter(|_| !dates),
            from,
            to,
            cursor: given("cursor"),
        }
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        *self
            == Self {
                cursor: self.cursor.clone(),
                ..Self::default()
            }
    }

    /// As the catalogue is asked.
    pub fn query(&self) -> EventQuery {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        EventQuery {
            q: given(&self.q),
            city: given(&self.city),
            category: self.category,
            when: self.when,
            first_day: self.from,
            last_day: self.to,
            cursor: given(&self.cursor),
            limit: Some(PAGE),
            ..EventQuery::default()
        }
    }

    /// Whether days were named.
    pub fn has_dates(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The first page of the same.
    pub fn first_page(&self) -> Self {
        Self {
            cursor: String::new(),
            ..self.clone()
        }
    }

    /// Name and value of each filter that is set, as a form sends them.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
        let all = [
            ("q", self.q.clone()),
            ("city", self.city.clone()),
            (
                "category",
                self.category.map_or("", Category::code).to_owned(),
            ),
            ("when", self.when.map_or("", When::code).to_owned()),
            ("from", day(self.from)),
            ("to", day(self.to)),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// This page's address.
    pub fn href(&self) -> String {
        let mut fields = self.fields();
        if !self.cursor.is_empty() {
            fields.push(("cursor", self.cursor.clone()));
        }
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", context::percent_encode(value)))
            .collect();
        if pairs.is_empty() {
            "/".to_owned()
        } else {
            format!("/?{}", pairs.join("&"))
        }
    }

    /// The same with one filter fewer, for each that is set; only where another is left.
    pub fn with_one_fewer(&self) -> Vec<Self> {
        let asked = self.first_page();
        let fewer = [
            Self {
                q: String::new(),
                ..asked.clone()
            },
            Self {
                when: None,
                from: None,
                to: None,
                ..asked.clone()
            },
            Self {
                category: None,
                ..asked.clone()
            },
            Self {
                city: String::new(),
                ..asked.clone()
            },
        ];
        fewer
            .into_iter()
            .filter(|fewer| *fewer != asked && !fewer.is_everything())
            .collect()
    }

    /// Each filter that is set without the others.
    pub fn with_one_alone(&self) -> Vec<Self> {
        let none = Self::default();
        let alone = [
            Self {
                q: self.q.clone(),
                ..none.clone()
            },
            Self {
                when: self.when,
                from: self.from,
                to: self.to,
                ..none.clone()
            },
            Self {
                category: self.category,
                ..none.clone()
            },
            Self {
                city: self.city.clone(),
                ..none.clone()
            },
        ];
        alone.into_iter().filter(|alone| *alone != none).collect()
    }

    /// `Music in Leeds this weekend`, `“late” in Leeds`.
    pub fn heading(&self) -> String {
        let kind = self.category.map(Category::label);
        let start = match (self.q.as_str(), kind) {
            ("", kind) => kind.unwrap_or("What is on").to_owned(),
            (q, None) => quoted(q),
            (q, Some(kind)) => format!("{}, {kind}", quoted(q)),
        };
        format!("{start}{}", self.where_and_when())
    }

    /// ` for “late” under Music in Leeds this weekend`, behind a number of events.
    pub fn narrowed(&self) -> String {
        let mut text = String::new();
        if !self.q.is_empty() {
            text = format!(" for {}", quoted(&self.q));
        }
        if let Some(kind) = self.category {
            text = format!("{text} under {}", kind.label());
        }
        text + &self.where_and_when()
    }

    fn where_and_when(&self) -> String {
        let place = match self.city.as_str() {
            "" => String::new(),
            city => format!(" in {city}"),
        };
        let day = |day: Date| day.strftime("%-d %b %Y").to_string();
        let days = match (self.when, self.from, self.to) {
            (Some(When::Today), ..) => " today".to_owned(),
            (Some(When::Weekend), ..) => " this weekend".to_owned(),
            (Some(When::Week), ..) => " in the next 7 days".to_owned(),
            (Some(When::Month), ..) => " in the next 30 days".to_owned(),
            (None, Some(from), Some(to)) if from == to => format!(" on {}", day(from)),
            (None, Some(from), Some(to)) => format!(" from {} to {}", day(from), day(to)),
            (None, Some(from), None) => format!(" from {}", day(from)),
            (None, None, Some(to)) => format!(" until {}", day(to)),
            (None, None, None) => String::new(),
        };
        place + &days
    }
}

fn quoted(q: &str) -> String {
    format!("\u{201c}{q}\u{201d}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str) -> Asked {
        Asked::of(|name| {
            let pairs = address.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .next()
        })
    }

    #[test]
    fn an_address_comes_back_as_it_was() {
        for address in [
            "q=late&city=Leeds&category=music&when=weekend&cursor=5_x",
            "from=2031-05-01&to=2031-05-02",
        ] {
            assert_eq!(asked(address).href(), format!("/?{address}"));
        }
        assert_eq!(asked("").href(), "/");
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        assert!(asked("category=opera&when=soon&from=yesterday&q= &cursor=x").is_everything());
        assert_eq!(
            asked("when=today&from=2031-05-01").when,
            None,
            "dates say more"
        );
        assert_eq!(
            asked("from=2031-05-02&to=2031-05-01").href(),
            "/?from=2031-05-01&to=2031-05-02",
            "the later day ends it"
        );
    }

    #[test]
    fn filters_read_as_a_sentence() {
        for (address, heading, narrowed) in [
            ("", "What is on", ""),
            ("city=Leeds", "What is on in Leeds", " in Leeds"),
            (
                "q=late&city=Leeds",
                "“late” in Leeds",
                " for “late” in Leeds",
            ),
            (
                "category=music&when=weekend",
                "Music this weekend",
                " under Music this weekend",
            ),
            (
                "from=2031-05-01&to=2031-05-02",
                "What is on from 1 May 2031 to 2 May 2031",
                " from 1 May 2031 to 2 May 2031",
            ),
            (
                "from=2031-05-01&to=2031-05-01",
                "What is on on 1 May 2031",
                " on 1 May 2031",
            ),
        ] {
            assert_eq!(asked(address).heading(), heading);
            assert_eq!(asked(address).narrowed(), narrowed);
        }
    }

    #[test]
    fn one_filter_at_a_time_is_dropped() {
        let fewer = asked("q=late&city=Leeds&when=today&cursor=5_x").with_one_fewer();
        let hrefs: Vec<String> = fewer.iter().map(Asked::href).collect();
        assert_eq!(
            hrefs,
            [
                "/?city=Leeds&when=today",
                "/?q=late&city=Leeds",
                "/?q=late&when=today"
            ]
        );
        assert!(asked("q=late").with_one_fewer().is_empty());
        let alone = asked("q=late&city=Leeds&to=2031-05-01").with_one_alone();
        let hrefs: Vec<String> = alone.iter().map(Asked::href).collect();
        assert_eq!(hrefs, ["/?q=late", "/?to=2031-05-01", "/?city=Leeds"]);
    }
}
