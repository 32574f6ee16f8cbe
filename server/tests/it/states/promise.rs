//! The expected answer to each request.
//!
//! Owns permissions and the stored answers; the state of tickets and orders is in `model.rs`.

use super::{
    elsewhere::Elsewhere,
    limits::Denied,
    model::{Attempt, DAY, Intent, Line, Paying, Payment, Place, SELLER, State, TicketNo, World},
    words::{Answer, BAD_CARDS, Card, Move, Wanted, name},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The stored answer of an idempotency key.
#[derive(Debug, Clone)]
pub struct Kept {
    pub who: usize,
    pub wanted: Wanted,
    pub at: i64,
    pub answer: Answer,
}

/// The reference model: the world, the answer to each attempt, and the last answer.
#[derive(Clone)]
pub struct Model {
    pub world: World,
    pub attempts: BTreeMap<Attempt, Kept>,
    /// The request of each order.
    pub made_for: BTreeMap<Attempt, Wanted>,
    pub answer: Answer,
}

impl fmt::Debug for Model {
    /// The initial state only; the moves are printed separately.
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
fn at_its_end(state: State) -> Answer {
    conflict(match state {
        State::Created | State::AwaitingPayment => "payment_in_progress",
        State::Complete => "order_complete",
        State::Expired => "order_expired",
        State::Cancelled => "order_cancelled",
        State::Refunded => "order_refunded",
    })
}

impl Model {
    pub fn new(world: World) -> Self {
        Self {
            world,
            attempts: BTreeMap::new(),
            made_for: BTreeMap::new(),
            answer: Answer::Silence,
        }
    }

    /// Whether the objects of the move exist; shrinking may have removed the moves that create them.
    pub fn allows(&self, next: &Move) -> bool {
        let tickets = self.world.tickets.len();
        let order = |order: &Attempt| self.world.orders.contains_key(order);
        let paying = |id: &Attempt| order(id) && self.world.payment(*id).is_some();
        match next {
            Move::Reserve {
                attempt, wanted, ..
            } => {
                let named =
                    matches!(wanted, Wanted::Named(named) if named.iter().any(|t| *t >= tickets));
                !named && !self.attempts.contains_key(attempt)
            }
            Move::Repeat { attempt, .. } => self.attempts.contains_key(attempt),
            Move::AtBank { order, .. }
            | Move::Look { order }
            | Move::RefundAtStripe { order, .. }
            | Move::Dispute { order }
            | Move::CloseDispute { order, .. } => paying(order),
            Move::Pay { order: id, .. }
            | Move::PayBadCards { order: id, .. }
            | Move::Cancel { order: id, .. }
            | Move::MoreTime { order: id, .. }
            | Move::Timer { order: id }
            | Move::RefundOrder { order: id, .. } => order(id),
            Move::Edit { ticket, .. } | Move::Withdraw { ticket } => *ticket < tickets,
            Move::Refund { tickets: named, .. } => named.iter().all(|t| *t < tickets),
            Move::WebhooksArrive | Move::Pass { .. } | Move::Sweep | Move::List { .. } => true,
        }
    }

    pub fn make(&mut self, next: &Move) {
        self.answer = match next {
            Move::Reserve {
                attempt,
                who,
                wanted,
            } => self.attempt(*attempt, *who, wanted),
            Move::Repeat { attempt, wanted } => {
                self.attempt(*attempt, self.attempts[attempt].who, wanted)
            }
            Move::Pay { order, who, card } => self.pay(*order, *who, *card),
            Move::PayBadCards { order, who } => {
                let mut last = Answer::Silence;
                for _ in 0..BAD_CARDS {
                    last = self.pay(*order, *who, Card::Declined);
                }
                last
            }
            Move::RefundAtStripe { order, amount } => {
                Answer::Did(self.world.refund_at_stripe(*order, *amount))
            }
            Move::Dispute { order } => Answer::Did(self.world.dispute(*order)),
            Move::CloseDispute { order, won } => {
                Answer::Did(self.world.close_dispute(*order, *won))
            }
            Move::AtBank { order, approves } => Answer::Did(self.at_bank(*order, *approves)),
            Move::Look { order } => self.look(*order),
            Move::Cancel { order, who } => self.cancel(*order, *who),
            Move::MoreTime { order, who } => self.more_time(*order, *who),
            Move::Timer { order } => Answer::Did(self.world.expire(*order)),
            Move::Sweep => Answer::Swept(self.world.sweep()),
            Move::Edit {
                ticket,
                price,
                stale,
            } => self.edit(*ticket, *price, *stale),
            Move::Withdraw { ticket } => self.withdraw(*ticket),
            Move::Refund { who, tickets } => self.refund(*who, tickets),
            Move::RefundOrder { who, order } => self.refund_order(*who, *order),
            Move::WebhooksArrive => {
                self.world.webhooks();
                Answer::Silence
            }
            Move::Pass { seconds } => {
                self.world.now += seconds;
                Answer::Silence
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

    /// Stored answers expire after a day; an order keeps its key.
    fn attempt(&mut self, attempt: Attempt, who: usize, wanted: &Wanted) -> Answer {
        if let Some(kept) = self.attempts.get(&attempt)
            && self.world.now - kept.at < DAY
        {
            if kept.wanted == *wanted {
                let answer = kept.answer.clone();
                self.world.mark("answered again");
                return answer;
            }
            return conflict("idempotency_mismatch");
        }
        let answer = match self.made_for.get(&attempt) {
            Some(made_for) if *made_for != wanted.sorted() => conflict("idempotency_mismatch"),
            Some(_) => {
                self.world.mark("known after a day");
                self.order_answer(201, attempt)
            }
            None => self.reserve(attempt, who, wanted),
        };
        let kept = Kept {
            who,
            wanted: wanted.clone(),
            at: self.world.now,
            answer: answer.clone(),
        };
        self.attempts.insert(attempt, kept);
        answer
    }

    fn order_answer(&self, http: u16, order: Attempt) -> Answer {
        let of = self.world.order(order);
        Answer::Order {
            http,
            order,
            status: name(self.world.seen(order)),
            total: of.total(),
            tickets: of.lines.iter().map(|line| line.ticket).collect(),
        }
    }

    fn reserve(&mut self, attempt: Attempt, who: usize, wanted: &Wanted) -> Answer {
        loop {
            match self.take(who, wanted) {
                Ok(tickets) => {
                    self.world.hold(attempt, who, &tickets);
                    self.made_for.insert(attempt, wanted.sorted());
                    return self.order_answer(201, attempt);
                }
                Err(Denied::Refused(refusal)) => return refusal,
                // The request expires the lapsed orders and starts again: its own buyer's lapsed orders
                // now count against them.
                Err(Denied::Lapsed(orders)) => {
                    self.world.mark("a rival expired it");
                    for order in orders {
                        self.world.expire(order);
                    }
                }
            }
        }
    }

    fn take(&mut self, who: usize, wanted: &Wanted) -> Result<Vec<TicketNo>, Denied> {
        let count = match wanted {
            Wanted::Named(named) => named.len(),
            Wanted::Any(quantity) => *quantity,
        };
        self.world.grant(who, count)?;
        match wanted {
            Wanted::Named(named) => self.named(who, named),
            Wanted::Any(quantity) => self.cheapest(who, *quantity),
        }
    }

    /// All of these tickets or none; the first unavailable one determines the refusal.
    fn named(&self, who: usize, named: &[TicketNo]) -> Result<Vec<TicketNo>, Denied> {
        if self.world.is_over() {
            return Err(Denied::Refused(conflict("event_over")));
        }
        let mut wanted = named.to_vec();
        wanted.sort_unstable();
        for &ticket in &wanted {
            let refusal = match self.world.tickets[ticket].place {
                Place::Sold(_) => Some(conflict("ticket_sold")),
                Place::Withdrawn => Some(conflict("ticket_withdrawn")),
                Place::Listed(_) if who == SELLER => Some(conflict("own_ticket")),
                Place::Listed(_) => self.world.held_for(ticket).map(|left| Answer::Refused {
                    http: 409,
                    code: "ticket_reserved",
                    retry_after: Some(left),
                }),
            };
            if let Some(refusal) = refusal {
                return Err(Denied::Refused(refusal));
            }
        }
        self.unless_lapsed(&wanted)?;
        Ok(wanted)
    }

    fn cheapest(&self, who: usize, quantity: usize) -> Result<Vec<TicketNo>, Denied> {
        let all: Vec<TicketNo> = (0..self.world.tickets.len()).collect();
        self.unless_lapsed(&all)?;
        let refused = |code| Err(Denied::Refused(conflict(code)));
        if self.world.is_over() {
            return refused("event_over");
        }
        let is_free = |ticket: &TicketNo| {
            who != SELLER && self.world.tickets[*ticket].place == Place::Listed(None)
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
    fn unless_lapsed(&self, tickets: &[TicketNo]) -> Result<(), Denied> {
        let holders = tickets
            .iter()
            .filter_map(|ticket| self.world.lapsed_holder(*ticket));
        let lapsed: BTreeSet<Attempt> = holders.collect();
        if lapsed.is_empty() {
            return Ok(());
        }
        Err(Denied::Lapsed(lapsed.into_iter().collect()))
    }

    fn pay(&mut self, order: Attempt, who: usize, card: Card) -> Answer {
        let (now, grace) = (self.world.now, self.world.rules.grace);
        let of = self.world.order_mut(order);
        if of.buyer != who {
            return refused(404, "not_found");
        }
        if !of.is_open() {
            return at_its_end(of.state);
        }
        // During the grace only the payment that has begun can complete.
        if of.expires_at <= now {
            let waits = of
                .payment
                .as_ref()
                .is_some_and(|payment| payment.paying == Paying::RequiresAction);
            if waits && now < of.hold_until {
                self.world
                    .mark("another card while the bank was waited for after the end");
                return conflict("payment_in_progress");
            }
            return at_its_end(State::Expired);
        }
        if let Some(refusal) = self.world.card_refused(order) {
            return refusal;
        }
        let of = self.world.order_mut(order);
        of.tried += 1;
        if of.payment.is_none() {
            of.state = State::AwaitingPayment;
            of.hold_until = of.expires_at + grace;
            of.payment = Some(Payment {
                begun_at: now,
                paying: Paying::Open,
                intent: Intent::RequiresPaymentMethod,
                received: 0,
                refunded: 0,
                booked: 0,
                elsewhere: Elsewhere::default(),
            });
            self.world.paid.push(order);
        }
        // The previous card is already authorised, which the shop learns now: it is charged.
        if self.world.payment_mut(order).intent == Intent::RequiresCapture {
            self.world.mark("paid by the card before");
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
                payment.paying = Paying::Open;
                payment.intent = Intent::RequiresPaymentMethod;
                self.world.card_declined(order);
                refused(402, "card_declined")
            }
            Card::AsksTheBank => {
                payment.paying = Paying::RequiresAction;
                payment.intent = Intent::RequiresAction;
                Answer::Payment {
                    http: 202,
                    status: "requires_action",
                }
            }
        }
    }

    /// The buyer answers their bank. False: the bank was not waiting.
    fn at_bank(&mut self, order: Attempt, approves: bool) -> bool {
        let payment = self.world.payment_mut(order);
        let waits = payment.intent == Intent::RequiresAction;
        if waits {
            payment.intent = if approves {
                Intent::RequiresCapture
            } else {
                Intent::RequiresPaymentMethod
            };
        }
        waits
    }

    fn look(&mut self, order: Attempt) -> Answer {
        let paying = self.world.payment_mut(order).paying;
        if matches!(paying, Paying::RequiresAction | Paying::Voiding) {
            self.world.hear(order);
        }
        let status = match self.world.payment_mut(order).paying {
            Paying::Open => "declined",
            Paying::RequiresAction => "requires_action",
            Paying::Captured => "captured",
            Paying::Voiding | Paying::Voided => "voided",
            Paying::Refunded => "refunded",
        };
        Answer::Payment { http: 200, status }
    }

    fn cancel(&mut self, order: Attempt, who: usize) -> Answer {
        if self.world.order(order).buyer != who {
            return refused(404, "not_found");
        }
        match self.world.seen(order) {
            State::Created | State::AwaitingPayment => {
                self.world.give_back(order, State::Cancelled);
                Answer::Gone
            }
            State::Cancelled => Answer::Gone,
            end => at_its_end(end),
        }
    }

    /// Extends the hold by a third, once, in its last third.
    fn more_time(&mut self, order: Attempt, who: usize) -> Answer {
        let (now, more) = (self.world.now, self.world.rules.hold / 3);
        let of = self.world.order_mut(order);
        if of.buyer != who {
            return refused(404, "not_found");
        }
        if !of.is_open() {
            return at_its_end(of.state);
        }
        if of.expires_at <= now {
            return at_its_end(State::Expired);
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
        self.world.mark("took more time");
        self.order_answer(200, order)
    }

    /// Why a seller cannot change this ticket.
    fn untouchable(&self, ticket: TicketNo) -> Option<Answer> {
        match self.world.tickets[ticket].place {
            Place::Sold(_) => Some(conflict("ticket_sold")),
            Place::Withdrawn => Some(conflict("ticket_withdrawn")),
            Place::Listed(_) => self.world.held_for(ticket).map(|left| Answer::Refused {
                http: 409,
                code: "ticket_reserved",
                retry_after: Some(left),
            }),
        }
    }

    fn edit(&mut self, ticket: TicketNo, price: i64, stale: bool) -> Answer {
        if let Some(refusal) = self.untouchable(ticket) {
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
        if let Some(refusal) = self.untouchable(ticket) {
            return refusal;
        }
        let withdrawn = &mut self.world.tickets[ticket];
        withdrawn.place = Place::Withdrawn;
        withdrawn.changes += 1;
        Answer::Gone
    }

    fn refund(&mut self, who: usize, tickets: &[TicketNo]) -> Answer {
        if who != SELLER {
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
        let of: Vec<Option<Attempt>> = orders.into_iter().collect();
        match of.as_slice() {
            [Some(order)] if self.world.order(*order).state == State::Complete => {
                self.pay_back(*order, tickets)
            }
            [Some(_)] => conflict("not_sold"),
            of if of.contains(&None) => conflict("not_sold"),
            // Of several orders.
            _ => refused(400, "invalid"),
        }
    }

    fn refund_order(&mut self, who: usize, order: Attempt) -> Answer {
        if who != SELLER {
            return refused(404, "not_found");
        }
        if self.world.order(order).state != State::Complete {
            return conflict("not_sold");
        }
        let live = self
            .world
            .order(order)
            .lines
            .iter()
            .filter(|line| line.live);
        let tickets: Vec<TicketNo> = live.map(|line| line.ticket).collect();
        self.pay_back(order, &tickets)
    }

    fn pay_back(&mut self, order: Attempt, tickets: &[TicketNo]) -> Answer {
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
        if amount > payment.received - payment.booked {
            return conflict("refunded_elsewhere");
        }
        // Something has changed at Stripe that the shop does not know of.
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
            of.state = State::Refunded;
        }
        let payment = self.world.payment_mut(order);
        payment.refunded += amount;
        payment.booked += amount;
        if payment.booked == payment.received {
            payment.paying = Paying::Refunded;
        }
        self.world.books.at_stripe -= amount;
        self.world.books.owed_to_seller -= amount;
        if !all {
            self.world.mark("refunded in part");
        }
        for &ticket in tickets {
            self.world.tickets[ticket].place = Place::Withdrawn;
            self.world.tickets[ticket].changes += 1;
        }
        self.world.take_back(order);
        Answer::Refund {
            status: "succeeded",
            amount,
        }
    }
}
