//! Wire types of events.

use super::Picture;
use crate::{ids::EventId, money::Currency};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, Serialize};
use std::str::FromStr;

/// What kind of evening it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Concerts, from the quartet to the arena.
    Music,
    /// Plays, opera, musicals.
    Theatre,
    /// Stand-up and its relatives.
    Comedy,
    /// Dance and circus.
    Dance,
    /// Matches and races.
    Sport,
    /// For children and those who bring them.
    Family,
    /// Talks and readings.
    Talks,
    /// Whatever else.
    #[default]
    Other,
}

impl Category {
    /// In the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Music,
        Self::Theatre,
        Self::Comedy,
        Self::Dance,
        Self::Sport,
        Self::Family,
        Self::Talks,
        Self::Other,
    ];

    /// The value in JSON and forms.
    pub fn code(self) -> &'static str {
        match self {
            Self::Music => "music",
            Self::Theatre => "theatre",
            Self::Comedy => "comedy",
            Self::Dance => "dance",
            Self::Sport => "sport",
            Self::Family => "family",
            Self::Talks => "talks",
            Self::Other => "other",
        }
    }

    /// The label on pages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Music => "Music",
            Self::Theatre => "Theatre",
            Self::Comedy => "Comedy",
            Self::Dance => "Dance and circus",
            Self::Sport => "Sport",
            Self::Family => "Family",
            Self::Talks => "Talks",
            Self::Other => "Other",
        }
    }
}

/// The text is not one of the fixed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of the choices")]
pub struct UnknownChoice;

impl FromStr for Category {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|one| one.code() == text);
        named.ok_or(UnknownChoice)
    }
}

/// A period of days from today on. The day of an event, and which day is today, are those of the time zone of
/// the event's venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Today.
    Today,
    /// What is left of Friday, Saturday and Sunday of this week.
    Weekend,
    /// Today and the six days after it.
    Week,
    /// Today and the 29 days after it.
    Month,
}

impl When {
    /// Shortest first.
    pub const ALL: [Self; 4] = [Self::Today, Self::Weekend, Self::Week, Self::Month];

    /// The value in JSON and forms.
    pub fn code(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Weekend => "weekend",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The label on pages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Today => "Today",
            Self::Weekend => "This weekend",
            Self::Week => "Next 7 days",
            Self::Month => "Next 30 days",
        }
    }
}

impl FromStr for When {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|one| one.code() == text);
        named.ok_or(UnknownChoice)
    }
}

/// An event that tickets are listed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its name on the poster.
    pub title: String,
    /// What kind of evening it is.
    pub category: Category,
    /// What to expect; empty if nothing was said.
    pub description: String,
    /// The house.
    pub venue: String,
    /// The town.
    pub city: String,
    /// ISO 3166-1 alpha-2, capitals.
    pub country: String,
    /// When it begins, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub starts_at: Timestamp,
    /// When it ends, UTC; null if that is not known. Tickets are shown until then, or until 12 hours
    /// after the start.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<Timestamp>,
    /// Until when tickets are sold, UTC; null: until the start.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub sales_until: Option<Timestamp>,
    /// IANA time zone of the venue.
    pub time_zone: String,
    /// What its tickets are priced in.
    pub currency: Currency,
    /// How many tickets can be bought this moment.
    pub tickets_available: i64,
    /// The cheapest of them, in minor units.
    pub price_from_minor: Option<i64>,
    /// The address of the widest form of its picture; null if it has none.
    #[serde(rename = "pictureUrl")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub picture: Option<Picture>,
    /// Counts changes, from 1.
    pub version: i64,
}

/// What creating an event takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateEvent {
    /// 1 to 120 characters.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 120, pattern = r"\S")
    )]
    pub title: String,
    /// 1 to 120 characters.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 120, pattern = r"\S")
    )]
    pub venue: String,
    /// 1 to 80 characters.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 80, pattern = r"\S")
    )]
    pub city: String,
    /// ISO 3166-1 alpha-2.
    #[cfg_attr(feature = "openapi", schema(min_length = 2, max_length = 2))]
    pub country: String,
    /// In the future, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub starts_at: Timestamp,
    /// After the start, by 366 days at most; UTC.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<Timestamp>,
    /// Until when tickets are sold, UTC: after the start, and no later than the end, or than 12 hours
    /// after the start if there is no end. Until the start if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub sales_until: Option<Timestamp>,
    /// IANA time zone.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub time_zone: String,
    /// One of the currencies that tickets can be priced in.
    pub currency: Currency,
    /// Up to 5000 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 5000))]
    pub description: Option<String>,
    /// What kind of evening it is; `other` if missing.
    #[serde(default)]
    pub category: Category,
}

impl Event {
    /// Whether [`Events::create`](super::Events::create) with this request would create an equal event.
    pub fn matches(&self, request: &CreateEvent) -> bool {
        let texts = [
            (&self.title, &request.title),
            (&self.venue, &request.venue),
            (&self.city, &request.city),
            (&self.country, &request.country),
            (&self.time_zone, &request.time_zone),
        ];
        let description = request.description.as_deref().unwrap_or_default();
        texts
            .iter()
            .all(|(own, requested)| *own == requested.trim())
            && self.description == description.trim()
            && (self.starts_at, self.ends_at, self.sales_until)
                == (request.starts_at, request.ends_at, request.sales_until)
            && (self.currency, self.category) == (request.currency, request.category)
    }
}

/// What changing an event takes. What is missing stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateEvent {
    /// 1 to 120 characters.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 120, pattern = r"\S")
    )]
    pub title: Option<String>,
    /// 1 to 120 characters.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 120, pattern = r"\S")
    )]
    pub venue: Option<String>,
    /// 1 to 80 characters.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 80, pattern = r"\S")
    )]
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(min_length = 2, max_length = 2))]
    pub country: Option<String>,
    /// In the future, UTC.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<Timestamp>,
    /// As for a new event; null: it has no end any more.
    #[serde(
        default,
        deserialize_with = "named",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    #[expect(clippy::option_option, reason = "left out, null, or a time")]
    pub ends_at: Option<Option<Timestamp>>,
    /// As for a new event; null: sales end at the start.
    #[serde(
        default,
        deserialize_with = "named",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    #[expect(clippy::option_option, reason = "left out, null, or a time")]
    pub sales_until: Option<Option<Timestamp>>,
    /// IANA time zone.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub time_zone: Option<String>,
    /// Can change only while the event has no tickets.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// Up to 5000 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 5000))]
    pub description: Option<String>,
    /// What kind of evening it is.
    #[serde(default)]
    pub category: Option<Category>,
    /// The version that was read.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub version: i64,
}

/// Deserializes a present field to `Some`, so that null differs from a missing field.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Which events to list. All of it may be missing: then, everything upcoming.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventQuery {
    /// Words of title, venue and city, or their beginnings; capitals and accents do not matter.
    #[serde(default)]
    pub q: Option<String>,
    /// This city, in any capitals.
    #[serde(default)]
    pub city: Option<String>,
    /// Of this kind.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub category: Option<Category>,
    /// On these days from today on.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub when: Option<When>,
    /// Not before this day, by the clocks of the venue.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date), param(value_type = Option<String>, format = Date))]
    pub first_day: Option<Date>,
    /// Not after this day, by the clocks of the venue.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date), param(value_type = Option<String>, format = Date))]
    pub last_day: Option<Date>,
    /// Not before, UTC. Never before now.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime), param(value_type = Option<String>, format = DateTime))]
    pub from: Option<Timestamp>,
    /// Before, UTC.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime), param(value_type = Option<String>, format = DateTime))]
    pub to: Option<Timestamp>,
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 100; 20 if missing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 100))]
    pub limit: Option<i64>,
}

/// One page of events, soonest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// This page.
    pub events: Vec<Event>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// A city with upcoming events, for the home page's filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct City {
    /// As spelled by its first event.
    pub name: String,
    /// Number of upcoming events.
    pub events: i64,
}
