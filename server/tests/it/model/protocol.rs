//! The steps of the shop: the transactions of orders, tickets and payments, as in `orders/transitions.rs`,
//! `tickets/holds.rs` and `payments/transitions.rs`. Each function is one commit, or a part of one; it
//! returns `Err` with the invariant that the step itself violates.
//!
//! The unique indexes of the database are deliberately left out: the protocol must be correct without them.
//! Only the idempotency key of a capture is used once.

use super::{
    Model, Mutation,
    invariants::Invariant,
    world::{
        AGE_IN_TIME, AGE_LAPSED, AGE_OLD, Answer, CALLS, Call, CallKind, DROPPED_CAPTURE,
        DROPPED_VOID, Dispute, HoldEnd, Intent, NO_CALL, NO_HOLDER, NO_PAYMENT, Order,
        PaymentStage, Progress, Refund, Stage, State, TicketState,
    },
};

/// Whether a transaction committed, or the invariant that it violates.
pub type StepResult = Result<bool, Invariant>;

/// The time that a transaction read: slow if it has waited since, or if the clock is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Correct,
    Slow,
}

impl Model {
    fn has(self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The tickets of an order.
    pub fn lines(self, order: usize) -> impl Iterator<Item = usize> + use<> {
        let order_tickets = self.parameters.order_tickets[order];
        (0..2).filter(move |ticket| order_tickets & (1 << ticket) != 0)
    }

    /// Existing orders with a line for this ticket.
    fn lines_on(self, s: &mut State, ticket: usize) -> impl Iterator<Item = &mut Order> {
        let order_tickets = self.parameters.order_tickets;
        s.orders
            .iter_mut()
            .zip(order_tickets)
            .filter(move |(row, order_tickets)| {
                row.stage != Stage::Absent && order_tickets & (1 << ticket) != 0
            })
            .map(|(row, _)| row)
    }

    /// Increments a ticket's version relative to all lines.
    fn increment_version(self, s: &mut State, ticket: usize) {
        for row in self.lines_on(s, ticket) {
            row.versions_ahead[ticket] = (row.versions_ahead[ticket] + 1).min(2);
        }
    }

    /// Holds all tickets of the order, or none if one is not free.
    pub fn reserve(self, s: &mut State, order: usize) -> bool {
        let free = |ticket: usize| {
            s.tickets[ticket].state == TicketState::Listed && s.tickets[ticket].holder == NO_HOLDER
        };
        if s.orders[order].stage != Stage::Absent || !self.lines(order).all(free) {
            return false;
        }
        for ticket in self.lines(order) {
            self.hold(s, ticket, order, HoldEnd::WithOrder);
            s.orders[order].repriced[ticket] = false;
        }
        s.orders[order].stage = Stage::Created;
        s.second_is_older = order == 0 && s.orders[1].stage != Stage::Absent;
        true
    }

    fn hold(self, s: &mut State, ticket: usize, order: usize, hold_end: HoldEnd) {
        self.increment_version(s, ticket);
        s.tickets[ticket].holder = u8::try_from(order).unwrap_or(NO_HOLDER);
        s.tickets[ticket].hold_end = hold_end;
        s.orders[order].versions_ahead[ticket] = 0;
    }

    fn set_hold_end(self, s: &mut State, order: usize, hold_end: HoldEnd) {
        for ticket in self.lines(order) {
            if s.holds(order, ticket) {
                s.tickets[ticket].hold_end = hold_end;
            }
        }
    }

    /// The seller changes the price of a ticket that is not held.
    pub fn edit(self, s: &mut State, ticket: usize) -> StepResult {
        let held = s.is_held(ticket);
        if s.tickets[ticket].state != TicketState::Listed
            || (held && !self.has(Mutation::EditUnderHold))
        {
            return Ok(false);
        }
        if held {
            return Err(Invariant::PriceIsFixedDuringHold);
        }
        for row in self.lines_on(s, ticket) {
            row.repriced[ticket] = true;
        }
        self.increment_version(s, ticket);
        Ok(true)
    }

    /// The seller withdraws a listing, which ends a lapsed hold.
    pub fn withdraw(self, s: &mut State, ticket: usize) -> bool {
        if s.tickets[ticket].state != TicketState::Listed || s.is_held(ticket) {
            return false;
        }
        s.tickets[ticket].state = TicketState::Withdrawn;
        s.tickets[ticket].holder = NO_HOLDER;
        self.increment_version(s, ticket);
        true
    }

    /// A timer, the sweep or another buyer expires a lapsed order.
    pub fn expire(self, s: &mut State, order: usize) -> StepResult {
        let unpaid = matches!(
            s.orders[order].stage,
            Stage::Created | Stage::AwaitingPayment
        );
        if self.has(Mutation::ReleaseByTicket) && !unpaid && s.lapsed(order) {
            for ticket in self.lines(order) {
                s.tickets[ticket].holder = NO_HOLDER;
                self.increment_version(s, ticket);
            }
            return Ok(s.orders[order].stage != Stage::Absent);
        }
        if !unpaid || !s.lapsed(order) {
            return Ok(false);
        }
        s.orders[order].stage = Stage::Expired;
        self.release(s, order).map(|()| true)
    }

    /// The buyer cancels, unless a card is being charged.
    pub fn cancel(self, s: &mut State, order: usize) -> StepResult {
        let allowed = match s.orders[order].stage {
            Stage::Created => true,
            Stage::AwaitingPayment => s.orders[order].payment.stage != PaymentStage::Intended,
            Stage::Capturing => self.has(Mutation::CancelWhileCapturing),
            _ => false,
        };
        if !allowed || s.lapsed(order) {
            return Ok(false);
        }
        s.orders[order].stage = Stage::Cancelled;
        self.release(s, order).map(|()| true)
    }

    fn release(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        for ticket in self.lines(order) {
            if s.holds(order, ticket) {
                s.tickets[ticket].holder = NO_HOLDER;
                s.tickets[ticket].hold_end = HoldEnd::WithOrder;
                self.increment_version(s, ticket);
            }
        }
        self.void(s, order)
    }

    fn void(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let payment = &mut s.orders[order].payment;
        let under_way = [
            PaymentStage::Intended,
            PaymentStage::Open,
            PaymentStage::RequiresAction,
        ];
        if !under_way.contains(&payment.stage) {
            return Ok(());
        }
        payment.stage = PaymentStage::Voiding;
        if self.has(Mutation::DropVoid) {
            return Ok(());
        }
        queue_call(s, order, CallKind::Void)
    }

    /// Applies a present or former status of the intent.
    pub fn apply_status(
        self,
        s: &mut State,
        order: usize,
        status: Intent,
        clock: Clock,
    ) -> StepResult {
        let payment = &mut s.orders[order].payment;
        let stage = payment.stage;
        match status {
            Intent::None | Intent::Processing => {}
            Intent::Declined if stage == PaymentStage::Capturing => {
                self.capture_declined(s, order)?;
            }
            Intent::Declined => wait_for_buyer(s, order, PaymentStage::Open),
            Intent::RequiresAction => wait_for_buyer(s, order, PaymentStage::RequiresAction),
            Intent::Authorised => return self.authorised(s, order, clock),
            Intent::Canceled if stage == PaymentStage::Capturing => {
                self.unfence(s, order, PaymentStage::Voided);
            }
            Intent::Canceled if may_be_charged(stage) => payment.stage = PaymentStage::Voided,
            Intent::Canceled => {}
            Intent::Succeeded => self.succeeded(s, order)?,
        }
        Ok(true)
    }

    /// The capture was declined. Ignored while a call is pending, because the status may be a late one of an
    /// earlier card. Also voids the intent: if it were authorised again, a late `requires_capture` could be
    /// mistaken for the new card's.
    fn capture_declined(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let settled = s.orders[order].payment.calls == [NO_CALL; CALLS];
        if !settled && !self.has(Mutation::ApplyLateDecline) {
            return Ok(());
        }
        self.unfence(s, order, PaymentStage::Open);
        if self.has(Mutation::KeepRefusedIntent) {
            return Ok(());
        }
        self.void(s, order)
    }

    fn authorised(self, s: &mut State, order: usize, clock: Clock) -> StepResult {
        if !may_be_charged(s.orders[order].payment.stage) {
            return Ok(true);
        }
        let fenced = self.fence(s, order, clock);
        if fenced || self.revive(s, order) || self.has(Mutation::CaptureWithoutFence) {
            let payment = &mut s.orders[order].payment;
            payment.stage = PaymentStage::Capturing;
            queue_call(s, order, CallKind::Capture)?;
        } else {
            self.void(s, order)?;
        }
        Ok(true)
    }

    fn fence(self, s: &mut State, order: usize, clock: Clock) -> bool {
        let row = s.orders[order];
        let end = AGE_LAPSED + u8::from(clock == Clock::Slow);
        let in_time = row.age < end || self.has(Mutation::FenceUnchecked);
        let is_unchanged = |ticket| s.holds(order, ticket) && row.versions_ahead[ticket] == 0;
        let ignores_holds =
            self.has(Mutation::FenceByClockOnly) || self.has(Mutation::FenceUnchecked);
        let held = ignores_holds || self.lines(order).all(is_unchanged);
        if row.stage != Stage::AwaitingPayment
            || row.payment.stage == PaymentStage::Voiding
            || !(in_time && held)
        {
            return false;
        }
        s.orders[order].stage = Stage::Capturing;
        self.set_hold_end(s, order, HoldEnd::AfterCapture);
        true
    }

    fn revive(self, s: &mut State, order: usize) -> bool {
        let row = s.orders[order];
        let ended = row.stage == Stage::Expired
            || (row.stage == Stage::AwaitingPayment && row.age >= AGE_LAPSED);
        let is_unchanged = |ticket: usize| {
            let free = s.tickets[ticket].state == TicketState::Listed
                && s.tickets[ticket].holder == NO_HOLDER;
            let kept = s.holds(order, ticket);
            (kept && row.versions_ahead[ticket] == 0) || (free && row.versions_ahead[ticket] == 1)
        };
        let unchecked = self.has(Mutation::ReviveUnchecked);
        if !ended || row.age >= AGE_OLD || !(unchecked || self.lines(order).all(is_unchanged)) {
            return false;
        }
        s.orders[order].stage = Stage::Capturing;
        for ticket in self.lines(order) {
            if s.tickets[ticket].holder == NO_HOLDER {
                self.hold(s, ticket, order, HoldEnd::AfterCapture);
            }
        }
        self.set_hold_end(s, order, HoldEnd::AfterCapture);
        drop_voids(s, order);
        true
    }

    fn succeeded(self, s: &mut State, order: usize) -> Result<(), Invariant> {
        let row = &mut s.orders[order];
        match row.payment.stage {
            PaymentStage::Capturing if row.stage == Stage::Capturing => {
                row.stage = Stage::Complete;
                row.payment.stage = PaymentStage::Captured;
                for ticket in self.lines(order) {
                    if s.holds(order, ticket) {
                        s.tickets[ticket].state = TicketState::Sold;
                        s.tickets[ticket].hold_end = HoldEnd::WithOrder;
                    }
                }
                Ok(())
            }
            PaymentStage::Captured => Ok(()),
            PaymentStage::Refunding | PaymentStage::Refunded => {
                self.apply_refund(s, order);
                Ok(())
            }
            // Captured in the Dashboard for an order that cannot be completed: refund it.
            _ if self.has(Mutation::KeepUnexpectedCapture) => Ok(()),
            _ => {
                row.payment.stage = PaymentStage::Refunding;
                queue_call(s, order, CallKind::Refund)
            }
        }
    }

    fn unfence(self, s: &mut State, order: usize, stage: PaymentStage) {
        if s.orders[order].stage == Stage::Capturing {
            s.orders[order].stage = Stage::AwaitingPayment;
            self.set_hold_end(s, order, HoldEnd::WithOrder);
        }
        s.orders[order].payment.stage = stage;
    }

    fn return_tickets(self, s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        row.payment.stage = PaymentStage::Refunded;
        row.stage = Stage::Refunded;
        for ticket in self.lines(order) {
            s.tickets[ticket].state = TicketState::Withdrawn;
            s.tickets[ticket].holder = NO_HOLDER;
        }
    }

    /// Reads the refunds and disputes of a payment, because of a webhook or the reconciliation. False: there are
    /// no changes.
    pub fn read_external_changes(self, s: &mut State, order: usize) -> bool {
        let row = &mut s.orders[order];
        let payment = &mut row.payment;
        let before = *payment;
        payment.known_dispute = payment.dispute;
        if self.has(Mutation::UnfreezeLostDispute) && payment.known_dispute == Dispute::Lost {
            payment.known_dispute = Dispute::Won;
        }
        let is_refunded = payment.refunded_in_dashboard
            && matches!(
                payment.stage,
                PaymentStage::Captured | PaymentStage::Refunding
            );
        let is_new = before != *payment;
        if !is_refunded || self.has(Mutation::IgnoreDashboardRefunds) {
            return is_new;
        }
        match row.stage {
            Stage::Complete | Stage::Refunding => self.return_tickets(s, order),
            _ => payment.stage = PaymentStage::Refunded,
        }
        true
    }

    /// Stripe refuses the refund because nothing is left or the payment is disputed: the tickets stay sold,
    /// unless a full refund in the Dashboard is already known.
    fn refund_refused(s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        if row.payment.stage != PaymentStage::Refunding {
            return;
        }
        row.incident_open = true;
        if row.stage == Stage::Refunding {
            row.stage = Stage::Complete;
            row.payment.stage = PaymentStage::Captured;
        }
    }

    fn apply_refund(self, s: &mut State, order: usize) {
        let row = &mut s.orders[order];
        match (row.payment.refund, row.stage) {
            // Refunds made in the Dashboard become known only by reading the refunds.
            (Refund::Done, _) if row.payment.refunded_in_dashboard => {}
            (Refund::Done, Stage::Refunding) => self.return_tickets(s, order),
            (Refund::Done, _) => row.payment.stage = PaymentStage::Refunded,
            (Refund::Failed, Stage::Refunding) => {
                row.stage = Stage::Complete;
                row.payment.stage = PaymentStage::Captured;
                row.incident_open = true;
            }
            (Refund::Failed, _) => row.incident_open = true,
            (Refund::None | Refund::Pending, _) => {}
        }
    }

    /// Records an answer and applies it.
    pub fn settle(self, s: &mut State, order: usize, clock: Clock) -> StepResult {
        let payment = s.orders[order].payment;
        let Call { kind, progress } = payment.calls[0];
        let Progress::Answered(answer) = progress else {
            return Ok(false);
        };
        if kind == CallKind::Refund && payment.refund == Refund::Pending {
            return Ok(false);
        }
        remove_oldest_call(s, order);
        match answer {
            Answer::Status(intent) => self.apply_status(s, order, intent, clock),
            Answer::Refused if kind == CallKind::Create => {
                let stage = &mut s.orders[order].payment.stage;
                if *stage == PaymentStage::Intended {
                    *stage = PaymentStage::Failed;
                }
                void_uncreated(s, order);
                Ok(true)
            }
            // A void is complete only in a final state; its key replays the refusal, so a new call is needed.
            Answer::Refused
                if kind == CallKind::Void
                    && !payment.intent.is_final()
                    && !self.has(Mutation::SettleVoidByAnyAnswer) =>
            {
                queue_call(s, order, CallKind::Void)?;
                self.apply_status(s, order, payment.intent, clock)
            }
            Answer::Refused if kind == CallKind::Refund => {
                Self::refund_refused(s, order);
                Ok(true)
            }
            // The intent has changed: read it.
            Answer::Refused => self.apply_status(s, order, payment.intent, clock),
        }
    }

    /// Reads the intent before a call is repeated: the call may have been executed, or may not be needed.
    pub fn read_before_retry(self, s: &mut State, order: usize, clock: Clock) -> StepResult {
        let payment = s.orders[order].payment;
        let Call { kind, progress } = payment.calls[0];
        let settled = progress != Progress::Fresh
            && match kind {
                // The intent became known by a webhook although the answer was lost.
                CallKind::Create => payment.intent != Intent::None,
                CallKind::Capture => payment.intent != Intent::Authorised,
                CallKind::Void => payment.intent.is_final(),
                CallKind::None | CallKind::Confirm | CallKind::Refund => false,
            };
        if !settled {
            return Ok(false);
        }
        let dropped = if kind == CallKind::Capture {
            DROPPED_CAPTURE
        } else {
            DROPPED_VOID
        };
        if progress == Progress::Tried && kind != CallKind::Create {
            s.orders[order].payment.dropped_requests |= dropped;
        }
        remove_oldest_call(s, order);
        self.apply_status(s, order, payment.intent, clock)
    }
}

/// The buyer pays: begins the first payment, or a new one after a voided one, or tries another card.
pub fn pay(s: &mut State, order: usize) -> StepResult {
    let row = &mut s.orders[order];
    if row.age != AGE_IN_TIME {
        return Ok(false);
    }
    match (row.stage, row.payment.stage) {
        (Stage::Created, _) => row.stage = Stage::AwaitingPayment,
        // Only once all calls of the last payment are settled, to limit the number of states.
        (Stage::AwaitingPayment, PaymentStage::Voided | PaymentStage::Failed)
            if !row.second_payment && row.payment.calls == [NO_CALL; CALLS] =>
        {
            row.second_payment = true;
        }
        (Stage::AwaitingPayment, PaymentStage::Open | PaymentStage::RequiresAction)
            if !row.payment.second_card =>
        {
            row.payment.second_card = true;
            row.payment.stage = PaymentStage::Intended;
            queue_call(s, order, CallKind::Confirm)?;
            return Ok(true);
        }
        _ => return Ok(false),
    }
    row.payment = NO_PAYMENT;
    row.payment.stage = PaymentStage::Intended;
    queue_call(s, order, CallKind::Create)?;
    Ok(true)
}

/// The seller or an operator refunds a complete order, once.
pub fn refund(s: &mut State, order: usize) -> StepResult {
    let row = &mut s.orders[order];
    let payment = &row.payment;
    // A refused refund is not repeated, to limit the number of states.
    let is_refunded =
        payment.refund != Refund::None && !payment.refunded_in_dashboard || row.incident_open;
    if row.stage != Stage::Complete || is_refunded || payment.known_dispute.freezes() {
        return Ok(false);
    }
    row.stage = Stage::Refunding;
    row.payment.stage = PaymentStage::Refunding;
    queue_call(s, order, CallKind::Refund).map(|()| true)
}

/// Claims the oldest call. A creation that was not claimed before is dropped if its payment is to be voided.
pub fn claim(s: &mut State, order: usize) -> bool {
    let payment = &mut s.orders[order].payment;
    let call = &mut payment.calls[0];
    if call.kind == CallKind::None || call.progress != Progress::Fresh {
        return false;
    }
    if call.kind == CallKind::Create && payment.stage == PaymentStage::Voiding {
        remove_oldest_call(s, order);
        void_uncreated(s, order);
    } else {
        call.progress = Progress::Tried;
    }
    true
}

/// Whether an authorisation of such a payment has an effect.
fn may_be_charged(stage: PaymentStage) -> bool {
    matches!(
        stage,
        PaymentStage::Intended
            | PaymentStage::Open
            | PaymentStage::RequiresAction
            | PaymentStage::Voiding
    )
}

/// Has no effect while a call that may change this state is pending.
fn wait_for_buyer(s: &mut State, order: usize, stage: PaymentStage) {
    let payment = &mut s.orders[order].payment;
    let waits = may_be_charged(payment.stage) && payment.stage != PaymentStage::Voiding;
    if waits && payment.calls == [NO_CALL; CALLS] {
        payment.stage = stage;
    }
}

fn queue_call(s: &mut State, order: usize, kind: CallKind) -> Result<(), Invariant> {
    let calls = &mut s.orders[order].payment.calls;
    let Some(free) = calls.iter_mut().find(|call| call.kind == CallKind::None) else {
        return Err(Invariant::FewPendingCalls);
    };
    free.kind = kind;
    free.progress = Progress::Fresh;
    Ok(())
}

fn remove_oldest_call(s: &mut State, order: usize) {
    let calls = &mut s.orders[order].payment.calls;
    calls.rotate_left(1);
    calls[CALLS - 1] = NO_CALL;
}

/// Drops pending voids that are not needed any more. Their requests may still arrive.
fn drop_voids(s: &mut State, order: usize) {
    let payment = &mut s.orders[order].payment;
    let mut kept = [NO_CALL; CALLS];
    let mut next = 0;
    for call in payment.calls {
        if call.kind == CallKind::Void {
            if call.progress == Progress::Tried {
                payment.dropped_requests |= DROPPED_VOID;
            }
        } else {
            kept[next] = call;
            next += 1;
        }
    }
    payment.calls = kept;
}

/// Completes the void of an intent that was never created.
fn void_uncreated(s: &mut State, order: usize) {
    let stage = &mut s.orders[order].payment.stage;
    if *stage == PaymentStage::Voiding {
        *stage = PaymentStage::Voided;
    }
    drop_voids(s, order);
}
