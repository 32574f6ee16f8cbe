//! The model of changes at Stripe that the shop does not make: refunds in Stripe's Dashboard, and disputes.
//! The shop reads them when webhooks arrive.
//!
//! Owns the changes that the shop has not read yet, and their effects on ledger and tickets.

use super::{
    model::{Attempt, IntentStatus, OrderState, PaymentState, TicketNo, TicketState, World},
    words::Amount,
};

/// The state of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeState {
    Open,
    Won,
    Lost,
}

#[derive(Debug, Clone)]
pub struct Dispute {
    pub amount: i64,
    pub at_stripe: DisputeState,
    /// The state known to the shop.
    pub known: Option<DisputeState>,
}

impl Dispute {
    fn is_open_or_lost(state: DisputeState) -> bool {
        state != DisputeState::Won
    }
}

/// Changes at Stripe to one payment.
#[derive(Debug, Clone, Default)]
pub struct ExternalChanges {
    /// Refunds that the shop has not read yet, oldest first.
    pub unknown_refunds: Vec<i64>,
    /// Total of the refunds known to the shop.
    pub known_refunds: i64,
    pub disputes: Vec<Dispute>,
}

impl ExternalChanges {
    /// Whether a dispute is open or lost at Stripe, which prevents refunds.
    fn has_open_or_lost_dispute(&self) -> bool {
        let mut disputes = self.disputes.iter();
        disputes.any(|dispute| Dispute::is_open_or_lost(dispute.at_stripe))
    }

    /// Whether the shop knows of an open or lost dispute: the tickets are frozen.
    fn is_frozen(&self) -> bool {
        let mut known = self.disputes.iter().filter_map(|dispute| dispute.known);
        known.any(Dispute::is_open_or_lost)
    }
}

/// Balances of the shop's ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balances {
    pub at_stripe: i64,
    pub owed_to_seller: i64,
    /// Refunded at Stripe or lost, and not yet allocated to a seller or the shop.
    pub unallocated: i64,
}

impl World {
    /// The captured and not refunded amount of a payment at Stripe.
    fn refundable(&self, order: Attempt) -> i64 {
        self.payment(order)
            .map_or(0, |payment| payment.received - payment.refunded)
    }

    /// Refunds at Stripe. False: less than the amount is left, or the payment is disputed.
    pub fn refund_at_stripe(&mut self, order: Attempt, amount: Amount) -> bool {
        let left = self.refundable(order);
        let amount = match amount {
            Amount::All => left,
            Amount::Part(part) => part,
        };
        let payment = self.payment_mut(order);
        let possible = payment.intent == IntentStatus::Succeeded
            && (1..=left).contains(&amount)
            && !payment.external_changes.has_open_or_lost_dispute();
        if possible {
            payment.refunded += amount;
            payment.external_changes.unknown_refunds.push(amount);
        }
        possible
    }

    /// Disputes the refundable amount of a payment. False: nothing is left, or it is already disputed.
    pub fn dispute(&mut self, order: Attempt) -> bool {
        let amount = self.refundable(order);
        let payment = self.payment_mut(order);
        let possible = amount > 0 && !payment.external_changes.has_open_or_lost_dispute();
        if possible {
            payment.external_changes.disputes.push(Dispute {
                amount,
                at_stripe: DisputeState::Open,
                known: None,
            });
        }
        possible
    }

    /// Closes the open dispute. False: there is none.
    pub fn close_dispute(&mut self, order: Attempt, won: bool) -> bool {
        let disputes = &mut self.payment_mut(order).external_changes.disputes;
        let open = disputes
            .iter_mut()
            .find(|dispute| dispute.at_stripe == DisputeState::Open);
        let Some(open) = open else { return false };
        open.at_stripe = if won {
            DisputeState::Won
        } else {
            DisputeState::Lost
        };
        true
    }

    /// Whether Stripe refuses a refund of this amount.
    pub fn stripe_refuses(&self, order: Attempt, amount: i64) -> bool {
        let payment = self.payment(order);
        amount > self.refundable(order)
            || payment.is_some_and(|payment| payment.external_changes.has_open_or_lost_dispute())
    }

    pub fn is_frozen(&self, ticket: TicketNo) -> bool {
        match self.tickets[ticket].state {
            TicketState::Sold(order) => self.order_is_frozen(order),
            _ => false,
        }
    }

    pub fn order_is_frozen(&self, order: Attempt) -> bool {
        let payment = self.payment(order);
        payment.is_some_and(|payment| payment.external_changes.is_frozen())
    }

    /// The shop reads the refunds and disputes of the payment.
    pub fn read_external_changes(&mut self, order: Attempt) {
        let Some(payment) = self.payment(order) else {
            return;
        };
        for amount in payment.external_changes.unknown_refunds.clone() {
            self.apply_refund(order, amount);
        }
        for number in 0..self.payment_mut(order).external_changes.disputes.len() {
            self.apply_dispute(order, number);
        }
    }

    fn apply_refund(&mut self, order: Attempt, amount: i64) {
        let payment = self.payment_mut(order);
        let is_full = amount == payment.received - payment.known_refunded;
        payment.external_changes.unknown_refunds.remove(0);
        payment.external_changes.known_refunds += amount;
        payment.known_refunded += amount;
        self.balances.at_stripe -= amount;
        self.balances.unallocated += amount;
        if !is_full {
            self.mark("partly refunded at Stripe");
            self.incidents.push("refund_elsewhere");
        }
        self.return_tickets_if_refunded(order);
    }

    /// Once all of a payment is refunded, and some of it at Stripe, its tickets return to the seller.
    pub fn return_tickets_if_refunded(&mut self, order: Attempt) {
        let payment = self.payment_mut(order);
        if payment.known_refunded < payment.received || payment.external_changes.known_refunds == 0
        {
            return;
        }
        payment.state = PaymentState::Refunded;
        let of = self.order_mut(order);
        if of.state != OrderState::Complete {
            return;
        }
        of.state = OrderState::Refunded;
        let live = of.lines.iter_mut().filter(|line| line.live);
        let mut returned = Vec::new();
        let mut amount = 0;
        for line in live {
            line.live = false;
            returned.push(line.ticket);
            amount += line.price;
        }
        self.balances.unallocated -= amount;
        self.balances.owed_to_seller -= amount;
        for ticket in returned {
            self.tickets[ticket].state = TicketState::Withdrawn;
            self.tickets[ticket].changes += 1;
        }
        self.mark("fully refunded at Stripe");
    }

    fn apply_dispute(&mut self, order: Attempt, number: usize) {
        let dispute = &mut self.payment_mut(order).external_changes.disputes[number];
        let (before, now, amount) = (dispute.known, dispute.at_stripe, dispute.amount);
        if before == Some(now) {
            return;
        }
        dispute.known = Some(now);
        match now {
            DisputeState::Open => self.incidents.push("dispute_opened"),
            DisputeState::Won => self.mark("a dispute was won"),
            DisputeState::Lost => {
                self.incidents.push("dispute_lost");
                self.mark("a dispute was lost");
                if self.rules.losses_are_booked {
                    self.balances.at_stripe -= amount;
                    self.balances.unallocated += amount;
                }
            }
        }
    }
}
