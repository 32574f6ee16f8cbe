//! Proposes the country for a city, and the time zone and currency for a country. Refuses nothing. Pure.
//!
//! `scripts/places.mjs` generates `places.txt`. Only cities that a time zone is named after are known.

use super::words;
use model::{
    error::FieldError,
    events::{COUNTRIES, PlaceFields, PlaceProposal},
    money::Currency,
};
use std::sync::LazyLock;

/// An empty column of `places.txt`.
const NOTHING: &str = "-";

struct Country {
    code: &'static str,
    currencies: Vec<&'static str>,
    /// The time zone of most of the country, if there is one.
    main_zone: Option<&'static str>,
    zones: Vec<&'static str>,
}

static PLACES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    let lines = include_str!("places.txt").lines();
    lines.filter_map(parse_line).collect()
});

/// Returns `None` for a comment.
fn parse_line(line: &'static str) -> Option<Country> {
    let several = |text: &'static str| text.split(',').filter(|one| *one != NOTHING).collect();
    let mut columns = line.split(' ');
    let code = columns.next().filter(|code| code.len() == 2)?;
    Some(Country {
        code,
        currencies: several(columns.next()?),
        main_zone: columns.next().filter(|zone| *zone != NOTHING),
        zones: several(columns.next()?),
    })
}

impl Country {
    fn find(code: &str) -> Option<&'static Self> {
        PLACES.iter().find(|country| country.code == code)
    }

    fn name(&self) -> &'static str {
        let mut names = COUNTRIES.iter();
        names
            .find(|(code, _)| *code == self.code)
            .map_or(self.code, |(_, name)| name)
    }

    /// The time zone named after this city.
    fn zone_of(&self, city: &str) -> Option<&'static str> {
        let mut zones = self.zones.iter().copied();
        zones.find(|zone| !city.is_empty() && words::fold(named_after(zone)) == city)
    }

    /// Its currencies in which cards can be charged.
    fn currencies(&self) -> impl Iterator<Item = &'static str> {
        self.currencies.iter().copied().filter(|code| {
            let known = code.parse::<Currency>();
            known.is_ok_and(Currency::is_accepted)
        })
    }
}

/// `Los_Angeles`, of `America/Los_Angeles`.
fn named_after(zone: &str) -> &str {
    zone.rsplit('/').next().unwrap_or(zone)
}

/// The country that has the time zone named after the city, or the time zone itself, if there is only one.
fn country_of(fields: &PlaceFields) -> Option<&'static Country> {
    let only = |fits: &dyn Fn(&Country) -> bool| {
        let mut found = PLACES.iter().filter(|country| fits(country));
        found.next().filter(|_| found.next().is_none())
    };
    let city = words::fold(&fields.city);
    // Kosovo's time zone is named after Belgrade.
    only(&|country| country.code != "XK" && country.zone_of(&city).is_some())
        .or_else(|| only(&|country| country.zones.contains(&fields.time_zone.trim())))
}

/// Fills in empty fields, and reports unusual values of the others.
pub(crate) fn propose(fields: PlaceFields) -> PlaceProposal {
    let mut proposed = Vec::new();
    let mut place = fields;
    let code = place.country.trim().to_uppercase();
    let country = if code.is_empty() {
        let country = country_of(&place);
        if let Some(country) = country {
            country.code.clone_into(&mut place.country);
            proposed.push(FieldError::new("country", country.name()));
        }
        country
    } else {
        Country::find(&code)
    };
    let Some(country) = country else {
        return PlaceProposal {
            place,
            proposed,
            unusual: Vec::new(),
        };
    };
    let zone = country
        .zone_of(&words::fold(&place.city))
        .or(country.main_zone);
    if let Some(zone) = zone.filter(|_| place.time_zone.trim().is_empty()) {
        zone.clone_into(&mut place.time_zone);
        proposed.push(FieldError::new("time_zone", zone.replace('_', " ")));
    }
    let currency = country.currencies().next();
    if let Some(currency) = currency.filter(|_| place.currency.trim().is_empty()) {
        currency.clone_into(&mut place.currency);
        proposed.push(FieldError::new("currency", currency));
    }
    let unusual = find_unusual(country, zone, &place);
    PlaceProposal {
        place,
        proposed,
        unusual,
    }
}

fn find_unusual(country: &Country, likely: Option<&str>, place: &PlaceFields) -> Vec<FieldError> {
    let mut unusual = Vec::new();
    let (zone, currency) = (place.time_zone.trim(), place.currency.trim());
    if !zone.is_empty() && !country.zones.contains(&zone) {
        let mut message = format!(
            "{} is not a time zone of {}.",
            zone.replace('_', " "),
            country.name()
        );
        if let Some(likely) = likely {
            message += " Most likely it is ";
            message += &likely.replace('_', " ");
            message.push('.');
        }
        unusual.push(FieldError::new("time_zone", message));
    }
    let usual: Vec<&str> = country.currencies().collect();
    if !currency.is_empty() && !usual.is_empty() && !usual.contains(&currency) {
        let message = format!(
            "Prices in {} are usually in {}, not in {currency}.",
            country.name(),
            usual.join(" or ")
        );
        unusual.push(FieldError::new("currency", message));
    }
    unusual
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn fields(city: &str, country: &str, time_zone: &str, currency: &str) -> PlaceFields {
        PlaceFields {
            city: city.to_owned(),
            country: country.to_owned(),
            time_zone: time_zone.to_owned(),
            currency: currency.to_owned(),
        }
    }

    fn filled(city: &str, country: &str) -> [String; 3] {
        let place = propose(fields(city, country, "", "")).place;
        [place.country, place.time_zone, place.currency]
    }

    #[test]
    fn a_city_gives_country_zone_and_currency() {
        assert_eq!(filled("Berlin", ""), ["DE", "Europe/Berlin", "EUR"]);
        assert_eq!(filled("Belgrade", ""), ["RS", "Europe/Belgrade", ""]);
        assert_eq!(filled(" ZÜRICH ", ""), ["CH", "Europe/Zurich", "CHF"]);
        assert_eq!(filled("São Paulo", ""), ["BR", "America/Sao_Paulo", "BRL"]);
        assert_eq!(
            filled("Los Angeles", ""),
            ["US", "America/Los_Angeles", "USD"]
        );
        assert_eq!(filled("Chipping Norton", ""), ["", "", ""]);
        assert_eq!(filled("", ""), ["", "", ""]);
    }

    #[test]
    fn a_country_gives_zone_and_currency_where_most_of_it_has_one() {
        assert_eq!(filled("Leeds", "GB"), ["GB", "Europe/London", "GBP"]);
        assert_eq!(filled("Hamburg", "DE"), ["DE", "Europe/Berlin", "EUR"]);
        assert_eq!(filled("Lviv", "UA"), ["UA", "Europe/Kyiv", "UAH"]);
        assert_eq!(filled("Prizren", "XK"), ["XK", "Europe/Belgrade", "EUR"]);
        assert_eq!(filled("Denver", "US"), ["US", "America/Denver", "USD"]);
        assert_eq!(filled("Springfield", "US"), ["US", "", "USD"]);
    }

    #[test]
    fn a_zone_gives_the_country() {
        let place = propose(fields("Leipzig", "", "Europe/Berlin", "")).place;
        assert_eq!(
            (place.country.as_str(), place.currency.as_str()),
            ("DE", "EUR")
        );
    }

    #[test]
    fn only_unusual_values_are_reported() {
        let unusual = |place| {
            let found = propose(place);
            assert!(found.proposed.is_empty());
            let fields: Vec<String> = found.unusual.into_iter().map(|one| one.field).collect();
            fields
        };
        let none: [&str; 0] = [];
        assert_eq!(
            unusual(fields("Berlin", "DE", "Europe/London", "GBP")),
            ["time_zone", "currency"]
        );
        assert_eq!(
            unusual(fields("Berlin", "DE", "Europe/Berlin", "EUR")),
            none
        );
        assert_eq!(
            unusual(fields("Panama", "PA", "America/Panama", "USD")),
            none
        );
        assert_eq!(
            unusual(fields("Bern", "CH", "Europe/Zurich", "EUR")),
            ["currency"]
        );
        assert_eq!(
            unusual(fields("Berlin", "??", "Europe/London", "GBP")),
            none
        );
        // Cards cannot be charged in its currency.
        assert_eq!(unusual(fields("Niš", "RS", "Europe/Belgrade", "EUR")), none);
        let said = propose(fields("Berlin", "DE", "Europe/London", "GBP")).unusual;
        assert_eq!(
            said[0].message,
            "Europe/London is not a time zone of Germany. Most likely it is Europe/Berlin."
        );
        assert_eq!(
            said[1].message,
            "Prices in Germany are usually in EUR, not in GBP."
        );
    }

    #[test]
    fn every_country_of_the_form_is_in_the_table_with_zones_that_exist() {
        for (code, name) in COUNTRIES {
            // Two without inhabitants have no time zone.
            let known = Country::find(code).is_some();
            assert_eq!(known, !["BV", "HM"].contains(code), "{name}");
        }
        for zone in PLACES.iter().flat_map(|country| &country.zones) {
            assert!(TimeZone::get(zone).is_ok(), "{zone}");
        }
    }
}
