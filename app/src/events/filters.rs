//! The home page's filters, as parsed from its URL. Invalid values are ignored, because people bookmark and
//! edit URLs.

use jiff::civil::Date;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use model::events::{Category, EventQuery, When};

const EVENTS_PER_PAGE: i64 = 24;

/// The filters, and the cursor of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilters {
    /// Search text.
    pub q: String,
    pub city: String,
    pub category: Option<Category>,
    /// Never set together with dates.
    pub when: Option<When>,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
    /// Empty on the first page.
    pub cursor: String,
}

impl EventFilters {
    /// Parses the URL of this request.
    pub fn from_url() -> Self {
        use_query_map().with_untracked(|query| Self::parse(|name| query.get(name)))
    }

    fn parse(get: impl Fn(&str) -> Option<String>) -> Self {
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

    /// Whether no filter is set.
    pub fn is_everything(&self) -> bool {
        *self
            == Self {
                cursor: self.cursor.clone(),
                ..Self::default()
            }
    }

    /// The query for this page of events.
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
            limit: Some(EVENTS_PER_PAGE),
            ..EventQuery::default()
        }
    }

    pub fn has_dates(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The same filters, without the cursor.
    pub fn first_page(&self) -> Self {
        Self {
            cursor: String::new(),
            ..self.clone()
        }
    }

    /// Name and value of each filter that is set, as form fields.
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

    /// The URL of this page.
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

    /// For each filter that is set, the others without it; omitted if no other is set.
    pub fn with_one_fewer(&self) -> Vec<Self> {
        let filters = self.first_page();
        let fewer = [
            Self {
                q: String::new(),
                ..filters.clone()
            },
            Self {
                when: None,
                from: None,
                to: None,
                ..filters.clone()
            },
            Self {
                category: None,
                ..filters.clone()
            },
            Self {
                city: String::new(),
                ..filters.clone()
            },
        ];
        fewer
            .into_iter()
            .filter(|fewer| *fewer != filters && !fewer.is_everything())
            .collect()
    }

    /// Each filter that is set, without the others.
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

    /// ` for “late” under Music in Leeds this weekend`, to follow a number of events.
    pub fn description(&self) -> String {
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

    fn filters(address: &str) -> EventFilters {
        EventFilters::parse(|name| {
            let pairs = address.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .next()
        })
    }

    #[test]
    fn urls_round_trip() {
        for address in [
            "q=late&city=Leeds&category=music&when=weekend&cursor=5_x",
            "from=2031-05-01&to=2031-05-02",
        ] {
            assert_eq!(filters(address).href(), format!("/?{address}"));
        }
        assert_eq!(filters("").href(), "/");
    }

    #[test]
    fn invalid_filters_are_ignored() {
        assert!(filters("category=opera&when=soon&from=yesterday&q= &cursor=x").is_everything());
        assert_eq!(
            filters("when=today&from=2031-05-01").when,
            None,
            "dates take precedence"
        );
        assert_eq!(
            filters("from=2031-05-02&to=2031-05-01").href(),
            "/?from=2031-05-01&to=2031-05-02",
            "days are put in order"
        );
    }

    #[test]
    fn filters_read_as_a_sentence() {
        for (address, heading, description) in [
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
            assert_eq!(filters(address).heading(), heading);
            assert_eq!(filters(address).description(), description);
        }
    }

    #[test]
    fn one_filter_at_a_time_is_dropped() {
        let fewer = filters("q=late&city=Leeds&when=today&cursor=5_x").with_one_fewer();
        let hrefs: Vec<String> = fewer.iter().map(EventFilters::href).collect();
        assert_eq!(
            hrefs,
            [
                "/?city=Leeds&when=today",
                "/?q=late&city=Leeds",
                "/?q=late&when=today"
            ]
        );
        assert!(filters("q=late").with_one_fewer().is_empty());
        let alone = filters("q=late&city=Leeds&to=2031-05-01").with_one_alone();
        let hrefs: Vec<String> = alone.iter().map(EventFilters::href).collect();
        assert_eq!(hrefs, ["/?q=late", "/?to=2031-05-01", "/?city=Leeds"]);
    }
}
