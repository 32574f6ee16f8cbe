//! The tickets, orders and payments of the model as texts, in the format in which `shop.rs` describes the
//! shop's.

use super::{
    model::{Attempt, IntentStatus, TicketState, World},
    words::name,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub fn expected_tickets(world: &World) -> BTreeMap<usize, String> {
    let texts = world.tickets.iter().enumerate().map(|(number, ticket)| {
        let left = world.held_for(number);
        let status = match ticket.state {
            TicketState::Sold(_) => "sold",
            TicketState::Withdrawn => "withdrawn",
            TicketState::Listed(_) if left.is_some() => "reserved",
            TicketState::Listed(_) => "available",
        };
        let text = format!("{} at {}, {} s left", status, ticket.price, json!(left));
        (number, text)
    });
    texts.collect()
}

pub fn expected_orders(world: &World, buyer: usize) -> BTreeMap<Attempt, String> {
    let own = world
        .orders
        .iter()
        .filter(|(_, order)| order.buyer == buyer);
    let texts = own.map(|(attempt, order)| {
        let left = if order.is_open() {
            (order.expires_at - world.now).max(0)
        } else {
            0
        };
        let tickets: BTreeSet<usize> = order.lines.iter().map(|line| line.ticket).collect();
        let text = format!(
            "{}, {left} s left, {} for {tickets:?}, payment: {}",
            name(world.reported_state(*attempt)),
            order.total(),
            order.payment.is_some(),
        );
        (*attempt, text)
    });
    texts.collect()
}

pub fn expected_payments(world: &World) -> BTreeMap<Attempt, String> {
    let paid = world
        .paid
        .iter()
        .map(|attempt| (*attempt, world.order(*attempt)));
    let texts = paid.filter_map(|(attempt, order)| {
        let payment = order.payment.as_ref()?;
        let status = match payment.intent {
            IntentStatus::RequiresPaymentMethod => "requires_payment_method",
            IntentStatus::RequiresAction => "requires_action",
            IntentStatus::RequiresCapture => "requires_capture",
            IntentStatus::Canceled => "canceled",
            IntentStatus::Succeeded => "succeeded",
        };
        let (total, captured, refunded) = (order.total(), payment.received, payment.refunded);
        Some((
            attempt,
            format!("{status} of {total}, {captured} captured, {refunded} refunded"),
        ))
    });
    texts.collect()
}
