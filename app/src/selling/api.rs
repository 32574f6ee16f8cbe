//! Server functions of selling.

use leptos::server;
use model::error::AppError;

/// The name of a form that changes many tickets of an event, unique on the page.
pub(super) fn form_name(action: &str, event_id: &str) -> String {
    format!("{action}-{event_id}")
}

/// Parses the form's choice of sections: empty for all, or `=` and a section.
fn parse_section(choice: &str) -> Option<String> {
    choice.strip_prefix('=').map(str::to_owned)
}

/// Changes the price of all unsold tickets of an event.
#[server(prefix = "/fn", endpoint = "selling/reprice")]
pub async fn reprice(
    #[server(default)] event_id: String,
    #[server(default)] which: String,
    #[server(default)] price: String,
) -> Result<(), AppError> {
    use crate::tickets::api::parse_price;
    use model::{
        ids::EventId,
        money::Money,
        selling::{Reprice, Selling},
    };
    let form = form_name("reprice", &event_id);
    let values = [("which", which.as_str()), ("price", &price)];
    let names = [("priceMinor", "price")];
    let refuse = |error| context::refuse(&form, context::at_fields(error, &names), &values);
    let selling = context::port::<dyn Selling>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let Ok(id) = event_id.parse::<EventId>() else {
        return refuse(AppError::NotFound);
    };
    let currency = match selling.get_group(&viewer, id).await {
        Ok(group) => group.currency,
        Err(error) => return refuse(error),
    };
    let price_minor = match parse_price(currency, "price", &price) {
        Ok(price_minor) => price_minor,
        Err(error) => return refuse(AppError::Invalid(vec![error])),
    };
    let request = Reprice {
        event_id: id,
        section: parse_section(&which),
        price_minor,
    };
    match selling.reprice(&viewer, request).await {
        Ok(changed) => {
            context::notice(repriced_text(changed, Money::new(price_minor, currency)));
            context::redirect_back("/selling");
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Takes all unsold tickets of an event off sale.
#[server(prefix = "/fn", endpoint = "selling/take_back")]
pub async fn withdraw_unsold(
    #[server(default)] event_id: String,
    #[server(default)] which: String,
) -> Result<(), AppError> {
    use model::selling::{Selling, WithdrawUnsold};
    let form = form_name("take-back", &event_id);
    let values = [("which", which.as_str())];
    let selling = context::port::<dyn Selling>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(&form, error, &values),
    };
    let Ok(id) = event_id.parse() else {
        return context::refuse(&form, AppError::NotFound, &values);
    };
    let request = WithdrawUnsold {
        event_id: id,
        section: parse_section(&which),
    };
    match selling.withdraw_unsold(&viewer, request).await {
        Ok(changed) => {
            context::notice(withdrawn_text(changed));
            context::redirect_back("/selling");
            Ok(())
        }
        Err(error) => context::refuse(&form, error, &values),
    }
}

fn repriced_text(result: model::selling::Changed, price: model::money::Money) -> String {
    let changed = match result.changed {
        0 => "No price was changed.".to_owned(),
        1 => format!("1 ticket now costs {price}."),
        many => format!("{many} tickets now cost {price}."),
    };
    let held = match result.held {
        0 => return changed,
        1 => "1 is held by a buyer who is paying, and keeps its price.".to_owned(),
        many => format!("{many} are held by buyers who are paying, and keep their price."),
    };
    format!("{changed} {held}")
}

fn withdrawn_text(result: model::selling::Changed) -> String {
    let changed = match result.changed {
        0 => "No ticket was taken off sale.".to_owned(),
        1 => "1 ticket is off sale.".to_owned(),
        many => format!("{many} tickets are off sale."),
    };
    let held = match result.held {
        0 => return changed,
        1 => "1 is held by a buyer who is paying, and stays.".to_owned(),
        many => format!("{many} are held by buyers who are paying, and stay."),
    };
    format!("{changed} {held}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{money::Money, selling::Changed};

    #[test]
    fn the_notice_states_how_many_tickets_changed_and_how_many_did_not() {
        let price = Money::new(3000, "GBP".parse().unwrap());
        let result = |changed, held| Changed { changed, held };
        assert_eq!(
            repriced_text(result(12, 0), price),
            "12 tickets now cost £30.00."
        );
        assert_eq!(
            repriced_text(result(1, 2), price),
            "1 ticket now costs £30.00. 2 are held by buyers who are paying, and keep their price."
        );
        assert_eq!(repriced_text(result(0, 0), price), "No price was changed.");
        assert_eq!(
            withdrawn_text(result(0, 1)),
            "No ticket was taken off sale. 1 is held by a buyer who is paying, and stays."
        );
        assert_eq!(withdrawn_text(result(2, 0)), "2 tickets are off sale.");
    }

    #[test]
    fn a_section_is_distinguished_from_all_sections() {
        assert_eq!(parse_section(""), None);
        assert_eq!(parse_section("="), Some(String::new()));
        assert_eq!(parse_section("=Stalls"), Some("Stalls".to_owned()));
    }
}
