//! The model of tickets, orders and payments.
//!
//! Owns the state that the shop must agree with. Has no HTTP, database or versions; time is in whole seconds
//! since the start of the case. The answers to requests are in `answers.rs`, the limits in `limits.rs`, and changes
//! made at Stripe in `elsewhere.rs`.

use super::{
    elsewhere::{Balances, ExternalChanges},
    limits::Limits,
};
use std::collections::{BTreeMap, BTreeSet};

pub const BUYERS: usize = 3;
/// Index of the seller of all tickets, after the buyers.
pub const SELLER: usize = BUYERS;
pub const DAY: i64 = 24 * 3600;
/// Start of the event: slightly after two days, so that some cases reach it.
pub const STARTS_AT: i64 = 2 * DAY + 7;

/// The rules of the shop. A test with other rules must fail.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Length of a hold, in seconds.
    pub hold: i64,
    /// Added once a payment has begun, in seconds.
    pub grace: i64,
    /// Maximum age of a payment whose late authorisation is accepted, in seconds.
    pub late: i64,
    /// Maximum number of unpaid orders of a buyer.
    pub open_orders: usize,
    /// Whether lost disputes are booked in the ledger.
    pub losses_are_booked: bool,
}

/// Number of a ticket, in listing order.
pub type TicketNo = usize;
/// Number of an attempt to reserve, and of its order.
pub type Attempt = usize;

#[derive(Debug, Clone)]
pub struct Ticket {
    pub price: i64,
    pub state: TicketState,
    /// Counts changes that prevent a revival: another hold, another price, a sale.
    pub changes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    /// For sale. Held by this order until the end of its hold, or until a lapsed order is expired.
    Listed(Option<Attempt>),
    Sold(Attempt),
    Withdrawn,
}

#[derive(Debug, Clone)]
pub struct Order {
    pub buyer: usize,
    pub lines: Vec<Line>,
    pub state: OrderState,
    pub created_at: i64,
    pub expires_at: i64,
    pub hold_until: i64,
    /// Whether the buyer has extended the hold.
    pub extended: bool,
    pub payment: Option<Payment>,
    pub cards_tried: u32,
    /// Number of cards that were declined immediately.
    pub cards_declined: u32,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub ticket: TicketNo,
    pub price: i64,
    /// The ticket's change count when it was held.
    pub changes: u32,
    /// Whether the order holds or owns the ticket.
    pub live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    Created,
    AwaitingPayment,
    Complete,
    Expired,
    Cancelled,
    Refunded,
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub begun_at: i64,
    /// The state in the shop.
    pub state: PaymentState,
    /// The status at Stripe.
    pub intent: IntentStatus,
    pub received: i64,
    /// Refunded amount at Stripe.
    pub refunded: i64,
    /// Refunded amount known to the shop.
    pub known_refunded: i64,
    pub external_changes: ExternalChanges,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// Another card may be tried.
    Open,
    RequiresAction,
    Captured,
    /// To be voided; the call to Stripe is pending.
    Voiding,
    Voided,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    RequiresPaymentMethod,
    RequiresAction,
    RequiresCapture,
    Canceled,
    Succeeded,
}

impl Order {
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.price).sum()
    }

    /// Whether it is unpaid and neither expired nor cancelled.
    pub fn is_open(&self) -> bool {
        matches!(
            self.state,
            OrderState::Created | OrderState::AwaitingPayment
        )
    }
}

/// The whole state.
#[derive(Debug, Clone)]
pub struct World {
    pub rules: Rules,
    pub now: i64,
    pub tickets: Vec<Ticket>,
    pub orders: BTreeMap<Attempt, Order>,
    /// Orders with payments, in the order in which these began.
    pub paid: Vec<Attempt>,
    pub limits: Limits,
    pub balances: Balances,
    /// The kinds of the incidents.
    pub incidents: Vec<&'static str>,
    /// Rare cases that were reached, for the test of the generated moves.
    pub marks: BTreeSet<&'static str>,
}

impl World {
    pub fn new(rules: Rules, prices: &[i64], limits_on: bool) -> Self {
        let mut world = Self {
            rules,
            now: 0,
            tickets: Vec::new(),
            orders: BTreeMap::new(),
            paid: Vec::new(),
            limits: Limits::new(limits_on),
            balances: Balances::default(),
            incidents: Vec::new(),
            marks: BTreeSet::new(),
        };
        for price in prices {
            world.list(*price);
        }
        world
    }

    pub fn list(&mut self, price: i64) {
        self.tickets.push(Ticket {
            price,
            state: TicketState::Listed(None),
            changes: 0,
        });
    }

    pub fn mark(&mut self, what: &'static str) {
        self.marks.insert(what);
    }

    pub fn is_over(&self) -> bool {
        self.now >= STARTS_AT
    }

    pub fn order(&self, order: Attempt) -> &Order {
        &self.orders[&order]
    }

    pub fn order_mut(&mut self, order: Attempt) -> &mut Order {
        self.orders.get_mut(&order).unwrap()
    }

    pub fn payment(&self, order: Attempt) -> Option<&Payment> {
        self.order(order).payment.as_ref()
    }

    pub fn payment_mut(&mut self, order: Attempt) -> &mut Payment {
        self.order_mut(order).payment.as_mut().unwrap()
    }

    /// Seconds until this ticket is free; `None` if it is free or not for sale.
    pub fn held_for(&self, ticket: TicketNo) -> Option<i64> {
        match self.tickets[ticket].state {
            TicketState::Listed(Some(holder)) => {
                Some(self.order(holder).hold_until - self.now).filter(|left| *left > 0)
            }
            _ => None,
        }
    }

    /// The lapsed order that still holds this ticket.
    pub fn lapsed_holder(&self, ticket: TicketNo) -> Option<Attempt> {
        match self.tickets[ticket].state {
            TicketState::Listed(holder) => holder.filter(|_| self.held_for(ticket).is_none()),
            _ => None,
        }
    }

    /// The status in answers: a hold ends by the clock.
    pub fn reported_state(&self, order: Attempt) -> OrderState {
        let order = self.order(order);
        if order.is_open() && order.hold_until <= self.now {
            OrderState::Expired
        } else {
            order.state
        }
    }

    /// Holds free tickets for a new order.
    pub fn hold(&mut self, attempt: Attempt, buyer: usize, tickets: &[TicketNo]) {
        let mut lines = Vec::new();
        for &number in tickets {
            let ticket = &mut self.tickets[number];
            assert_eq!(
                ticket.state,
                TicketState::Listed(None),
                "the ticket is already held"
            );
            ticket.state = TicketState::Listed(Some(attempt));
            ticket.changes += 1;
            lines.push(Line {
                ticket: number,
                price: ticket.price,
                changes: ticket.changes,
                live: true,
            });
        }
        let expires_at = self.now + self.rules.hold;
        let order = Order {
            buyer,
            lines,
            state: OrderState::Created,
            created_at: self.now,
            expires_at,
            hold_until: expires_at,
            extended: false,
            payment: None,
            cards_tried: 0,
            cards_declined: 0,
        };
        self.orders.insert(attempt, order);
    }

    /// Expires the order if its hold has ended. Returns whether it was expired.
    pub fn expire(&mut self, order: Attempt) -> bool {
        let lapsed = self.order(order).is_open() && self.order(order).hold_until <= self.now;
        if lapsed {
            self.count_unpaid_expiry(order);
            self.end_unpaid(order, OrderState::Expired);
        }
        lapsed
    }

    /// Ends an unpaid order: releases its tickets and voids its payment.
    pub fn end_unpaid(&mut self, order: Attempt, end: OrderState) {
        for ticket in &mut self.tickets {
            if ticket.state == TicketState::Listed(Some(order)) {
                ticket.state = TicketState::Listed(None);
            }
        }
        let order = self.order_mut(order);
        order.state = end;
        order.lines.iter_mut().for_each(|line| line.live = false);
        if let Some(payment) = &mut order.payment
            && matches!(
                payment.state,
                PaymentState::Open | PaymentState::RequiresAction
            )
        {
            payment.state = PaymentState::Voiding;
        }
    }

    /// Marks the order as paid and its tickets as sold.
    pub fn complete(&mut self, order: Attempt) {
        let paid = self.order_mut(order);
        let total = paid.total();
        paid.state = OrderState::Complete;
        paid.lines.iter_mut().for_each(|line| line.live = true);
        let bought: Vec<TicketNo> = paid.lines.iter().map(|line| line.ticket).collect();
        let payment = self.payment_mut(order);
        payment.state = PaymentState::Captured;
        payment.intent = IntentStatus::Succeeded;
        payment.received = total;
        self.balances.at_stripe += total;
        self.balances.owed_to_seller += total;
        self.reset_unpaid_expiries(order);
        for ticket in bought {
            self.tickets[ticket].state = TicketState::Sold(order);
            self.tickets[ticket].changes += 1;
        }
    }

    /// The shop reads the state of the payment at Stripe and acts on it.
    pub fn read_intent(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        let is_pending = matches!(
            payment.state,
            PaymentState::Open | PaymentState::RequiresAction
        );
        match payment.intent {
            IntentStatus::RequiresPaymentMethod if is_pending => {
                self.payment_mut(order).state = PaymentState::Open;
            }
            IntentStatus::RequiresCapture if is_pending => self.authorised(order),
            _ => {}
        }
        self.void(order);
    }

    /// The card is authorised: charges it within the hold or if the order can be revived, else voids the payment.
    fn authorised(&mut self, order: Attempt) {
        let held = self.order(order).state == OrderState::AwaitingPayment
            && self.order(order).hold_until > self.now;
        if held {
            if self.order(order).expires_at <= self.now {
                self.mark("completed within the grace");
            }
            self.complete(order);
        } else if self.can_be_revived(order) {
            self.mark("revived before it was expired");
            self.complete(order);
        } else {
            self.payment_mut(order).state = PaymentState::Voiding;
        }
    }

    /// Voids the payment, unless it is authorised and the order can be revived.
    pub fn void(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        if payment.state != PaymentState::Voiding {
            return;
        }
        let authorised = payment.intent == IntentStatus::RequiresCapture;
        let too_old = self.now - payment.begun_at > self.rules.late;
        if authorised && self.can_be_revived(order) {
            self.mark("revived after it had expired");
            self.complete(order);
            return;
        }
        if authorised {
            self.mark("authorised too late, and voided");
            if too_old {
                self.mark("too old to be revived");
            }
        }
        let payment = self.payment_mut(order);
        payment.intent = IntentStatus::Canceled;
        payment.state = PaymentState::Voided;
    }

    /// Whether all tickets of an ended order are free and unchanged.
    fn can_be_revived(&self, order: Attempt) -> bool {
        let begun_at = self.payment(order).map(|payment| payment.begun_at);
        let is_unchanged = |line: &Line| {
            let ticket = &self.tickets[line.ticket];
            let free = matches!(ticket.state, TicketState::Listed(holder) if holder.is_none_or(|id| id == order));
            free && ticket.changes == line.changes
        };
        self.reported_state(order) == OrderState::Expired
            && !self.is_over()
            && begun_at.is_some_and(|begun_at| self.now - begun_at <= self.rules.late)
            && self.order(order).lines.iter().all(is_unchanged)
    }

    /// The sweep: reads the payments of orders in their grace, expires lapsed orders, then sends voids. Returns
    /// the number of expired orders.
    pub fn sweep(&mut self) -> usize {
        for order in self.paid.clone() {
            let in_grace = |of: &Order| of.expires_at <= self.now && of.hold_until > self.now;
            let of = self.order(order);
            if of.state == OrderState::AwaitingPayment && in_grace(of) {
                self.read_intent(order);
            }
        }
        let mut all: Vec<Attempt> = self.orders.keys().copied().collect();
        // Oldest first: the sequence determines how long the buyer has to wait.
        all.sort_by_key(|order| (self.order(*order).hold_until, *order));
        let expired = all.into_iter().filter(|order| self.expire(*order)).count();
        self.paid
            .clone()
            .into_iter()
            .for_each(|order| self.void(order));
        expired
    }

    /// Every webhook is delivered, so the shop reads every payment.
    pub fn deliver_webhooks(&mut self) {
        for order in self.paid.clone() {
            self.read_intent(order);
            self.read_external_changes(order);
        }
    }

    /// The amount captured and not refunded at Stripe.
    pub fn captured_amount(&self) -> i64 {
        let payments = self
            .orders
            .values()
            .filter_map(|order| order.payment.as_ref());
        payments
            .map(|payment| payment.received - payment.refunded)
            .sum()
    }
}
