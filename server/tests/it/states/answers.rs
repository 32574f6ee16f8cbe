//! The expected answer to each request.
//!
//! Owns the permissions and the stored answers; the state of tickets and orders is in `model.rs`.

use super::{
    elsewhere::ExternalChanges,
    limits::HoldRefusal,
    model::{
        Attempt, DAY, IntentStatus, Line, OrderState, Payment, PaymentState, SELLER, TicketNo,
        TicketState, World,
    },
    words::{Answer, Card, DECLINED_CARDS, Move, Selection, name},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The stored answer of an idempotency key.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    pub user: usize,
    pub selection: Selection,
    pub at: i64,
    pub answer: Answer,
}

/// The reference model: the world, the answer to each attempt, and the last answer.
#[derive(Clone)]
pub struct Model {
    pub world: World,
    pub attempts: BTreeMap<Attempt, StoredAnswer>,
    /// The request of each order.
    pub requested: BTreeMap<Attempt, Selection>,
    pub answer: Answer,
}

impl fmt::Debug for Model {
    /// Prints the initial state only; the moves are printed separately.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prices: Vec<i64> = self
            .world
            .tickets
            .iter()
            .map(|ticket| ticket.price)
            .collect();
        let limits = if self.world.limits.on { "on" } else { "off" };
        write!(f, "tickets at {prices:?}, limits {limits}")
    }
}

fn refused(http: u16, code: &'static str) -> Answer {
    Answer::Refused {
        http,
        code,
        retry_after: None,
    }
}

fn conflict(code: &'static str) -> Answer {
    refused(409, code)
}

/// The refusal to pay or cancel an order in this state.
fn refusal_in_state(state: OrderState) -> Answer {
    conflict(match state {
        OrderState::Created | OrderState::AwaitingPayment => "payment_in_progress",
        OrderState::Complete => "order_complete",
        OrderState::Expired => "order_expired",
        OrderState::Cancelled => "order_cancelled",
        OrderState::Refunded => "order_refunded",
    })
}

impl Model {
    pub fn new(world: World) -> Self {
        Self {
            world,
            attempts: BTreeMap::new(),
            requested: BTreeMap::new(),
            answer: Answer::Nothing,
        }
    }

    /// Whether the objects that the move refers to exist; shrinking may have removed the moves that create them.
    pub fn is_possible(&self, next: &Move) -> bool {
        let tickets = self.world.tickets.len();
        let order = |order: &Attempt| self.world.orders.contains_key(order);
        let has_payment = |id: &Attempt| order(id) && self.world.payment(*id).is_some();
        match next {
            Move::Reserve {
                attempt, selection, ..
            } => {
                let unknown_ticket = matches!(selection, Selection::Named(named) if named.iter().any(|t| *t >= tickets));
                !unknown_ticket && !self.attempts.contains_key(attempt)
            }
            Move::Repeat { attempt, .. } => self.attempts.contains_key(attempt),
            Move::AnswerBank { order, .. }
            | Move::ReadPayment { order }
            | Move::RefundAtStripe { order, .. }
            | Move::Dispute { order }
            | Move::CloseDispute { order, .. } => has_payment(order),
            Move::Pay { order: id, .. }
            | Move::PayWithDeclinedCards { order: id, .. }
            | Move::Cancel { order: id, .. }
            | Move::MoreTime { order: id, .. }
            | Move::RunExpiryJob { order: id }
            | Move::RefundOrder { order: id, .. } => order(id),
            Move::Edit { ticket, .. } | Move::Withdraw { ticket } => *ticket < tickets,
            Move::Refund { tickets: named, .. } => named.iter().all(|t| *t < tickets),
            Move::DeliverWebhooks | Move::AdvanceTime { .. } | Move::Sweep | Move::List { .. } => {
                true
            }
        }
    }

    pub fn make(&mut self, next: &Move) {
        self.answer = match next {
            Move::Reserve {
                attempt,
                user,
                selection,
            } => self.answer_attempt(*attempt, *user, selection),
            Move::Repeat { attempt, selection } => {
                self.answer_attempt(*attempt, self.attempts[attempt].user, selection)
            }
            Move::Pay { order, user, card } => self.pay(*order, *user, *card),
            Move::PayWithDeclinedCards { order, user } => {
                let mut last = Answer::Nothing;
                for _ in 0..DECLINED_CARDS {
                    last = self.pay(*order, *user, Card::Declined);
                }
                last
            }
            Move::RefundAtStripe { order, amount } => {
                Answer::Effect(self.world.refund_at_stripe(*order, *amount))
            }
            Move::Dispute { order } => Answer::Effect(self.world.dispute(*order)),
            Move::CloseDispute { order, won } => {
                Answer::Effect(self.world.close_dispute(*order, *won))
            }
            Move::AnswerBank { order, approves } => {
                Answer::Effect(self.answer_bank(*order, *approves))
            }
            Move::ReadPayment { order } => self.read_payment(*order),
            Move::Cancel { order, user } => self.cancel(*order, *user),
            Move::MoreTime { order, user } => self.more_time(*order, *user),
            Move::RunExpiryJob { order } => Answer::Effect(self.world.expire(*order)),
            Move::Sweep => Answer::Swept(self.world.sweep()),
            Move::Edit {
                ticket,
                price,
                stale,
            } => self.edit(*ticket, *price, *stale),
            Move::Withdraw { ticket } => self.withdraw(*ticket),
            Move::Refund { user, tickets } => self.refund(*user, tickets),
            Move::RefundOrder { user, order } => self.refund_order(*user, *order),
            Move::DeliverWebhooks => {
                self.world.deliver_webhooks();
                Answer::Nothing
            }
            Move::AdvanceTime { seconds } => {
                self.world.now += seconds;
                Answer::Nothing
            }
            Move::List { .. } if self.world.is_over() => conflict("event_over"),
            Move::List { price } => {
                self.world.list(*price);
                Answer::Ticket {
                    http: 201,
                    price: *price,
                }
            }
        };
        if let Answer::Refused { code, .. } = self.answer {
            self.world.mark(code);
        }
    }

    /// A stored answer expires after a day, but an order keeps its key.
    fn answer_attempt(&mut self, attempt: Attempt, user: usize, selection: &Selection) -> Answer {
        if let Some(stored) = self.attempts.get(&attempt)
            && self.world.now - stored.at < DAY
        {
            if stored.selection == *selection {
                let answer = stored.answer.clone();
                self.world.mark("stored answer repeated");
                return answer;
            }
            return conflict("idempotency_mismatch");
        }
        let answer = match self.requested.get(&attempt) {
            Some(requested) if *requested != selection.sorted() => conflict("idempotency_mismatch"),
            Some(_) => {
                self.world.mark("order found by its key after a day");
                self.order_answer(201, attempt)
            }
            None => self.reserve(attempt, user, selection),
        };
        let stored = StoredAnswer {
            user,
            selection: selection.clone(),
            at: self.world.now,
            answer: answer.clone(),
        };
        self.attempts.insert(attempt, stored);
        answer
    }

    fn order_answer(&self, http: u16, order: Attempt) -> Answer {
        let of = self.world.order(order);
        Answer::Order {
            http,
            order,
            status: name(self.world.reported_state(order)),
            total: of.total(),
            tickets: of.lines.iter().map(|line| line.ticket).collect(),
        }
    }

    fn reserve(&mut self, attempt: Attempt, user: usize, selection: &Selection) -> Answer {
        loop {
            match self.choose_tickets(user, selection) {
                Ok(tickets) => {
                    self.world.hold(attempt, user, &tickets);
                    self.requested.insert(attempt, selection.sorted());
                    return self.order_answer(201, attempt);
                }
                Err(HoldRefusal::Refused(refusal)) => return refusal,
                // The request expires the lapsed orders and starts again: if they are of the same buyer,
                // the expiries now count against the limits.
                Err(HoldRefusal::Lapsed(orders)) => {
                    self.world.mark("expired by another reservation");
                    for order in orders {
                        self.world.expire(order);
                    }
                }
            }
        }
    }

    fn choose_tickets(
        &mut self,
        user: usize,
        selection: &Selection,
    ) -> Result<Vec<TicketNo>, HoldRefusal> {
        let count = match selection {
            Selection::Named(named) => named.len(),
            Selection::Any(quantity) => *quantity,
        };
        self.world.check_hold_limits(user, count)?;
        match selection {
            Selection::Named(named) => self.choose_named(user, named),
            Selection::Any(quantity) => self.choose_cheapest(user, *quantity),
        }
    }

    /// All of these tickets or none; the first unavailable one determines the refusal.
    fn choose_named(&self, user: usize, named: &[TicketNo]) -> Result<Vec<TicketNo>, HoldRefusal> {
        if self.world.is_over() {
            return Err(HoldRefusal::Refused(conflict("event_over")));
        }
        let mut tickets = named.to_vec();
        tickets.sort_unstable();
        for &ticket in &tickets {
            let refusal = match self.world.tickets[ticket].state {
                TicketState::Sold(_) => Some(conflict("ticket_sold")),
                TicketState::Withdrawn => Some(conflict("ticket_withdrawn")),
                TicketState::Listed(_) if user == SELLER => Some(conflict("own_ticket")),
                TicketState::Listed(_) => self.world.held_for(ticket).map(|left| Answer::Refused {
                    http: 409,
                    code: "ticket_reserved",
                    retry_after: Some(left),
                }),
            };
            if let Some(refusal) = refusal {
                return Err(HoldRefusal::Refused(refusal));
            }
        }
        self.require_not_lapsed(&tickets)?;
        Ok(tickets)
    }

    fn choose_cheapest(&self, user: usize, quantity: usize) -> Result<Vec<TicketNo>, HoldRefusal> {
        let all: Vec<TicketNo> = (0..self.world.tickets.len()).collect();
        self.require_not_lapsed(&all)?;
        let refused = |code| Err(HoldRefusal::Refused(conflict(code)));
        if self.world.is_over() {
            return refused("event_over");
        }
        let is_free = |ticket: &TicketNo| {
            user != SELLER && self.world.tickets[*ticket].state == TicketState::Listed(None)
        };
        let mut free: Vec<TicketNo> = all.into_iter().filter(is_free).collect();
        free.sort_by_key(|ticket| (self.world.tickets[*ticket].price, *ticket));
        if free.len() < quantity {
            return refused("not_enough_tickets");
        }
        free.truncate(quantity);
        Ok(free)
    }

    /// Fails if lapsed orders still hold these tickets.
    fn require_not_lapsed(&self, tickets: &[TicketNo]) -> Result<(), HoldRefusal> {
        let holders = tickets
            .iter()
            .filter_map(|ticket| self.world.lapsed_holder(*ticket));
        let lapsed: BTreeSet<Attempt> = holders.collect();
        if lapsed.is_empty() {
            return Ok(());
        }
        Err(HoldRefusal::Lapsed(lapsed.into_iter().collect()))
    }

    /// The refusal if the order is not the user's, or not open.
    fn refusal_unless_open(&self, order: Attempt, user: usize) -> Option<Answer> {
        let of = self.world.order(order);
        if of.buyer != user {
            return Some(refused(404, "not_found"));
        }
        (!of.is_open()).then(|| refusal_in_state(of.state))
    }

    fn pay(&mut self, order: Attempt, user: usize, card: Card) -> Answer {
        if let Some(refusal) = self.refusal_unless_open(order, user) {
            return refusal;
        }
        let (now, grace) = (self.world.now, self.world.rules.grace);
        let of = self.world.order_mut(order);
        // During the grace only the payment that has begun can complete.
        if of.expires_at <= now {
            let is_pending = of
                .payment
                .as_ref()
                .is_some_and(|payment| payment.state == PaymentState::RequiresAction);
            if is_pending && now < of.hold_until {
                self.world
                    .mark("another card in the grace while the bank asks");
                return conflict("payment_in_progress");
            }
            return refusal_in_state(OrderState::Expired);
        }
        if let Some(refusal) = self.world.card_refusal(order) {
            return refusal;
        }
        let of = self.world.order_mut(order);
        of.cards_tried += 1;
        if of.payment.is_none() {
            of.state = OrderState::AwaitingPayment;
            of.hold_until = of.expires_at + grace;
            of.payment = Some(Payment {
                begun_at: now,
                state: PaymentState::Open,
                intent: IntentStatus::RequiresPaymentMethod,
                received: 0,
                refunded: 0,
                known_refunded: 0,
                external_changes: ExternalChanges::default(),
            });
            self.world.paid.push(order);
        }
        // The shop reads that the previous card is already authorised, and charges that card.
        if self.world.payment_mut(order).intent == IntentStatus::RequiresCapture {
            self.world.mark("paid by the previous card");
            self.world.complete(order);
            return Answer::Payment {
                http: 201,
                status: "captured",
            };
        }
        self.charge(order, card)
    }

    fn charge(&mut self, order: Attempt, card: Card) -> Answer {
        let payment = self.world.payment_mut(order);
        match card {
            Card::Good => {
                self.world.complete(order);
                Answer::Payment {
                    http: 201,
                    status: "captured",
                }
            }
            Card::Declined => {
                payment.state = PaymentState::Open;
                payment.intent = IntentStatus::RequiresPaymentMethod;
                self.world.count_declined_card(order);
                refused(402, "card_declined")
            }
            Card::RequiresAction => {
                payment.state = PaymentState::RequiresAction;
                payment.intent = IntentStatus::RequiresAction;
                Answer::Payment {
                    http: 202,
                    status: "requires_action",
                }
            }
        }
    }

    /// The buyer approves or refuses at their bank. False: the bank did not ask.
    fn answer_bank(&mut self, order: Attempt, approves: bool) -> bool {
        let payment = self.world.payment_mut(order);
        let asks = payment.intent == IntentStatus::RequiresAction;
        if asks {
            payment.intent = if approves {
                IntentStatus::RequiresCapture
            } else {
                IntentStatus::RequiresPaymentMethod
            };
        }
        asks
    }

    fn read_payment(&mut self, order: Attempt) -> Answer {
        let state = self.world.payment_mut(order).state;
        if matches!(state, PaymentState::RequiresAction | PaymentState::Voiding) {
            self.world.read_intent(order);
        }
        let status = match self.world.payment_mut(order).state {
            PaymentState::Open => "declined",
            PaymentState::RequiresAction => "requires_action",
            PaymentState::Captured => "captured",
            PaymentState::Voiding | PaymentState::Voided => "voided",
            PaymentState::Refunded => "refunded",
        };
        Answer::Payment { http: 200, status }
    }

    fn cancel(&mut self, order: Attempt, user: usize) -> Answer {
        if self.world.order(order).buyer != user {
            return refused(404, "not_found");
        }
        match self.world.reported_state(order) {
            OrderState::Created | OrderState::AwaitingPayment => {
                self.world.end_unpaid(order, OrderState::Cancelled);
                Answer::NoContent
            }
            OrderState::Cancelled => Answer::NoContent,
            state => refusal_in_state(state),
        }
    }

    /// Extends the hold by a third, once, in its last third.
    fn more_time(&mut self, order: Attempt, user: usize) -> Answer {
        if let Some(refusal) = self.refusal_unless_open(order, user) {
            return refusal;
        }
        let (now, more) = (self.world.now, self.world.rules.hold / 3);
        let of = self.world.order_mut(order);
        if of.expires_at <= now {
            return refusal_in_state(OrderState::Expired);
        }
        if of.extended {
            return conflict("no_more_time");
        }
        if of.expires_at - now > more {
            return conflict("too_early_for_more_time");
        }
        of.extended = true;
        of.expires_at += more;
        of.hold_until += more;
        self.world.mark("hold extended");
        self.order_answer(200, order)
    }

    /// The refusal if a seller cannot change this ticket.
    fn change_refusal(&self, ticket: TicketNo) -> Option<Answer> {
        match self.world.tickets[ticket].state {
            TicketState::Sold(_) => Some(conflict("ticket_sold")),
            TicketState::Withdrawn => Some(conflict("ticket_withdrawn")),
            TicketState::Listed(_) => self.world.held_for(ticket).map(|left| Answer::Refused {
                http: 409,
                code: "ticket_reserved",
                retry_after: Some(left),
            }),
        }
    }

    fn edit(&mut self, ticket: TicketNo, price: i64, stale: bool) -> Answer {
        if let Some(refusal) = self.change_refusal(ticket) {
            return refusal;
        }
        if stale {
            return conflict("version_conflict");
        }
        if self.world.is_over() {
            return conflict("event_over");
        }
        let edited = &mut self.world.tickets[ticket];
        edited.price = price;
        edited.changes += 1;
        Answer::Ticket { http: 200, price }
    }

    fn withdraw(&mut self, ticket: TicketNo) -> Answer {
        if let Some(refusal) = self.change_refusal(ticket) {
            return refusal;
        }
        let withdrawn = &mut self.world.tickets[ticket];
        withdrawn.state = TicketState::Withdrawn;
        withdrawn.changes += 1;
        Answer::NoContent
    }

    fn refund(&mut self, user: usize, tickets: &[TicketNo]) -> Answer {
        if user != SELLER {
            return refused(404, "not_found");
        }
        let live_in = |ticket: &TicketNo| {
            let is_live = |line: &Line| line.live && line.ticket == *ticket;
            let mut orders = self.world.orders.iter();
            orders
                .find(|(_, order)| order.lines.iter().any(is_live))
                .map(|(order, _)| *order)
        };
        let orders: BTreeSet<Option<Attempt>> = tickets.iter().map(live_in).collect();
        let orders: Vec<Option<Attempt>> = orders.into_iter().collect();
        match orders.as_slice() {
            [Some(order)] if self.world.order(*order).state == OrderState::Complete => {
                self.refund_tickets(*order, tickets)
            }
            [Some(_)] => conflict("not_sold"),
            orders if orders.contains(&None) => conflict("not_sold"),
            // The tickets are of several orders.
            _ => refused(400, "invalid"),
        }
    }

    fn refund_order(&mut self, user: usize, order: Attempt) -> Answer {
        if user != SELLER {
            return refused(404, "not_found");
        }
        if self.world.order(order).state != OrderState::Complete {
            return conflict("not_sold");
        }
        let live = self
            .world
            .order(order)
            .lines
            .iter()
            .filter(|line| line.live);
        let tickets: Vec<TicketNo> = live.map(|line| line.ticket).collect();
        self.refund_tickets(order, &tickets)
    }

    fn refund_tickets(&mut self, order: Attempt, tickets: &[TicketNo]) -> Answer {
        let is_chosen = |line: &Line| tickets.contains(&line.ticket);
        let chosen = self.world.order(order).lines.iter();
        let amount: i64 = chosen
            .filter(|line| is_chosen(line))
            .map(|line| line.price)
            .sum();
        if self.world.order_is_frozen(order) {
            return conflict("payment_disputed");
        }
        let payment = self.world.payment_mut(order);
        if amount > payment.received - payment.known_refunded {
            return conflict("refunded_elsewhere");
        }
        // The payment has changed at Stripe, which the shop does not know yet.
        if self.world.stripe_refuses(order, amount) {
            self.world.incidents.push("refund_failed");
            self.world.mark("a refund that Stripe refused");
            return Answer::Refund {
                status: "failed",
                amount,
            };
        }
        let of = self.world.order_mut(order);
        for line in of.lines.iter_mut().filter(|line| is_chosen(line)) {
            line.live = false;
        }
        let all = of.lines.iter().all(|line| !line.live);
        if all {
            of.state = OrderState::Refunded;
        }
        let payment = self.world.payment_mut(order);
        payment.refunded += amount;
        payment.known_refunded += amount;
        if payment.known_refunded == payment.received {
            payment.state = PaymentState::Refunded;
        }
        self.world.balances.at_stripe -= amount;
        self.world.balances.owed_to_seller -= amount;
        if !all {
            self.world.mark("refunded in part");
        }
        for &ticket in tickets {
            self.world.tickets[ticket].state = TicketState::Withdrawn;
            self.world.tickets[ticket].changes += 1;
        }
        self.world.return_tickets_if_refunded(order);
        Answer::Refund {
            status: "succeeded",
            amount,
        }
    }
}
