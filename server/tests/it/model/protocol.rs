//! The shop's side: the transactions of orders, tickets and payments, as in `orders/transitions.rs`,
//! `tickets/holds.rs` and `payments/transitions.rs`. Each function is one commit, or a part of one; it
//! returns `Err` with the invariant that the step itself breaks.
//!
//! The unique indexes that would prevent mistakes are deliberately left out: the protocol must be correct
//! without them. Only the idempotency key of a capture is used once.

use super::{
    Model, Mutation,
    invariants::Invariant,
    world::{
        AGE_IN_TIME, AGE_LAPSED, AGE_OLD, Answer, CALLS, Call, Dispute, GHOST_CAPTURE, GHOST_VOID,
        Intent, Kind, NO_CALL, NO_PAYMENT, NOBODY, Order, Paying, Progress, Refund, Sale, Stage,
        State, Until,
    },
};

/// Whether a transaction committed, or the invariant that it breaks.
pub type Done = Result<bool, Invariant>;

/// The clock that a transaction read: it may have waited since, or the clock may be slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Right,
    Slow,
}

impl Model {
    fn is(self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The tickets of an order.
    pub fn lines(self, order: usize) -> impl Iterator<Item = usize> + use<> {
        let wants = self.world.wants[order];
        (0..2).filter(move |ticket| wants & (1 << ticket) != 0)
    }

    /// Existing orders with a line for this ticket.
    fn lines_on(self, s: &mut State, ticket: usize) -> impl Iterator<Item = &mut Order> {
        let wants = self.world.wants;
        s.orders
            .iter_mut()
            .zip(wants)
            .filter(move |(row, wants)| row.stage != Stage::Absent && wants & (1 << ticket) != 0)
            .map(|(row, _)| row)
    }

    /// Increments a ticket's version relative to all lines.
    fn touch(self, s: &mut State, ticket: usize) {
        for row in self.lines_on(s, ticket) {
            row.drift[ticket] = (row.drift[ticket] + 1).min(2);
        }
    }

    /// Holds all tickets of the order, or none if one is not free.
    pub fn reserve(self, s: &mut State, order: usize) -> bool {
        let free = |ticket: usize| {
            s.tickets[ticket].sale == Sale::Listed && s.tickets[ticket].holder == NOBODY
        };
        if s.orders[order].stage != Stage::Absent || !self.lines(order).all(free) {
            return false;
        }
        for ticket in self.lines(order) {
            self.hold(s, ticket, order, Until::HoldUntil);
            s.orders[order].repriced[ticket] = false;
        }
        s.orders[order].stage = Stage::Created;
        s.second_is_older = order == 0 && s.orders[1].stage != Stage::Absent;
        true
    }

    fn hold(self, s: &mut State, ticket: usize, order: usize, until: Until) {
        self.touch(s, ticket);
        s.tickets[ticket].holder = u8::try_from(order).unwrap_or(NOBODY);
        s.tickets[ticket].until = until;
        s.orders[order].drift[ticket] = 0;
    }

    fn hold_until(self, s: &mut State, order: usize, until: Until) {
        for ticket in self.lines(order) {
            if s.holds(order, ticket) {
                s.tickets[ticket].until = until;
            }
        }
    }

    /// The seller changes the price of a ticket that is not held.
    pub fn edit(self, s: &mut State, ticket: usize) -> Done {
        let locked = s.is_locked(ticket);
        if s.tickets[ticket].sale != Sale::Listed || (locked && !self.is(Mutation::EditUnderHold)) {
            return Ok(false);
        }
        if locked {
            return Err(Invariant::PriceStandsUnderHold);
        }
        for row in self.lines_on(s, ticket) {
            row.repriced[ticket] = true;
        }
        self.touch(s, ticket);
        Ok(true)
    }

    /// The seller withdraws a listing, which ends a lapsed hold.
    pub fn withdraw(self, s: &mut State, ticket: usize) -> bool {
        if s.tickets[ticket].sale != Sale::Listed || s.is_locked(ticket) {
            return false;
        }
        s.tickets[ticket].sale = Sale::Withdrawn;
        s.tickets[ticket].holder = NOBODY;
        self.touch(s, ticket);
        true
    }

    /// A timer, the sweep or another buyer expires a lapsed order.
    pub fn expire(self, s: &mut State, order: usize) -> Done {
        let unpaid = matches!(
            s.orders[order].stage,
            Stage::Created | Stage::AwaitingPayment
        );
        if self.is(Mutation::ReleaseByTicket) && !unpaid && s.lapsed(order) {
            for ticket in self.lines(order) {
                s.tickets[ticket].holder = NOBODY;
                self.touch(s, ticket);
            }
            return Ok(s.orders[order].stage != Stage::Absent);
        }
        if !unpaid || !s.lapsed(order) {
            return Ok(false);
        }
        s.orders[order].stage = Stage::Expired;
        self.give_back(s, order).map(|()| true)
    }

    /// The buyer cancels, unless a card is being charged.
    pub fn cancel(self, s: &mut State, order: usize) -> Done {
        let allowed = match s.orders[order].stage {
            Stage::Created => true,
            Stage::AwaitingPayment => s.orders[order].payment.stage != Paying::Intended,
            Stage::Capturing => self.is(Mutation::CancelWhileCapturing),
            _ => false,
        };
        if !allowed || s.lapsed(order) {
            return Ok(false);
        }
        s.orders[order].stage = Stage::Cancelled;
        self.give_back(s, order).map(|()| true)
    }

    fn give_back(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        for ticket in self.lines(order) {
            if s.holds(order, ticket) {
                s.tickets[ticket].holder = NOBODY;
                s.tickets[ticket].until = Until::HoldUntil;
                self.touch(s, ticket);
            }
        }
        self.void(s, order)
    }

    fn void(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let payment = &mut s.orders[order].payment;
        let under_way = [Paying::Intended, Paying::Open, Paying::RequiresAction];
        if !under_way.contains(&payment.stage) {
            return Ok(());
        }
        payment.stage = Paying::Voiding;
        if self.is(Mutation::DropVoid) {
            return Ok(());
        }
        write_down(s, order, Kind::Void)
    }

    /// Applies a present or former status of the intent.
    pub fn apply(self, s: &mut State, order: usize, said: Intent, clock: Clock) -> Done {
        let payment = &mut s.orders[order].payment;
        let stage = payment.stage;
        match said {
            Intent::None | Intent::Processing => {}
            Intent::Declined if stage == Paying::Capturing => self.not_taken(s, order)?,
            Intent::Declined => wait_for_buyer(s, order, Paying::Open),
            Intent::Asks => wait_for_buyer(s, order, Paying::RequiresAction),
            Intent::Authorised => return self.authorised(s, order, clock),
            Intent::Gone if stage == Paying::Capturing => {
                self.capture_refused(s, order, Paying::Voided);
            }
            Intent::Gone if may_be_charged(stage) => payment.stage = Paying::Voided,
            Intent::Gone => {}
            Intent::Taken => self.succeeded(s, order)?,
        }
        Ok(true)
    }

    /// The capture was declined. Ignored while a call is pending, because the status may be a late one of an
    /// earlier card. Also voids the intent: if it were authorised again, a late "authorised" could be taken
    /// for the new card's.
    fn not_taken(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let settled = s.orders[order].payment.calls == [NO_CALL; CALLS];
        if !settled && !self.is(Mutation::BelieveLateDecline) {
            return Ok(());
        }
        self.capture_refused(s, order, Paying::Open);
        if self.is(Mutation::KeepRefusedIntent) {
            return Ok(());
        }
        self.void(s, order)
    }

    fn authorised(self, s: &mut State, order: usize, clock: Clock) -> Done {
        if !may_be_charged(s.orders[order].payment.stage) {
            return Ok(true);
        }
        let fenced = self.fence(s, order, clock);
        if fenced || self.revive(s, order) || self.is(Mutation::CaptureWithoutFence) {
            let payment = &mut s.orders[order].payment;
            payment.stage = Paying::Capturing;
            write_down(s, order, Kind::Capture)?;
        } else {
            self.void(s, order)?;
        }
        Ok(true)
    }

    fn fence(self, s: &mut State, order: usize, clock: Clock) -> bool {
        let row = s.orders[order];
        let end = AGE_LAPSED + u8::from(clock == Clock::Slow);
        let in_time = row.age < end || self.is(Mutation::FenceUnchecked);
        let untouched = |ticket| s.holds(order, ticket) && row.drift[ticket] == 0;
        let trusting = self.is(Mutation::FenceByClock) || self.is(Mutation::FenceUnchecked);
        let held = trusting || self.lines(order).all(untouched);
        if row.stage != Stage::AwaitingPayment
            || row.payment.stage == Paying::Voiding
            || !(in_time && held)
        {
            return false;
        }
        s.orders[order].stage = Stage::Capturing;
        self.hold_until(s, order, Until::Captured);
        true
    }

    fn revive(self, s: &mut State, order: usize) -> bool {
        let row = s.orders[order];
        let over = row.stage == Stage::Expired
            || (row.stage == Stage::AwaitingPayment && row.age >= AGE_LAPSED);
        let untouched = |ticket: usize| {
            let free = s.tickets[ticket].sale == Sale::Listed && s.tickets[ticket].holder == NOBODY;
            let kept = s.holds(order, ticket);
            (kept && row.drift[ticket] == 0) || (free && row.drift[ticket] == 1)
        };
        let unchecked = self.is(Mutation::ReviveUnchecked);
        if !over || row.age >= AGE_OLD || !(unchecked || self.lines(order).all(untouched)) {
            return false;
        }
        s.orders[order].stage = Stage::Capturing;
        for ticket in self.lines(order) {
            if s.tickets[ticket].holder == NOBODY {
                self.hold(s, ticket, order, Until::Captured);
            }
        }
        self.hold_until(s, order, Until::Captured);
        drop_voids(s, order);
        true
    }

    fn succeeded(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let row = &mut s.orders[order];
        match row.payment.stage {
            Paying::Capturing if row.stage == Stage::Capturing => {
                row.stage = Stage::Complete;
                row.payment.stage = Paying::Captured;
                for ticket in self.lines(order) {
                    if s.holds(order, ticket) {
                        s.tickets[ticket].sale = Sale::Sold;
                        s.tickets[ticket].until = Until::HoldUntil;
                    }
                }
                Ok(())
            }
            Paying::Captured => Ok(()),
            Paying::Refunding | Paying::Refunded => {
                self.refund_stands(s, order);
                Ok(())
            }
            // Captured in the Dashboard for an order that cannot be completed: refund it.
            _ if self.is(Mutation::KeepUnexpectedMoney) => Ok(()),
            _ => {
                row.payment.stage = Paying::Refunding;
                write_down(s, order, Kind::Refund)
            }
        }
    }

    fn capture_refused(self, s: &mut State, order: usize, paying: Paying) {
        if s.orders[order].stage == Stage::Capturing {
            s.orders[order].stage = Stage::AwaitingPayment;
            self.hold_until(s, order, Until::HoldUntil);
        }
        s.orders[order].payment.stage = paying;
    }

    fn take_tickets_back(self, s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        row.payment.stage = Paying::Refunded;
        row.stage = Stage::Refunded;
        for ticket in self.lines(order) {
            s.tickets[ticket].sale = Sale::Withdrawn;
            s.tickets[ticket].holder = NOBODY;
        }
    }

    /// A webhook or the reconciliation causes a read of the refunds and disputes of a payment. False: there is
    /// nothing new.
    pub fn hear_elsewhere(self, s: &mut State, order: usize) -> bool {
        let row = &mut s.orders[order];
        let payment = &mut row.payment;
        let before = *payment;
        payment.heard = payment.dispute;
        if self.is(Mutation::ThawLostDispute) && payment.heard == Dispute::Lost {
            payment.heard = Dispute::Won;
        }
        let is_back =
            payment.by_hand && matches!(payment.stage, Paying::Captured | Paying::Refunding);
        let news = before != *payment;
        if !is_back || self.is(Mutation::IgnoreRefundsElsewhere) {
            return news;
        }
        match row.stage {
            Stage::Complete | Stage::Refunding => self.take_tickets_back(s, order),
            _ => payment.stage = Paying::Refunded,
        }
        true
    }

    /// Stripe refuses the refund because nothing is left or the payment is disputed: the tickets stay sold,
    /// unless a full refund in the Dashboard is known by now.
    fn refund_refused(s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        if row.payment.stage != Paying::Refunding {
            return;
        }
        row.attention = true;
        if row.stage == Stage::Refunding {
            row.stage = Stage::Complete;
            row.payment.stage = Paying::Captured;
        }
    }

    fn refund_stands(self, s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        match (row.payment.refund, row.stage) {
            // Refunds made in the Dashboard become known only by reading the refunds.
            (Refund::Done, _) if row.payment.by_hand => {}
            (Refund::Done, Stage::Refunding) => self.take_tickets_back(s, order),
            (Refund::Done, _) => row.payment.stage = Paying::Refunded,
            (Refund::Failed, Stage::Refunding) => {
                row.stage = Stage::Complete;
                row.payment.stage = Paying::Captured;
                row.attention = true;
            }
            (Refund::Failed, _) => row.attention = true,
            (Refund::None | Refund::Pending, _) => {}
        }
    }

    /// Records an answer and applies it.
    pub fn settle(self, s: &mut State, order: usize, clock: Clock) -> Done {
        let payment = s.orders[order].payment;
        let Call { kind, progress } = payment.calls[0];
        let Progress::Answered(answer) = progress else {
            return Ok(false);
        };
        if kind == Kind::Refund && payment.refund == Refund::Pending {
            return Ok(false);
        }
        take_oldest(s, order);
        match answer {
            Answer::Stands(intent) => self.apply(s, order, intent, clock),
            Answer::Refused if kind == Kind::Create => {
                let stage = &mut s.orders[order].payment.stage;
                if *stage == Paying::Intended {
                    *stage = Paying::Failed;
                }
                never_made(s, order);
                Ok(true)
            }
            // A void is complete only in a final state, and its key is used up.
            Answer::Refused
                if kind == Kind::Void
                    && !payment.intent.is_end()
                    && !self.is(Mutation::SettleVoidByAnything) =>
            {
                write_down(s, order, Kind::Void)?;
                self.apply(s, order, payment.intent, clock)
            }
            Answer::Refused if kind == Kind::Refund => {
                Self::refund_refused(s, order);
                Ok(true)
            }
            // The intent has changed: read it.
            Answer::Refused => self.apply(s, order, payment.intent, clock),
        }
    }

    /// Before a call is repeated, reads the intent: the call may have been executed, or not be needed.
    pub fn look_first(self, s: &mut State, order: usize, clock: Clock) -> Done {
        let payment = s.orders[order].payment;
        let Call { kind, progress } = payment.calls[0];
        let settled = progress != Progress::Fresh
            && match kind {
                // Known by a webhook although the answer was lost.
                Kind::Create => payment.intent != Intent::None,
                Kind::Capture => payment.intent != Intent::Authorised,
                Kind::Void => payment.intent.is_end(),
                Kind::None | Kind::Confirm | Kind::Refund => false,
            };
        if !settled {
            return Ok(false);
        }
        let ghost = if kind == Kind::Capture {
            GHOST_CAPTURE
        } else {
            GHOST_VOID
        };
        if progress == Progress::Tried && kind != Kind::Create {
            s.orders[order].payment.ghosts |= ghost;
        }
        take_oldest(s, order);
        self.apply(s, order, payment.intent, clock)
    }
}

/// The buyer pays: the first payment, a new one after a voided one, or another card.
pub fn pay(s: &mut State, order: usize) -> Done {
    let row = &mut s.orders[order];
    if row.age != AGE_IN_TIME {
        return Ok(false);
    }
    match (row.stage, row.payment.stage) {
        (Stage::Created, _) => row.stage = Stage::AwaitingPayment,
        // Only once all calls of the last one are settled, which keeps the world small.
        (Stage::AwaitingPayment, Paying::Voided | Paying::Failed)
            if !row.again && row.payment.calls == [NO_CALL; CALLS] =>
        {
            row.again = true;
        }
        (Stage::AwaitingPayment, Paying::Open | Paying::RequiresAction)
            if !row.payment.confirmed =>
        {
            row.payment.confirmed = true;
            row.payment.stage = Paying::Intended;
            write_down(s, order, Kind::Confirm)?;
            return Ok(true);
        }
        _ => return Ok(false),
    }
    row.payment = NO_PAYMENT;
    row.payment.stage = Paying::Intended;
    write_down(s, order, Kind::Create)?;
    Ok(true)
}

/// The seller or an operator refunds a complete order, once.
pub fn refund(s: &mut State, order: usize) -> Done {
    let row = &mut s.orders[order];
    let payment = &row.payment;
    // A refused refund is not repeated, which keeps the world small.
    let asked = payment.refund != Refund::None && !payment.by_hand || row.attention;
    if row.stage != Stage::Complete || asked || payment.heard.freezes() {
        return Ok(false);
    }
    row.stage = Stage::Refunding;
    row.payment.stage = Paying::Refunding;
    write_down(s, order, Kind::Refund).map(|()| true)
}

/// Claims the oldest call. A creation that was not claimed before is dropped if its payment is to be voided.
pub fn claim(s: &mut State, order: usize) -> bool {
    let payment = &mut s.orders[order].payment;
    let call = &mut payment.calls[0];
    if call.kind == Kind::None || call.progress != Progress::Fresh {
        return false;
    }
    if call.kind == Kind::Create && payment.stage == Paying::Voiding {
        take_oldest(s, order);
        never_made(s, order);
    } else {
        call.progress = Progress::Tried;
    }
    true
}

/// Whether an authorisation of such a payment has an effect.
fn may_be_charged(stage: Paying) -> bool {
    matches!(
        stage,
        Paying::Intended | Paying::Open | Paying::RequiresAction | Paying::Voiding
    )
}

/// Has no effect while a call that may change this state is pending.
fn wait_for_buyer(s: &mut State, order: usize, stage: Paying) {
    let payment = &mut s.orders[order].payment;
    let waits = may_be_charged(payment.stage) && payment.stage != Paying::Voiding;
    if waits && payment.calls == [NO_CALL; CALLS] {
        payment.stage = stage;
    }
}

fn write_down(s: &mut State, order: usize, kind: Kind) -> Result<(), Invariant> {
    let calls = &mut s.orders[order].payment.calls;
    let Some(free) = calls.iter_mut().find(|call| call.kind == Kind::None) else {
        return Err(Invariant::FewCallsWait);
    };
    free.kind = kind;
    free.progress = Progress::Fresh;
    Ok(())
}

fn take_oldest(s: &mut State, order: usize) {
    let calls = &mut s.orders[order].payment.calls;
    calls.rotate_left(1);
    calls[CALLS - 1] = NO_CALL;
}

/// Drops pending voids that are not needed any more. A request that was already sent may still arrive.
fn drop_voids(s: &mut State, order: usize) {
    let payment = &mut s.orders[order].payment;
    let mut kept = [NO_CALL; CALLS];
    let mut next = 0;
    for call in payment.calls {
        if call.kind == Kind::Void {
            if call.progress == Progress::Tried {
                payment.ghosts |= GHOST_VOID;
            }
        } else {
            kept[next] = call;
            next += 1;
        }
    }
    payment.calls = kept;
}

fn never_made(s: &mut State, order: usize) {
    let stage = &mut s.orders[order].payment.stage;
    if *stage == Paying::Voiding {
        *stage = Paying::Voided;
    }
    drop_voids(s, order);
}
