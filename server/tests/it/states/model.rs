//! The promise, small enough to be read: what becomes of tickets, orders and money, step by step.
//!
//! Owns the state that the shop must agree with. It knows no HTTP, no database and no versions;
//! time is whole seconds since the case began. What of it can be asked for is in `promise.rs`, what is
//! counted against limits in `limits.rs`, and what goes on at Stripe by itself in `elsewhere.rs`.

use super::{
    elsewhere::{Books, Elsewhere},
    limits::Limits,
};
use std::collections::{BTreeMap, BTreeSet};

pub const BUYERS: usize = 3;
/// The one who sells all tickets, behind the buyers.
pub const SELLER: usize = BUYERS;
pub const DAY: i64 = 24 * 3600;
/// The event begins an odd while after two days, so that a case can come to it or not.
pub const STARTS_AT: i64 = 2 * DAY + 7;

/// What is promised about time. A test that believes in other numbers must fail.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a ticket is held, in seconds.
    pub hold: i64,
    /// For how long after that, once a payment has begun.
    pub grace: i64,
    /// How old a payment may be whose late authorisation is still taken.
    pub late: i64,
    /// How many unpaid orders a buyer may have.
    pub open_orders: usize,
    /// Whether the books say that what was lost to a dispute is gone.
    pub losses_are_booked: bool,
}

/// The number of a ticket: in the order in which they were listed.
pub type TicketNo = usize;
/// The number of an attempt to reserve, and of the order that it made.
pub type Attempt = usize;

#[derive(Debug, Clone)]
pub struct Ticket {
    pub price: i64,
    pub place: Place,
    /// Counts what a late payment must not find: another hold, another price, a sale.
    pub changes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// For sale; held by this order until its hold's end, or still after it if nobody has looked.
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
    /// Whether the buyer has had more time.
    pub extended: bool,
    pub payment: Option<Payment>,
    /// Cards that were tried, and those of them that were declined at once.
    pub tried: u32,
    pub declined: u32,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub ticket: TicketNo,
    pub price: i64,
    /// The ticket's changes once it was held.
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
    /// As the shop knows it.
    pub paying: Paying,
    /// As Stripe knows it.
    pub intent: Intent,
    pub received: i64,
    /// What has gone back, as Stripe knows it.
    pub refunded: i64,
    /// The same, as the shop knows it.
    pub booked: i64,
    pub elsewhere: Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paying {
    /// Another card may be tried.
    Open,
    RequiresAction,
    Captured,
    /// To be given up; Stripe has not been told.
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

    /// Whether it still waits for money, in time or not.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Created | State::AwaitingPayment)
    }
}

/// Everything, at one moment.
#[derive(Debug, Clone)]
pub struct World {
    pub rules: Rules,
    pub now: i64,
    pub tickets: Vec<Ticket>,
    pub orders: BTreeMap<Attempt, Order>,
    /// In the order in which their payments began, as Stripe lists them.
    pub paid: Vec<Attempt>,
    pub limits: Limits,
    pub books: Books,
    /// What a person is asked to look at.
    pub incidents: Vec<&'static str>,
    /// Rare things that have happened, for a test of the moves themselves.
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

    /// Seconds until this ticket comes free; none if it is free, or nobody's to take.
    pub fn held_for(&self, ticket: TicketNo) -> Option<i64> {
        match self.tickets[ticket].place {
            Place::Listed(Some(holder)) => {
                Some(self.order(holder).hold_until - self.now).filter(|left| *left > 0)
            }
            _ => None,
        }
    }

    /// The order whose hold on this ticket has run out, and that nobody has expired.
    pub fn lapsed_holder(&self, ticket: TicketNo) -> Option<Attempt> {
        match self.tickets[ticket].place {
            Place::Listed(holder) => holder.filter(|_| self.held_for(ticket).is_none()),
            _ => None,
        }
    }

    /// As everybody sees it: a hold ends by the clock.
    pub fn seen(&self, order: Attempt) -> State {
        let order = self.order(order);
        if order.is_open() && order.hold_until <= self.now {
            State::Expired
        } else {
            order.state
        }
    }

    /// Takes tickets that are free for a new order.
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

    /// Expires the order if its time is over; whether this did it.
    pub fn expire(&mut self, order: Attempt) -> bool {
        let due = self.order(order).is_open() && self.order(order).hold_until <= self.now;
        if due {
            self.lapsed_unpaid(order);
            self.give_back(order, State::Expired);
        }
        due
    }

    /// The order's tickets are free, and its card is not to be charged.
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

    /// The order is paid, and has its tickets.
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

    /// The shop asks Stripe where the payment stands, and does what follows.
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

    /// The card can be charged: it is if the hold still stands, or everything is as it was.
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

    /// Gives the payment up, unless it turns out to be authorised and everything is as it was.
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

    /// Whether an order that ran out could have all of its tickets as if it had not.
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

    /// The sweep: a last look at what is being paid within its grace, then what is due ends, then
    /// what is given up is. How many orders it expired.
    pub fn sweep(&mut self) -> usize {
        for order in self.paid.clone() {
            let in_grace = |of: &Order| of.expires_at <= self.now && of.hold_until > self.now;
            let of = self.order(order);
            if of.state == State::AwaitingPayment && in_grace(of) {
                self.hear(order);
            }
        }
        let mut all: Vec<Attempt> = self.orders.keys().copied().collect();
        // What ended first first: it makes a difference to how long their buyer waits.
        all.sort_by_key(|order| (self.order(*order).hold_until, *order));
        let expired = all.into_iter().filter(|order| self.expire(*order)).count();
        self.paid
            .clone()
            .into_iter()
            .for_each(|order| self.void(order));
        expired
    }

    /// Every webhook arrives, so the shop asks about every payment.
    pub fn webhooks(&mut self) {
        for order in self.paid.clone() {
            self.hear(order);
            self.hear_from_elsewhere(order);
        }
    }

    /// What Stripe has taken and not given back.
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
