//! The fields of the event form, for creating and editing.

use super::Facts;
use crate::ui::{Choice, Form, Input, area, choose, choose_grouped, field, hash, hidden};
use leptos::prelude::*;
use model::events::{COUNTRIES, Category, Event, date_and_time};

/// Names and labels of the fields.
pub const FIELDS: [(&str, &str); 13] = [
    ("title", "Title"),
    ("category", "Category"),
    ("venue", "Venue"),
    ("city", "City"),
    ("country", "Country"),
    ("date", "Date"),
    ("time", "Begins at"),
    ("time_zone", "Time zone of the venue"),
    ("description", "What to expect"),
    ("end_date", "Last day"),
    ("end_time", "Ends at"),
    ("sales_date", "Last day of sales"),
    ("sales_time", "Sales end at"),
];

impl Facts {
    /// Defaults for a new event.
    pub fn blank() -> Self {
        Self {
            category: Category::default().code().to_owned(),
            time: "19:30".to_owned(),
            ..Self::default()
        }
    }

    /// The values of an existing event.
    pub fn of(event: &Event) -> Self {
        let fields = |moment| date_and_time(moment, &event.time_zone);
        let (date, time) = fields(event.starts_at);
        // A day that equals the start's is left empty, so that it changes with the start.
        let same_day_empty = |(day, clock): (String, String)| {
            let day = if day == date { String::new() } else { day };
            (day, clock)
        };
        let (end_date, end_time) = event
            .ends_at
            .map(fields)
            .map(same_day_empty)
            .unwrap_or_default();
        let (sales_date, sales_time) = event
            .sales_until
            .map(fields)
            .map(same_day_empty)
            .unwrap_or_default();
        Self {
            title: event.title.clone(),
            category: event.category.code().to_owned(),
            venue: event.venue.clone(),
            city: event.city.clone(),
            country: event.country.clone(),
            date,
            time,
            time_zone: event.time_zone.clone(),
            description: event.description.clone(),
            end_date,
            end_time,
            sales_date,
            sales_time,
        }
    }

    /// Name, label and value of each field.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let texts: [&str; FIELDS.len()] = [
            &self.title,
            &self.category,
            &self.venue,
            &self.city,
            &self.country,
            &self.date,
            &self.time,
            &self.time_zone,
            &self.description,
            &self.end_date,
            &self.end_time,
            &self.sales_date,
            &self.sales_time,
        ];
        FIELDS
            .into_iter()
            .zip(texts)
            .map(|((name, label), text)| (name, label, text))
    }

    /// Name and value of each field, and `others`.
    pub fn typed<'a, const N: usize>(
        &'a self,
        others: [(&'static str, &'a str); N],
    ) -> Vec<(&'static str, &'a str)> {
        let fields = self.each().map(|(name, _, text)| (name, text));
        fields.chain(others).collect()
    }

    /// A hash of each field, to detect later which fields have changed.
    pub fn marks(&self) -> String {
        let marks: Vec<String> = self.each().map(|(_, _, text)| mark(text)).collect();
        marks.join(".")
    }
}

/// Independent of line endings, which browsers change.
fn mark(text: &str) -> String {
    format!("{:016x}", hash(text.replace("\r\n", "\n").trim()))
}

/// Whether the field has the value from which `marks` were computed.
pub fn is_unchanged(marks: &str, name: &str, text: &str) -> bool {
    let place = FIELDS.iter().position(|(known, _)| *known == name);
    let before = place.and_then(|place| marks.split('.').nth(place));
    before == Some(&mark(text))
}

/// The fields; `currency` only for a new event.
pub fn event_fields(form: &Form, facts: &Facts, currency: Option<AnyView>) -> AnyView {
    let text = |name, max| Input {
        max,
        ..input(facts, name)
    };
    let from_place = |words: &str| currency.is_some().then(|| Choice::new("", words));
    let named = COUNTRIES
        .iter()
        .map(|(code, name)| Choice::new(*code, *name));
    let countries = from_place("From the city").into_iter();
    let countries = countries.chain(named).collect();
    let mut zones = zones(&facts.time_zone);
    if let Some(follows) = from_place("From city and country") {
        zones.insert(0, ("", vec![follows]));
    }
    let zone = choose_grouped(form, input(facts, "time_zone"), zones);
    let zone = match currency {
        Some(currency) => view! { <div class="columns">{zone} {currency}</div> }.into_any(),
        None => zone,
    };
    let categories = Category::ALL
        .map(|category| Choice::new(category.code(), category.label()))
        .into();
    // The place that the user was asked about: sending the form again confirms it.
    let sure = form.value("sure", "");
    let sure = (!sure.is_empty()).then(|| hidden("sure", sure));
    let description = Input {
        optional: true,
        ..text("description", Some(5000))
    };
    view! {
        {sure}
        {field(form, text("title", Some(120)))}
        {choose(form, input(facts, "category"), categories)}
        {field(form, text("venue", Some(120)))}
        <div class="columns">
            {field(form, text("city", Some(80)))}
            {choose(form, input(facts, "country"), countries)}
        </div>
        {times(form, facts)}
        {zone}
        {area(form, description)}
    }
    .into_any()
}

fn input(facts: &Facts, name: &'static str) -> Input {
    let mut each = facts.each();
    let found = each.find(|(known, ..)| *known == name);
    let (_, label, value) = found.unwrap_or_default();
    Input {
        name,
        label,
        value: value.to_owned(),
        ..Input::default()
    }
}

/// Date and time fields for start, end and end of sales.
fn times(form: &Form, facts: &Facts) -> AnyView {
    let pair = |date, time, hints: Option<[&str; 2]>| {
        let of = |name, kind, hint: Option<&str>| Input {
            kind,
            hint: hint.map(str::to_owned),
            optional: hint.is_some(),
            ..input(facts, name)
        };
        let [date_hint, time_hint] = hints.map_or([None; 2], |hints| hints.map(Some));
        view! {
            <div class="columns">
                {field(form, of(date, "date", date_hint))}
                {field(form, of(time, "time", time_hint))}
            </div>
        }
    };
    let end = [
        "Leave it empty if that is the day of the start.",
        "Buyers see their tickets until then. If empty: for 12 hours.",
    ];
    let sales = [
        "Only if tickets should still be sold after the start.",
        "If empty, sales end when the event begins.",
    ];
    view! {
        {pair("date", "time", None)}
        {pair("end_date", "end_time", Some(end))}
        {pair("sales_date", "sales_time", Some(sales))}
    }
    .into_any()
}

/// Frequently used time zones.
const OFTEN: [&str; 16] = [
    "Europe/London",
    "Europe/Dublin",
    "Europe/Paris",
    "Europe/Berlin",
    "Europe/Madrid",
    "Europe/Rome",
    "Europe/Amsterdam",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Toronto",
    "Asia/Tokyo",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Australia/Sydney",
];

/// The regions in time zone names. Names that begin otherwise are legacy aliases.
const REGIONS: [&str; 10] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
];

/// Time zones grouped under headings: frequently used ones, then all by region. `used` comes first if it is
/// not among them.
fn zones(used: &str) -> Vec<(&'static str, Vec<Choice>)> {
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.as_str().to_owned())
        .collect();
    let of = |region: &'static str| {
        let choices = known.iter().filter_map(|zone| {
            let place = zone.strip_prefix(region)?.strip_prefix('/')?;
            Some(Choice::new(zone.clone(), place.replace('_', " ")))
        });
        (region, choices.collect::<Vec<_>>())
    };
    let often = OFTEN
        .iter()
        .filter(|zone| known.iter().any(|known| known == *zone))
        .map(|zone| Choice::new(*zone, zone.replace('_', " ")))
        .collect();
    let mut groups = vec![("Often used", often)];
    groups.extend(REGIONS.map(of));
    groups.retain(|(_, choices): &(_, Vec<Choice>)| !choices.is_empty());
    let is_listed = groups
        .iter()
        .any(|(_, choices)| choices.iter().any(|choice| choice.value == used));
    if !is_listed && !used.is_empty() {
        groups.insert(0, ("", vec![Choice::new(used, used.replace('_', " "))]));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_zones_come_first_and_the_current_one_is_always_listed() {
        let groups = zones("Europe/London");
        assert_eq!(groups[0].0, "Often used");
        assert_eq!(groups[0].1[0].value, "Europe/London");
        let named: Vec<&str> = groups.iter().map(|(heading, _)| *heading).collect();
        assert!(
            named.contains(&"Europe") && named.contains(&"Pacific"),
            "{named:?}"
        );
        let all = groups.iter().flat_map(|(_, choices)| choices);
        assert!(all.filter(|choice| choice.label == "Paris").count() == 1);
        assert_eq!(zones("US/Pacific")[0].1[0].value, "US/Pacific");
    }
}
