//! The model of tickets, orders and payments.
//!
//! Owns the state that the shop must agree with. Has no HTTP, database or versions; time is whole seconds
//! since the case began. The answers to requests are in `promise.rs`, the limits in `limits.rs`, and changes
//! made at Stripe in `elsewhere.rs`.

use super::{
    elsewhere::{Books, Elsewhere},
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
    pub place: Place,
    /// Counts changes that prevent a revival: another hold, another price, a sale.
    pub changes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// For sale. Held by this order until the end of its hold, or longer if it has not been expired.
    Listed(Option<Attempt>),
    Sold(Attempt),
    Withdrawn,
}

#[derive(Debug, Clone)]
pub struct Order {
    pub buyer: usize,
    pub lines: Vec<Line>,
    pub state: State,
    pub created_at: i64,
    pub expires_at: i64,
    pub hold_until: i64,
    /// Whether the buyer has extended the hold.
    pub extended: bool,
    pub payment: Option<Payment>,
    /// Number of cards tried, and of those declined immediately.
    pub tried: u32,
    pub declined: u32,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub ticket: TicketNo,
    pub price: i64,
    /// The ticket's change count when it was held.
    pub changes: u32,
    /// While the order holds or owns the ticket.
    pub live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
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
    /// The state known to the shop.
    pub paying: Paying,
    /// The state at Stripe.
    pub intent: Intent,
    pub received: i64,
    /// Refunded amount at Stripe.
    pub refunded: i64,
    /// Refunded amount known to the shop.
    pub booked: i64,
    pub elsewhere: Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paying {
    /// Another card may be tried.
    Open,
    RequiresAction,
    Captured,
    /// To be voided; not sent to Stripe yet.
    Voiding,
    Voided,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
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
        matches!(self.state, State::Created | State::AwaitingPayment)
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
    pub books: Books,
    /// Incidents.
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
            books: Books::default(),
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
            place: Place::Listed(None),
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
        match self.tickets[ticket].place {
            Place::Listed(Some(holder)) => {
                Some(self.order(holder).hold_until - self.now).filter(|left| *left > 0)
            }
            _ => None,
        }
    }

    /// The lapsed order that still holds this ticket.
    pub fn lapsed_holder(&self, ticket: TicketNo) -> Option<Attempt> {
        match self.tickets[ticket].place {
            Place::Listed(holder) => holder.filter(|_| self.held_for(ticket).is_none()),
            _ => None,
        }
    }

    /// The status that users see: a hold ends by the clock.
    pub fn seen(&self, order: Attempt) -> State {
        let order = self.order(order);
        if order.is_open() && order.hold_until <= self.now {
            State::Expired
        } else {
            order.state
        }
    }

    /// Holds free tickets for a new order.
    pub fn hold(&mut self, attempt: Attempt, buyer: usize, tickets: &[TicketNo]) {
        let mut lines = Vec::new();
        for &number in tickets {
            let ticket = &mut self.tickets[number];
            assert_eq!(ticket.place, Place::Listed(None), "the model holds twice");
            ticket.place = Place::Listed(Some(attempt));
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
            state: State::Created,
            created_at: self.now,
            expires_at,
            hold_until: expires_at,
            extended: false,
            payment: None,
            tried: 0,
            declined: 0,
        };
        self.orders.insert(attempt, order);
    }

    /// Expires the order if its hold has ended. Returns whether it was expired.
    pub fn expire(&mut self, order: Attempt) -> bool {
        let due = self.order(order).is_open() && self.order(order).hold_until <= self.now;
        if due {
            self.lapsed_unpaid(order);
            self.give_back(order, State::Expired);
        }
        due
    }

    /// Ends an unpaid order: frees its tickets and voids its payment.
    pub fn give_back(&mut self, order: Attempt, end: State) {
        for ticket in &mut self.tickets {
            if ticket.place == Place::Listed(Some(order)) {
                ticket.place = Place::Listed(None);
            }
        }
        let order = self.order_mut(order);
        order.state = end;
        order.lines.iter_mut().for_each(|line| line.live = false);
        if let Some(payment) = &mut order.payment
            && matches!(payment.paying, Paying::Open | Paying::RequiresAction)
        {
            payment.paying = Paying::Voiding;
        }
    }

    /// Marks the order as paid and its tickets as sold.
    pub fn complete(&mut self, order: Attempt) {
        let paid = self.order_mut(order);
        let total = paid.total();
        paid.state = State::Complete;
        paid.lines.iter_mut().for_each(|line| line.live = true);
        let bought: Vec<TicketNo> = paid.lines.iter().map(|line| line.ticket).collect();
        let payment = self.payment_mut(order);
        payment.paying = Paying::Captured;
        payment.intent = Intent::Succeeded;
        payment.received = total;
        self.books.at_stripe += total;
        self.books.owed_to_seller += total;
        self.paid_in_time(order);
        for ticket in bought {
            self.tickets[ticket].place = Place::Sold(order);
            self.tickets[ticket].changes += 1;
        }
    }

    /// The shop reads the state of the payment at Stripe and acts on it.
    pub fn hear(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        let waits = matches!(payment.paying, Paying::Open | Paying::RequiresAction);
        match payment.intent {
            Intent::RequiresPaymentMethod if waits => {
                self.payment_mut(order).paying = Paying::Open;
            }
            Intent::RequiresCapture if waits => self.authorised(order),
            _ => {}
        }
        self.void(order);
    }

    /// The card is authorised: charges it within the hold, or if the order can be revived.
    fn authorised(&mut self, order: Attempt) {
        let held = self.order(order).state == State::AwaitingPayment
            && self.order(order).hold_until > self.now;
        if held {
            if self.order(order).expires_at <= self.now {
                self.mark("completed within the grace");
            }
            self.complete(order);
        } else if self.is_as_it_was(order) {
            self.mark("revived before anybody expired it");
            self.complete(order);
        } else {
            self.payment_mut(order).paying = Paying::Voiding;
        }
    }

    /// Voids the payment, unless it is authorised and the order can be revived.
    pub fn void(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        if payment.paying != Paying::Voiding {
            return;
        }
        let authorised = payment.intent == Intent::RequiresCapture;
        let too_old = self.now - payment.begun_at > self.rules.late;
        if authorised && self.is_as_it_was(order) {
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
        payment.intent = Intent::Canceled;
        payment.paying = Paying::Voided;
    }

    /// Whether all tickets of an ended order are free and unchanged.
    fn is_as_it_was(&self, order: Attempt) -> bool {
        let begun_at = self.payment(order).map(|payment| payment.begun_at);
        let untouched = |line: &Line| {
            let ticket = &self.tickets[line.ticket];
            let free = matches!(ticket.place, Place::Listed(holder) if holder.is_none_or(|by| by == order));
            free && ticket.changes == line.changes
        };
        self.seen(order) == State::Expired
            && !self.is_over()
            && begun_at.is_some_and(|begun_at| self.now - begun_at <= self.rules.late)
            && self.order(order).lines.iter().all(untouched)
    }

    /// The sweep: reads the payments of orders in their grace, expires due orders, then sends voids. Returns the
    /// number of orders expired.
    pub fn sweep(&mut self) -> usize {
        for order in self.paid.clone() {
            let in_grace = |of: &Order| of.expires_at <= self.now && of.hold_until > self.now;
            let of = self.order(order);
            if of.state == State::AwaitingPayment && in_grace(of) {
                self.hear(order);
            }
        }
        let mut all: Vec<Attempt> = self.orders.keys().copied().collect();
        // Oldest first: the order determines how long the buyer has to wait.
        all.sort_by_key(|order| (self.order(*order).hold_until, *order));
        let expired = all.into_iter().filter(|order| self.expire(*order)).count();
        self.paid
            .clone()
            .into_iter()
            .for_each(|order| self.void(order));
        expired
    }

    /// Every webhook arrives, so the shop reads every payment.
    pub fn webhooks(&mut self) {
        for order in self.paid.clone() {
            self.hear(order);
            self.hear_from_elsewhere(order);
        }
    }

    /// The amount captured at Stripe and not refunded.
    pub fn money(&self) -> i64 {
        let payments = self
            .orders
            .values()
            .filter_map(|order| order.payment.as_ref());
        payments
            .map(|payment| payment.received - payment.refunded)
            .sum()
    }
}
