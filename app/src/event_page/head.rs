//! The metadata of an event's page, for search engines and link previews. Prices are total prices, as on the
//! page.

use crate::ui::{LinkPreview, json_script, link_preview};
use jiff::{Timestamp, tz::TimeZone};
use leptos::prelude::*;
use leptos_meta::Script;
use model::{
    events::Event,
    money::Money,
    tickets::{NO_SECTION, Offers},
};
use serde_json::{Value, json};
use std::fmt::Write;

/// Characters of the description that a preview shows.
const PREVIEW_CHARS: usize = 200;
/// Offers that are listed individually.
const OFFERS_MAX: usize = 50;

/// The head of an event's page. `site` is the shop's own origin, without a trailing slash.
pub fn head(event: &Event, offers: &Offers, site: &str) -> impl IntoView + use<> {
    let address = format!("{site}/events/{}", event.id);
    let picture = event.picture.as_ref();
    let image = picture.map_or_else(
        || format!("{site}/share.png"),
        |picture| format!("{site}{picture}"),
    );
    let data = json_script(&structured_data(event, offers, &address, &image));
    view! {
        {link_preview(LinkPreview {
            title: event.title.clone(),
            text: preview(event),
            path: format!("/events/{}", event.id),
            image: picture.map(|picture| (picture.to_string(), picture.width(), picture.height())),
        })}
        <Script type_="application/ld+json">{data}</Script>
    }
}

/// Time, place, lowest price, and the beginning of the description.
fn preview(event: &Event) -> String {
    let mut text = format!("{} · {}, {}", event.when(), event.venue, event.city);
    if let Some(minor) = event.price_from_minor {
        let _ = write!(text, " · from {}", Money::new(minor, event.currency));
    }
    let words = event.description.split_whitespace().collect::<Vec<_>>();
    let words = words.join(" ");
    if !words.is_empty() {
        text.push_str(". ");
        text.extend(words.chars().take(PREVIEW_CHARS));
        if words.chars().count() > PREVIEW_CHARS {
            text.push('…');
        }
    }
    text
}

/// The schema.org data of the event.
fn structured_data(event: &Event, offers: &Offers, address: &str, image: &str) -> Value {
    let mut data = json!({
        "@context": "https://schema.org",
        "@type": "Event",
        "name": event.title,
        "url": address,
        "image": [image],
        "startDate": with_offset(event.starts_at, event),
        "eventStatus": "https://schema.org/EventScheduled",
        "eventAttendanceMode": "https://schema.org/OfflineEventAttendanceMode",
        "location": {
            "@type": "Place",
            "name": event.venue,
            "address": {
                "@type": "PostalAddress",
                "addressLocality": event.city,
                "addressCountry": event.country,
            },
        },
        "offers": aggregate_offer(event, offers, address),
    });
    if let Some(end) = event.ends_at {
        data["endDate"] = with_offset(end, event).into();
    }
    if !event.description.is_empty() {
        data["description"] = event.description.clone().into();
    }
    data
}

/// ISO 8601 in the venue's time zone, with its offset.
fn with_offset(moment: Timestamp, event: &Event) -> String {
    let zone = TimeZone::get(&event.time_zone).unwrap_or(TimeZone::UTC);
    let local = moment.to_zoned(zone);
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn aggregate_offer(event: &Event, offers: &Offers, address: &str) -> Value {
    let price = |minor| Money::new(minor, event.currency).plain();
    let (in_stock, sold_out) = ("https://schema.org/InStock", "https://schema.org/SoldOut");
    let Some(lowest) = event.price_from_minor else {
        return json!({
            "@type": "AggregateOffer",
            "url": address,
            "priceCurrency": event.currency.code(),
            "offerCount": 0,
            "availability": sold_out,
        });
    };
    let groups = offers.groups.iter().map(|group| {
        let section = group.section.as_deref().unwrap_or(NO_SECTION);
        (section, group.price_minor, group.available)
    });
    let seats = offers.seats.iter().map(|(seat, _)| {
        let free = seat.status == model::tickets::TicketStatus::Available;
        (seat.label.as_str(), seat.price_minor, i64::from(free))
    });
    let each: Vec<(&str, i64, i64)> = groups
        .chain(seats)
        .filter(|(_, _, available)| *available > 0)
        .collect();
    let highest = each.iter().map(|(_, minor, _)| *minor).max();
    let each: Vec<Value> = each
        .iter()
        .take(OFFERS_MAX)
        .map(|(name, minor, available)| {
            json!({
                "@type": "Offer",
                "name": name,
                "url": address,
                "price": price(*minor),
                "priceCurrency": event.currency.code(),
                "availability": in_stock,
                "inventoryLevel": available,
            })
        })
        .collect();
    json!({
        "@type": "AggregateOffer",
        "url": address,
        "priceCurrency": event.currency.code(),
        "lowPrice": price(lowest),
        "highPrice": price(highest.unwrap_or(lowest).max(lowest)),
        "offerCount": event.tickets_available,
        "availability": in_stock,
        "offers": each,
    })
}
