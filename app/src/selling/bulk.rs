//! The forms that change all unsold tickets of an event at once.

use super::api::{Reprice, WithdrawUnsold, form_name};
use crate::ui::{Choice, Form, Input, choose, field, hidden, post_to, problem_at_top};
use context::Flash;
use leptos::prelude::*;
use model::{
    money::Money,
    selling::{SaleGroup, UnsoldSection},
};

/// Forms to reprice or withdraw all unsold tickets, of all sections or one. `None` if there are no
/// unsold tickets.
pub fn bulk_forms(
    group: &SaleGroup,
    sections: &[UnsoldSection],
    flash: Option<&Flash>,
) -> Option<AnyView> {
    if sections.is_empty() {
        return None;
    }
    let id = group.event_id.to_string();
    let reprice = Form::new(form_name("reprice", &id), flash);
    let withdraw = Form::new(form_name("take-back", &id), flash);
    let open = reprice.was_refused() || withdraw.was_refused();
    let example = Money::new(2500, group.currency).plain();
    let currency = group.currency.code();
    Some(
        view! {
            <details class="listing-edit" open=open>
                <summary aria-label=format!("Change all unsold: {}", group.title)>
                    "Change all unsold"
                </summary>
                <p class="hint">"Tickets that a buyer is paying for are not changed."</p>
                {post_to::<Reprice>("stack", view! {
                    {problem_at_top(&reprice)}
                    {hidden("event_id", id.clone())}
                    <div class="columns">
                        {choose_section(&reprice, sections)}
                        {field(&reprice, Input {
                            name: "price", label: "New price of each", inputmode: "decimal",
                            max: Some(14), hint: Some(format!("In {currency}, for example {example}.")),
                            ..Input::default()
                        })}
                    </div>
                    <button class="button" type="submit">"Change the price"</button>
                })}
                {post_to::<WithdrawUnsold>("stack", view! {
                    {problem_at_top(&withdraw)}
                    {hidden("event_id", id)}
                    {choose_section(&withdraw, sections)}
                    <button class="button button-quiet" type="submit">"Take all unsold off sale"</button>
                })}
            </details>
        }
        .into_any(),
    )
}

/// The choice of a section; `None` if there is only one.
fn choose_section(form: &Form, sections: &[UnsoldSection]) -> Option<AnyView> {
    if sections.len() < 2 {
        return None;
    }
    let all: i64 = sections.iter().map(|section| section.unsold).sum();
    let mut choices = vec![Choice::new("", format!("All {all} unsold"))];
    choices.extend(sections.iter().map(|section| {
        let name = match section.section.as_str() {
            "" => "Without a section",
            name => name,
        };
        Choice::new(
            format!("={}", section.section),
            format!("{name} ({})", section.unsold),
        )
    }));
    let input = Input {
        name: "which",
        label: "Which tickets",
        ..Input::default()
    };
    Some(choose(form, input, choices).into_any())
}
