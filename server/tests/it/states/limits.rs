//! The model of limits: unpaid tickets held, waits after unpaid expiries, and declined cards.
//!
//! Owns the counters of unpaid expiries and declined cards. Unpaid tickets are counted from the orders.

use super::{
    model::{Attempt, BUYERS, DAY, Order, World},
    words::Answer,
};

/// Limit of unpaid tickets per buyer; low, so that the moves reach it.
pub const TICKETS_PER_BUYER: usize = 4;
/// Limit of unpaid tickets of all buyers, who share one network address.
pub const TICKETS_PER_NETWORK: usize = 6;
/// The longest wait, as a multiple of the hold.
const WAIT_HOLDS_MAX: i64 = 4;
/// Limit of declined cards of one order.
const DECLINED_PER_ORDER: u32 = 5;
/// Limit of cards of one order.
const CARDS_PER_ORDER: u32 = 10;
/// Limit of declined cards of one account in a day.
const DECLINED_PER_ACCOUNT: u32 = 10;
/// Limit of declined cards from one address in a day, without the first of each account.
const REPEATED_PER_ADDRESS: u32 = 10;

/// A counter that restarts each day.
#[derive(Debug, Clone, Copy, Default)]
struct Daily {
    began_at: i64,
    used: u32,
}

impl Daily {
    fn used(self, now: i64) -> u32 {
        if self.began_at + DAY <= now {
            0
        } else {
            self.used
        }
    }

    fn refusal_if_full(self, limit: u32, now: i64) -> Option<Answer> {
        (self.used(now) >= limit).then(|| too_many_requests(self.began_at + DAY - now))
    }

    fn add(&mut self, now: i64) {
        let used = self.used(now);
        if used == 0 {
            self.began_at = now;
        }
        self.used = used + 1;
    }
}

/// Counters of one account.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// Consecutive unpaid expiries.
    unpaid_expiries: u32,
    /// New holds are refused before this time.
    wait_until: i64,
    declined_cards: Daily,
}

/// All counters. If off, nothing is refused.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    pub on: bool,
    /// Counters of the buyers, then of the seller.
    accounts: [Account; BUYERS + 1],
    /// Declined cards of all accounts, without the first of each.
    repeated: Daily,
}

impl Limits {
    pub fn new(on: bool) -> Self {
        Self {
            on,
            ..Self::default()
        }
    }
}

/// Why a new hold is refused.
pub enum HoldRefusal {
    /// These lapsed orders still count: expire them, then retry.
    Lapsed(Vec<Attempt>),
    Refused(Answer),
}

fn too_many_requests(seconds: i64) -> Answer {
    Answer::Refused {
        http: 429,
        code: "too_many_requests",
        retry_after: Some(seconds.max(1)),
    }
}

impl World {
    /// Checks whether this user may hold this many more tickets.
    pub fn check_hold_limits(&mut self, user: usize, tickets: usize) -> Result<(), HoldRefusal> {
        if !self.limits.on {
            return Ok(());
        }
        if tickets > TICKETS_PER_BUYER {
            return Err(HoldRefusal::Refused(Answer::Refused {
                http: 400,
                code: "invalid",
                retry_after: None,
            }));
        }
        let counted = |of: Option<usize>| -> Vec<Attempt> {
            let counts =
                |order: &Order| order.is_open() && of.is_none_or(|user| order.buyer == user);
            let orders = self.orders.iter().filter(|(_, order)| counts(order));
            orders.map(|(attempt, _)| *attempt).collect()
        };
        let held = |orders: &[Attempt]| -> usize {
            let lines = orders.iter().map(|order| self.order(*order).lines.len());
            lines.sum()
        };
        let (mine, all) = (counted(Some(user)), counted(None));
        let wait_until = self.limits.accounts[user].wait_until;
        let must_wait = wait_until > self.now;
        let exceeds_tickets = held(&mine) + tickets > TICKETS_PER_BUYER;
        let buyer_limited = exceeds_tickets || mine.len() >= self.rules.open_orders || must_wait;
        if !buyer_limited && held(&all) + tickets <= TICKETS_PER_NETWORK {
            return Ok(());
        }
        let mut lapsed = if buyer_limited { mine } else { all };
        lapsed.sort_by_key(|order| (self.order(*order).hold_until, *order));
        let has_lapsed = |order: &Attempt| self.order(*order).hold_until <= self.now;
        let first = lapsed.iter().copied().find(|order| !has_lapsed(order));
        lapsed.retain(has_lapsed);
        if !lapsed.is_empty() {
            return Err(HoldRefusal::Lapsed(lapsed));
        }
        let (mark, until) = match first {
            _ if buyer_limited && must_wait => ("wait after unpaid expiries", wait_until),
            Some(first) if buyer_limited => ("buyer over the limit", self.order(first).hold_until),
            Some(first) => (
                "network address over the limit",
                self.order(first).hold_until,
            ),
            None => unreachable!("a limit is reached without any hold"),
        };
        let left = (until - self.now).max(1);
        self.mark(mark);
        Err(HoldRefusal::Refused(Answer::Refused {
            http: 409,
            code: "hold_limit",
            retry_after: Some(left),
        }))
    }

    /// Counts an unpaid expiry: from the second consecutive one, the buyer has to wait.
    pub fn count_unpaid_expiry(&mut self, order: Attempt) {
        let of = self.order(order);
        let (hold, until, buyer) = (of.expires_at - of.created_at, of.hold_until, of.buyer);
        let account = &mut self.limits.accounts[buyer];
        account.unpaid_expiries += 1;
        if account.unpaid_expiries > 1 {
            let wait =
                ((hold / 3) << (account.unpaid_expiries - 2).min(16)).min(hold * WAIT_HOLDS_MAX);
            account.wait_until = account.wait_until.max(until + wait);
        }
    }

    /// A payment resets the count of unpaid expiries.
    pub fn reset_unpaid_expiries(&mut self, order: Attempt) {
        let buyer = self.order(order).buyer;
        self.limits.accounts[buyer].unpaid_expiries = 0;
    }

    /// The refusal if no further card of this order may be tried.
    pub fn card_refusal(&self, order: Attempt) -> Option<Answer> {
        if !self.limits.on {
            return None;
        }
        let (of, now) = (self.order(order), self.now);
        if of.cards_declined >= DECLINED_PER_ORDER || of.cards_tried >= CARDS_PER_ORDER {
            return Some(too_many_requests(of.hold_until - now));
        }
        let account = self.limits.accounts[of.buyer].declined_cards;
        let repeated = (account.used(now) > 0).then_some(self.limits.repeated);
        account
            .refusal_if_full(DECLINED_PER_ACCOUNT, now)
            .or_else(|| {
                let repeated = repeated?;
                repeated.refusal_if_full(REPEATED_PER_ADDRESS, now)
            })
    }

    /// Counts a card that was declined immediately.
    pub fn count_declined_card(&mut self, order: Attempt) {
        let now = self.now;
        let of = self.order_mut(order);
        of.cards_declined += 1;
        let buyer = of.buyer;
        if !self.limits.on {
            return;
        }
        let account = &mut self.limits.accounts[buyer].declined_cards;
        account.add(now);
        if account.used > 1 {
            self.limits.repeated.add(now);
        }
    }
}
