//! The model of limits: unpaid tickets held, waits after unpaid expiries, and declined cards.
//!
//! Owns the counters of unpaid expiries and declined cards. Holds are counted from the orders.

use super::{
    model::{Attempt, BUYERS, DAY, Order, World},
    words::Answer,
};

/// Limit of unpaid tickets per buyer; low, so that cases reach it.
pub const TICKETS_PER_BUYER: usize = 4;
/// Limit of unpaid tickets of all buyers, who share one network address.
pub const TICKETS_PER_NETWORK: usize = 6;
/// The longest wait, as a multiple of the hold.
const WAIT_HOLDS_MAX: i64 = 4;
/// Declined cards of one order.
const DECLINED_PER_ORDER: u32 = 5;
/// Cards of one order.
const TRIED_PER_ORDER: u32 = 10;
/// Declined cards of one account in a day.
const DECLINED_PER_ACCOUNT: u32 = 10;
/// Declined cards from one address in a day, without the first of each account.
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

    fn full(self, most: u32, now: i64) -> Option<Answer> {
        (self.used(now) >= most).then(|| too_many(self.began_at + DAY - now))
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
    lapses: u32,
    /// New holds are refused before this time.
    wait_until: i64,
    declined: Daily,
}

/// All counters. If off, nothing is refused.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    pub on: bool,
    /// Of the buyers, then the seller.
    accounts: [Account; BUYERS + 1],
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
pub enum Denied {
    /// Lapsed orders still count; expire them, then retry.
    Lapsed(Vec<Attempt>),
    Refused(Answer),
}

fn too_many(seconds: i64) -> Answer {
    Answer::Refused {
        http: 429,
        code: "too_many_requests",
        retry_after: Some(seconds.max(1)),
    }
}

impl World {
    /// Whether this many more tickets may be held.
    pub fn grant(&mut self, who: usize, tickets: usize) -> Result<(), Denied> {
        if !self.limits.on {
            return Ok(());
        }
        if tickets > TICKETS_PER_BUYER {
            return Err(Denied::Refused(Answer::Refused {
                http: 400,
                code: "invalid",
                retry_after: None,
            }));
        }
        let counted = |of: Option<usize>| -> Vec<Attempt> {
            let theirs = |order: &Order| order.is_open() && of.is_none_or(|who| order.buyer == who);
            let orders = self.orders.iter().filter(|(_, order)| theirs(order));
            orders.map(|(attempt, _)| *attempt).collect()
        };
        let held = |orders: &[Attempt]| -> usize {
            let lines = orders.iter().map(|order| self.order(*order).lines.len());
            lines.sum()
        };
        let (mine, all) = (counted(Some(who)), counted(None));
        let wait_until = self.limits.accounts[who].wait_until;
        let waits = wait_until > self.now;
        let too_many = held(&mine) + tickets > TICKETS_PER_BUYER;
        let of_buyer = too_many || mine.len() >= self.rules.open_orders || waits;
        if !of_buyer && held(&all) + tickets <= TICKETS_PER_NETWORK {
            return Ok(());
        }
        let mut lapsed = if of_buyer { mine } else { all };
        lapsed.sort_by_key(|order| (self.order(*order).hold_until, *order));
        let is_over = |order: &Attempt| self.order(*order).hold_until <= self.now;
        let first = lapsed.iter().copied().find(|order| !is_over(order));
        lapsed.retain(is_over);
        if !lapsed.is_empty() {
            return Err(Denied::Lapsed(lapsed));
        }
        let (mark, until) = match first {
            _ if of_buyer && waits => ("waited after holds that ran out", wait_until),
            Some(first) if of_buyer => ("held too much", self.order(first).hold_until),
            Some(first) => ("the address held too much", self.order(first).hold_until),
            None => unreachable!("a limit is reached without any hold"),
        };
        let left = (until - self.now).max(1);
        self.mark(mark);
        Err(Denied::Refused(Answer::Refused {
            http: 409,
            code: "hold_limit",
            retry_after: Some(left),
        }))
    }

    /// Counts an unpaid expiry: from the second in a row, the buyer has to wait.
    pub fn lapsed_unpaid(&mut self, order: Attempt) {
        let of = self.order(order);
        let (hold, until, buyer) = (of.expires_at - of.created_at, of.hold_until, of.buyer);
        let account = &mut self.limits.accounts[buyer];
        account.lapses += 1;
        if account.lapses > 1 {
            let wait = ((hold / 3) << (account.lapses - 2).min(16)).min(hold * WAIT_HOLDS_MAX);
            account.wait_until = account.wait_until.max(until + wait);
        }
    }

    /// A payment resets the count of unpaid expiries.
    pub fn paid_in_time(&mut self, order: Attempt) {
        let buyer = self.order(order).buyer;
        self.limits.accounts[buyer].lapses = 0;
    }

    /// Why no further card of this order may be tried.
    pub fn card_refused(&self, order: Attempt) -> Option<Answer> {
        if !self.limits.on {
            return None;
        }
        let (of, now) = (self.order(order), self.now);
        if of.declined >= DECLINED_PER_ORDER || of.tried >= TRIED_PER_ORDER {
            return Some(too_many(of.hold_until - now));
        }
        let account = self.limits.accounts[of.buyer].declined;
        let repeated = (account.used(now) > 0).then_some(self.limits.repeated);
        account.full(DECLINED_PER_ACCOUNT, now).or_else(|| {
            let repeated = repeated?;
            repeated.full(REPEATED_PER_ADDRESS, now)
        })
    }

    /// Counts a card that was declined immediately.
    pub fn card_declined(&mut self, order: Attempt) {
        let now = self.now;
        let of = self.order_mut(order);
        of.declined += 1;
        let buyer = of.buyer;
        if !self.limits.on {
            return;
        }
        let account = &mut self.limits.accounts[buyer].declined;
        account.add(now);
        if account.used > 1 {
            self.limits.repeated.add(now);
        }
    }
}
