//! `/tickets`: the viewer's bought tickets, and a summary of what they sell.

use super::bought::bought;
use crate::{
    refunds::owed_line,
    selling::summary,
    ui::{flash_message, page_for},
};
use leptos::prelude::*;
use leptos_meta::Title;
use model::{
    ids::TicketId,
    refunds::{Owed, Refunds, TicketRefund},
    selling::{Counts, GroupQuery, SaleGroups, Selling},
};

#[component]
pub fn TicketsPage() -> impl IntoView {
    page_for(|viewer| async move {
        let flash = context::take_flash();
        let refunds = context::port::<dyn Refunds>()?;
        let selling = context::port::<dyn Selling>()?;
        let bought = bought(&viewer).await?;
        let totals = selling.count_tickets(&viewer).await?;
        let groups = selling.list_groups(&viewer, GroupQuery::default()).await?;
        let owed = refunds.list_owed(&viewer).await?;
        Ok(view! {
            <Title text="Tickets"/>
            <h1 class="display">"Tickets"</h1>
            {flash_message(flash.as_ref())}
            {bought}
            {for_sale(totals, groups, &owed)}
        }
        .into_any())
    })
}

/// The newest refund of a ticket: `refunds` come newest first.
pub(super) fn newest(refunds: &[TicketRefund], ticket: TicketId) -> Option<&TicketRefund> {
    refunds.iter().find(|refund| refund.ticket_id == ticket)
}

fn for_sale(totals: Counts, groups: SaleGroups, owed: &[Owed]) -> impl IntoView + use<> {
    let all = (totals.all() > 0).then(|| {
        view! {
            <a class="button button-quiet button-small" href="/selling">"All you sell"</a>
        }
    });
    view! {
        <section aria-labelledby="for-sale">
            <div class="sale-head">
                <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
                <p class="row">
                    {all}
                    <a class="button button-quiet button-small" href="/sell">"Sell more"</a>
                </p>
            </div>
            {owed_line(owed)}
            {summary(totals, groups.groups)}
        </section>
    }
}
