//! Events, as the browser sees them.

use crate::{ids::EventId, money::Currency};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An event that tickets are listed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its name on the poster.
    pub title: String,
    /// What to expect; empty if nothing was said.
    pub description: String,
    /// The house.
    pub venue: String,
    /// The town.
    pub city: String,
    /// ISO 3166-1 alpha-2, capitals.
    pub country: String,
    /// When it begins, UTC.
    #[cfg_attr(feature = "ssr", schema(value_type = String, format = DateTime))]
    pub starts_at: Timestamp,
    /// IANA time zone of the venue.
    pub time_zone: String,
    /// What its tickets are priced in.
    pub currency: Currency,
    /// How many tickets can be bought this moment.
    pub tickets_available: i64,
    /// The cheapest of them, in minor units.
    pub price_from_minor: Option<i64>,
    /// Counts changes, from 1.
    pub version: i64,
}

/// What creating an event takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateEvent {
    /// 1 to 120 characters.
    pub title: String,
    /// 1 to 120 characters.
    pub venue: String,
    /// 1 to 80 characters.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// In the future, UTC.
    #[cfg_attr(feature = "ssr", schema(value_type = String, format = DateTime))]
    pub starts_at: Timestamp,
    /// IANA time zone.
    pub time_zone: String,
    /// One of the currencies that tickets can be priced in.
    pub currency: Currency,
    /// Up to 5000 characters.
    #[serde(default)]
    pub description: Option<String>,
}

/// What changing an event takes. What is missing stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateEvent {
    /// 1 to 120 characters.
    #[serde(default)]
    pub title: Option<String>,
    /// 1 to 120 characters.
    #[serde(default)]
    pub venue: Option<String>,
    /// 1 to 80 characters.
    #[serde(default)]
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default)]
    pub country: Option<String>,
    /// In the future, UTC.
    #[serde(default)]
    #[cfg_attr(feature = "ssr", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<Timestamp>,
    /// IANA time zone.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Can change only while the event has no tickets.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// Up to 5000 characters.
    #[serde(default)]
    pub description: Option<String>,
    /// The version that was read.
    pub version: i64,
}

/// Which events to list. All of it may be missing: then, everything upcoming.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema, utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventQuery {
    /// Words in title, venue or city.
    #[serde(default)]
    pub q: Option<String>,
    /// This city, in any capitals.
    #[serde(default)]
    pub city: Option<String>,
    /// Not before, UTC. Never before now.
    #[serde(default)]
    #[cfg_attr(feature = "ssr", schema(value_type = Option<String>, format = DateTime), param(value_type = Option<String>, format = DateTime))]
    pub from: Option<Timestamp>,
    /// Before, UTC.
    #[serde(default)]
    #[cfg_attr(feature = "ssr", schema(value_type = Option<String>, format = DateTime), param(value_type = Option<String>, format = DateTime))]
    pub to: Option<Timestamp>,
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 100; 20 if missing.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// One page of events, soonest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// This page.
    pub events: Vec<Event>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// A city with something on, for the home page's filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct City {
    /// Its name as the first event there spells it.
    pub name: String,
    /// How many upcoming events.
    pub events: i64,
}
