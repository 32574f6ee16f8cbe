//! The filter form for the tickets for sale. Its values are in the page's URL.

use crate::ui::{Choice, Form, Input, choose, field};
use context::Flash;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use model::{
    error::FieldError,
    events::Event,
    money::{Currency, Money},
    orders::TICKETS_PER_ORDER_MAX,
    tickets::{OfferFilter, Offers},
};

/// The form is shown only if there are more offers than this.
const OFFERS_WITHOUT_FILTER: usize = 5;

/// The values as they are in the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferFilterForm {
    section: String,
    max: String,
    together: String,
}

impl OfferFilterForm {
    /// Reads the URL of this request.
    pub fn from_url() -> Self {
        use_query_map().with_untracked(|query| {
            let given = |name| {
                query
                    .get(name)
                    .map(|text| text.trim().to_owned())
                    .unwrap_or_default()
            };
            Self {
                section: given("section"),
                max: given("max"),
                together: given("together"),
            }
        })
    }

    /// Parses the values. Invalid ones are ignored, because people bookmark and edit URLs.
    pub fn filter(&self, currency: Currency) -> OfferFilter {
        let most = i64::try_from(TICKETS_PER_ORDER_MAX).unwrap_or(i64::MAX);
        OfferFilter {
            section: Some(self.section.clone())
                .filter(|section| !section.is_empty() && !section.contains(char::is_control)),
            max_price_minor: self.max_price(currency).ok().flatten(),
            together: self
                .together
                .parse()
                .ok()
                .filter(|together| (1..=most).contains(together)),
        }
    }

    fn max_price(&self, currency: Currency) -> Result<Option<i64>, FieldError> {
        if self.max.is_empty() {
            return Ok(None);
        }
        Money::parse(&self.max, currency)
            .map(|money| Some(money.minor))
            .map_err(|error| FieldError::new("max", error.to_string()))
    }

    /// The form; `None` if there are few offers and no filter is set.
    pub fn form(&self, event: &Event, offers: &Offers) -> Option<AnyView> {
        let lines = offers.groups.len() + offers.seats.len();
        if lines <= OFFERS_WITHOUT_FILTER && *self == Self::default() {
            return None;
        }
        let wrong = self.max_price(event.currency).err().map(|error| Flash {
            form: "narrow".to_owned(),
            fields: vec![error],
            ..Flash::default()
        });
        let form = Form::new("narrow", wrong.as_ref());
        let all = format!("/events/{}#tickets", event.id);
        let form_to = all.clone();
        let is_unfiltered = *self == Self::default();
        let any = std::iter::once(Choice::new("", "Any section"));
        let sections = offers
            .sections
            .iter()
            .map(|section| Choice::new(section, section));
        let any_number = std::iter::once(Choice::new("", "Any number"));
        let numbers = (1..=TICKETS_PER_ORDER_MAX).map(|number| {
            let number = number.to_string();
            Choice::new(number.clone(), number)
        });
        let section = Input {
            name: "section",
            label: "Section",
            value: self.section.clone(),
            ..Input::default()
        };
        let max = Input {
            name: "max",
            label: "At most, each",
            value: self.max.clone(),
            inputmode: "decimal",
            optional: true,
            max: Some(12),
            autocomplete: "off",
            ..Input::default()
        };
        let together = Input {
            name: "together",
            label: "How many together",
            value: self.together.clone(),
            ..Input::default()
        };
        Some(
            view! {
                <form class="narrow-by" action=form_to method="get" aria-label="Filter tickets">
                    {choose(&form, section, any.chain(sections).collect())}
                    {field(&form, max)}
                    {choose(&form, together, any_number.chain(numbers).collect())}
                    <p class="row">
                        <button class="button button-quiet" type="submit">"Show"</button>
                        {(!is_unfiltered).then(|| view! {
                            <a class="button button-quiet" href=all>"Show all"</a>
                        })}
                    </p>
                </form>
            }
            .into_any(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_ignored() {
        let pounds = "GBP".parse().unwrap();
        let form = |section: &str, max: &str, together: &str| OfferFilterForm {
            section: section.to_owned(),
            max: max.to_owned(),
            together: together.to_owned(),
        };
        let filter = form("Stalls", "25,50", "2").filter(pounds);
        assert_eq!(filter.section.as_deref(), Some("Stalls"));
        assert_eq!(
            (filter.max_price_minor, filter.together),
            (Some(2550), Some(2))
        );
        for nonsense in ["-1", "many", "1.234"] {
            assert!(form("", nonsense, nonsense).filter(pounds).is_everything());
        }
        assert!(form("", "", "9").filter(pounds).is_everything());
    }
}
