//! The model of changes at Stripe that the shop does not make: refunds in Stripe's Dashboard, and disputes.
//! The shop learns of them by webhooks.
//!
//! Owns the changes that the shop does not know yet, and their effects on ledger and tickets.

use super::{
    model::{Attempt, Intent, Paying, Place, State, TicketNo, World},
    words::Amount,
};

/// The state of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Open,
    Won,
    Lost,
}

#[derive(Debug, Clone)]
pub struct Dispute {
    pub amount: i64,
    pub at_stripe: Standing,
    /// The state known to the shop.
    pub heard: Option<Standing>,
}

impl Dispute {
    fn takes_back(standing: Standing) -> bool {
        standing != Standing::Won
    }
}

/// Changes at Stripe to one payment.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// Refunds not known to the shop, oldest first.
    pub unheard: Vec<i64>,
    /// Total of the refunds known to the shop.
    pub heard: i64,
    pub disputes: Vec<Dispute>,
}

impl Elsewhere {
    /// Whether a dispute is open or lost at Stripe, which prevents refunds.
    fn is_charged_back(&self) -> bool {
        let mut disputes = self.disputes.iter();
        disputes.any(|dispute| Dispute::takes_back(dispute.at_stripe))
    }

    /// Whether the shop knows of an open or lost dispute: the tickets are frozen.
    fn is_frozen(&self) -> bool {
        let mut heard = self.disputes.iter().filter_map(|dispute| dispute.heard);
        heard.any(Dispute::takes_back)
    }
}

/// Balances of the shop's ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    pub at_stripe: i64,
    pub owed_to_seller: i64,
    /// Paid back or lost, and not yet allocated to a seller or the shop.
    pub unallocated: i64,
}

impl World {
    /// The rest of a payment at Stripe.
    fn left(&self, order: Attempt) -> i64 {
        self.payment(order)
            .map_or(0, |payment| payment.received - payment.refunded)
    }

    /// Refunds at Stripe. False: less than that is left, or the payment is disputed.
    pub fn refund_at_stripe(&mut self, order: Attempt, amount: Amount) -> bool {
        let left = self.left(order);
        let amount = match amount {
            Amount::All => left,
            Amount::Part(part) => part,
        };
        let payment = self.payment_mut(order);
        let possible = payment.intent == Intent::Succeeded
            && (1..=left).contains(&amount)
            && !payment.elsewhere.is_charged_back();
        if possible {
            payment.refunded += amount;
            payment.elsewhere.unheard.push(amount);
        }
        possible
    }

    /// Disputes the rest of a payment. False: nothing is left, or it is already disputed.
    pub fn dispute(&mut self, order: Attempt) -> bool {
        let amount = self.left(order);
        let payment = self.payment_mut(order);
        let possible = amount > 0 && !payment.elsewhere.is_charged_back();
        if possible {
            payment.elsewhere.disputes.push(Dispute {
                amount,
                at_stripe: Standing::Open,
                heard: None,
            });
        }
        possible
    }

    /// Closes the open dispute. False: there is none.
    pub fn close_dispute(&mut self, order: Attempt, won: bool) -> bool {
        let disputes = &mut self.payment_mut(order).elsewhere.disputes;
        let open = disputes
            .iter_mut()
            .find(|dispute| dispute.at_stripe == Standing::Open);
        let Some(open) = open else { return false };
        open.at_stripe = if won { Standing::Won } else { Standing::Lost };
        true
    }

    /// Whether Stripe refuses a refund of this amount.
    pub fn stripe_refuses(&self, order: Attempt, amount: i64) -> bool {
        let payment = self.payment(order);
        amount > self.left(order)
            || payment.is_some_and(|payment| payment.elsewhere.is_charged_back())
    }

    pub fn is_frozen(&self, ticket: TicketNo) -> bool {
        match self.tickets[ticket].place {
            Place::Sold(order) => self.order_is_frozen(order),
            _ => false,
        }
    }

    pub fn order_is_frozen(&self, order: Attempt) -> bool {
        let payment = self.payment(order);
        payment.is_some_and(|payment| payment.elsewhere.is_frozen())
    }

    /// The shop reads the refunds and disputes of the payment.
    pub fn hear_from_elsewhere(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        for amount in payment.elsewhere.unheard.clone() {
            self.hear_of_refund(order, amount);
        }
        for number in 0..self.payment_mut(order).elsewhere.disputes.len() {
            self.hear_of_dispute(order, number);
        }
    }

    fn hear_of_refund(&mut self, order: Attempt, amount: i64) {
        let payment = self.payment_mut(order);
        let is_all = amount == payment.received - payment.booked;
        payment.elsewhere.unheard.remove(0);
        payment.elsewhere.heard += amount;
        payment.booked += amount;
        self.books.at_stripe -= amount;
        self.books.unallocated += amount;
        if !is_all {
            self.mark("paid back in part at Stripe");
            self.incidents.push("refund_elsewhere");
        }
        self.take_back(order);
    }

    /// Once all of a payment is refunded, and some of it at Stripe, its tickets return to the seller.
    pub fn take_back(&mut self, order: Attempt) {
        let payment = self.payment_mut(order);
        if payment.booked < payment.received || payment.elsewhere.heard == 0 {
            return;
        }
        payment.paying = Paying::Refunded;
        let of = self.order_mut(order);
        if of.state != State::Complete {
            return;
        }
        of.state = State::Refunded;
        let left = of.lines.iter_mut().filter(|line| line.live);
        let mut taken = Vec::new();
        let mut amount = 0;
        for line in left {
            line.live = false;
            taken.push(line.ticket);
            amount += line.price;
        }
        self.books.unallocated -= amount;
        self.books.owed_to_seller -= amount;
        for ticket in taken {
            self.tickets[ticket].place = Place::Withdrawn;
            self.tickets[ticket].changes += 1;
        }
        self.mark("paid back at Stripe, all of it");
    }

    fn hear_of_dispute(&mut self, order: Attempt, number: usize) {
        let dispute = &mut self.payment_mut(order).elsewhere.disputes[number];
        let (before, now, amount) = (dispute.heard, dispute.at_stripe, dispute.amount);
        if before == Some(now) {
            return;
        }
        dispute.heard = Some(now);
        match now {
            Standing::Open => self.incidents.push("dispute_opened"),
            Standing::Won => self.mark("a dispute was won"),
            Standing::Lost => {
                self.incidents.push("dispute_lost");
                self.mark("a dispute was lost");
                if self.rules.losses_are_booked {
                    self.books.at_stripe -= amount;
                    self.books.unallocated += amount;
                }
            }
        }
    }
}
