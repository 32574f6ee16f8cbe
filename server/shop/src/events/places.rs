//! What follows from where an event is: the country from a city, time zone and currency from the
//! country. Proposals only: nothing is refused here. Pure.
//!
//! `places.txt` is written by `scripts/places.mjs`. Cities are those that time zones are named after.

use super::words;
use model::{
    error::FieldError,
    events::{COUNTRIES, PlaceAsked, PlaceProposed},
    money::Currency,
};
use std::sync::LazyLock;

const NOTHING: &str = "-";

/// What is known of a country.
struct Country {
    code: &'static str,
    currencies: Vec<&'static str>,
    /// The zone of most of it.
    likely: Option<&'static str>,
    zones: Vec<&'static str>,
}

static PLACES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    let lines = include_str!("places.txt").lines();
    lines.filter_map(read).collect()
});

/// A line of the table. None: it is a remark.
fn read(line: &'static str) -> Option<Country> {
    let several = |text: &'static str| text.split(',').filter(|one| *one != NOTHING).collect();
    let mut columns = line.split(' ');
    let code = columns.next().filter(|code| code.len() == 2)?;
    Some(Country {
        code,
        currencies: several(columns.next()?),
        likely: columns.next().filter(|zone| *zone != NOTHING),
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

    /// Its zone that is named after this city.
    fn zone_of(&self, city: &str) -> Option<&'static str> {
        let mut zones = self.zones.iter().copied();
        zones.find(|zone| !city.is_empty() && words::fold(named_after(zone)) == city)
    }

    /// What prices in it are in, as far as cards can be charged in it.
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

/// The only country with this zone, or with a zone that is named after this city.
fn country_of(asked: &PlaceAsked) -> Option<&'static Country> {
    let only = |fits: &dyn Fn(&Country) -> bool| {
        let mut found = PLACES.iter().filter(|country| fits(country));
        found.next().filter(|_| found.next().is_none())
    };
    let city = words::fold(&asked.city);
    // Kosovo's zone is named after a city that is not in it.
    only(&|country| country.code != "XK" && country.zone_of(&city).is_some())
        .or_else(|| only(&|country| country.zones.contains(&asked.time_zone.trim())))
}

/// Proposes what was left empty, and says what is unusual of the rest.
pub(crate) fn propose(asked: PlaceAsked) -> PlaceProposed {
    let mut proposed = Vec::new();
    let mut place = asked;
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
        return PlaceProposed {
            place,
            proposed,
            unusual: Vec::new(),
        };
    };
    let zone = country
        .zone_of(&words::fold(&place.city))
        .or(country.likely);
    if let Some(zone) = zone.filter(|_| place.time_zone.trim().is_empty()) {
        zone.clone_into(&mut place.time_zone);
        proposed.push(FieldError::new("time_zone", zone.replace('_', " ")));
    }
    let currency = country.currencies().next();
    if let Some(currency) = currency.filter(|_| place.currency.trim().is_empty()) {
        currency.clone_into(&mut place.currency);
        proposed.push(FieldError::new("currency", currency));
    }
    let unusual = unusual(country, zone, &place);
    PlaceProposed {
        place,
        proposed,
        unusual,
    }
}

fn unusual(country: &Country, likely: Option<&str>, place: &PlaceAsked) -> Vec<FieldError> {
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

    fn asked(city: &str, country: &str, time_zone: &str, currency: &str) -> PlaceAsked {
        PlaceAsked {
            city: city.to_owned(),
            country: country.to_owned(),
            time_zone: time_zone.to_owned(),
            currency: currency.to_owned(),
        }
    }

    fn filled(city: &str, country: &str) -> [String; 3] {
        let place = propose(asked(city, country, "", "")).place;
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
        let place = propose(asked("Leipzig", "", "Europe/Berlin", "")).place;
        assert_eq!(
            (place.country.as_str(), place.currency.as_str()),
            ("DE", "EUR")
        );
    }

    #[test]
    fn what_is_unusual_is_said_and_what_is_usual_is_not() {
        let fields = |place| {
            let found = propose(place);
            assert!(found.proposed.is_empty());
            let fields: Vec<String> = found.unusual.into_iter().map(|one| one.field).collect();
            fields
        };
        let none: [&str; 0] = [];
        assert_eq!(
            fields(asked("Berlin", "DE", "Europe/London", "GBP")),
            ["time_zone", "currency"]
        );
        assert_eq!(fields(asked("Berlin", "DE", "Europe/Berlin", "EUR")), none);
        assert_eq!(fields(asked("Panama", "PA", "America/Panama", "USD")), none);
        assert_eq!(
            fields(asked("Bern", "CH", "Europe/Zurich", "EUR")),
            ["currency"]
        );
        assert_eq!(fields(asked("Berlin", "??", "Europe/London", "GBP")), none);
        // No card can be charged in its own.
        assert_eq!(fields(asked("Niš", "RS", "Europe/Belgrade", "EUR")), none);
        let said = propose(asked("Berlin", "DE", "Europe/London", "GBP")).unusual;
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
