//! Compares our payments with the provider's: I4, and the provider's part of I7 and I10.

use super::report::{Finding, ReportBuilder};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use model::{
    Moment,
    charges::from_provider,
    ids::{OrderId, PaymentId},
    money::MinorUnits,
};
use platform::db::Conn;
use shop::{orders::State as OrderState, payments::gateway::GatewayError};
use sqlx::{query_as, query_scalar};
use sqlx_macros::FromRow;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use stripe_double::JournalLine;
use stripe_gateway::ListedIntent;

/// A second intent of a payment younger than this may come of a repeated call and is about to be voided.
const SECOND_INTENT_GRACE: Duration = Duration::from_mins(10);
/// Money booked within this time may be missing from the provider's list, which is older than the snapshot.
const BOOKED_MEANWHILE: Duration = Duration::from_mins(1);
/// An authorisation of an ended order may be missing its void for this time.
const VOIDED_WITHIN: Duration = Duration::from_mins(2);
/// The invariants checked here.
const NUMBERS: [usize; 3] = [4, 7, 10];

/// The source of the provider's payments.
pub enum Provider {
    /// The complete journal of the double.
    Journal(Vec<JournalLine>),
    /// Stripe's intents since a moment, page by page.
    Intents {
        since: Moment,
        pages: BoxStream<'static, Result<Vec<ListedIntent>, GatewayError>>,
    },
    /// Unavailable, for this reason.
    None(String),
}

/// One intent of the provider; small, because a shop has many.
struct Line {
    id: Box<str>,
    payment: Option<PaymentId>,
    authorised: bool,
    canceled: bool,
    received: MinorUnits,
    refunded: MinorUnits,
    created: Option<Moment>,
}

impl Line {
    fn of_journal(line: &JournalLine) -> Self {
        let payment = line.metadata.get("payment_id");
        Self {
            id: line.id.as_str().into(),
            payment: payment.and_then(|id| id.parse().ok()),
            authorised: line.status == "requires_capture",
            canceled: line.status == "canceled",
            received: from_provider(&line.currency, line.amount_received).into(),
            refunded: from_provider(&line.currency, line.amount_refunded).into(),
            created: None,
        }
    }

    fn of_intent(intent: &ListedIntent) -> Self {
        let payment = intent.payment_id.as_ref();
        Self {
            id: intent.id.as_str().into(),
            payment: payment.and_then(|id| id.parse().ok()),
            authorised: intent.status == "requires_capture",
            canceled: intent.status == "canceled",
            received: intent.received_minor,
            refunded: intent.refunded_minor,
            created: Some(Moment::from_seconds(intent.created)),
        }
    }
}

/// All intents of the provider.
pub(super) struct Listed {
    lines: Vec<Line>,
    since: Moment,
    /// Why the list is missing or incomplete.
    absent: Option<String>,
}

impl Provider {
    /// Reads all intents.
    pub(super) async fn list(self) -> Listed {
        let mut listed = Listed {
            lines: Vec::new(),
            since: Moment::EPOCH,
            absent: None,
        };
        match self {
            Self::None(reason) => listed.absent = Some(reason),
            Self::Journal(lines) => listed.lines = lines.iter().map(Line::of_journal).collect(),
            Self::Intents { since, mut pages } => {
                listed.since = since;
                while let Some(page) = pages.next().await {
                    match page {
                        Ok(page) => listed.lines.extend(page.iter().map(Line::of_intent)),
                        Err(error) => {
                            listed.absent = Some(error.to_string());
                            break;
                        }
                    }
                }
            }
        }
        listed
    }
}

/// The lines, indexed by intent and by payment.
struct Lines<'a> {
    all: &'a [Line],
    by_intent: HashMap<&'a str, usize>,
    /// Sorted by payment.
    by_payment: Vec<(PaymentId, usize)>,
}

impl<'a> Lines<'a> {
    fn new(all: &'a [Line]) -> Self {
        let mut by_payment: Vec<(PaymentId, usize)> = (0..)
            .zip(all)
            .filter_map(|(index, line)| line.payment.map(|payment| (payment, index)))
            .collect();
        by_payment.sort_unstable();
        let by_intent = (0..).zip(all).map(|(index, line)| (&*line.id, index));
        Self {
            all,
            by_intent: by_intent.collect(),
            by_payment,
        }
    }

    fn naming(&self, payment: PaymentId) -> impl Iterator<Item = usize> {
        let first = self.by_payment.partition_point(|(id, _)| *id < payment);
        self.by_payment
            .iter()
            .skip(first)
            .take_while(move |(id, _)| *id == payment)
            .map(|(_, index)| *index)
    }
}

/// One of our payments.
#[derive(FromRow)]
struct Ours {
    id: PaymentId,
    #[sqlx(rename = "stripe_id")]
    intent: Option<String>,
    #[sqlx(rename = "received_minor")]
    received: MinorUnits,
    #[sqlx(rename = "refunded_minor")]
    refunded: MinorUnits,
    created_at: Moment,
    #[sqlx(rename = "order_id")]
    order: OrderId,
    #[sqlx(rename = "status")]
    order_status: OrderState,
    /// End of the order's hold.
    hold_until: Moment,
}

impl Ours {
    fn net(&self) -> MinorUnits {
        self.received - self.refunded
    }
}

/// Compares each of our payments, then checks the provider's remaining intents.
pub(super) async fn compare(
    conn: &mut Conn,
    listed: &Listed,
    now: Moment,
    report: &mut ReportBuilder,
) -> Result<(), sqlx::Error> {
    if let Some(reason) = &listed.absent {
        for number in NUMBERS {
            report.unchecked(number, reason);
        }
        return Ok(());
    }
    let began = Instant::now();
    let moving = list_in_motion(conn, now).await?;
    let mut comparison = Comparison {
        lines: Lines::new(&listed.lines),
        known: vec![false; listed.lines.len()],
        ours: HashSet::new(),
        moving,
        since: listed.since,
        now,
        report,
    };
    let mut rows = query_as::<_, Ours>(
        "SELECT p.id, p.stripe_id, p.received_minor, p.refunded_minor, p.created_at, p.order_id, \
         o.status, o.hold_until FROM payments p JOIN orders o ON o.id = p.order_id",
    )
    .fetch(conn);
    let mut count = 0;
    while let Some(ours) = rows.try_next().await? {
        count += 1;
        comparison.payment(&ours);
    }
    comparison.unknown_intents();
    let lines = i64::try_from(listed.lines.len()).unwrap_or(i64::MAX);
    report.looked_at(4, count + lines);
    report.looked_at(7, lines);
    report.looked_at(10, lines);
    report.took(4, began.elapsed());
    Ok(())
}

/// Lists payments that are under way according to the database: a pending call, refund or webhook, the pending
/// void of a second intent, or money booked after the provider was asked. Nothing else can explain a
/// difference, because calls are stored before they are made and the list is older than the snapshot.
async fn list_in_motion(conn: &mut Conn, now: Moment) -> Result<HashSet<PaymentId>, sqlx::Error> {
    query_scalar::<_, PaymentId>(
        "SELECT payment_id FROM payment_effects WHERE state = 'pending' \
         UNION SELECT p.id FROM payment_effects e JOIN payments stray ON stray.id = e.payment_id \
           AND stray.attempt < 1 JOIN payments p ON p.order_id = stray.order_id \
           WHERE e.state = 'pending' \
         UNION SELECT payment_id FROM refunds WHERE state IN ('intended', 'pending') \
         UNION SELECT payment_id FROM ledger WHERE created_at > $1 \
         UNION SELECT p.id FROM stripe_inbox i JOIN payments p ON p.stripe_id = i.stripe_id \
           WHERE i.processed_at IS NULL",
    )
    .bind(now - BOOKED_MEANWHILE)
    .fetch(conn)
    .try_collect()
    .await
}

struct Comparison<'a> {
    lines: Lines<'a>,
    /// Whether each line is the intent of one of our payments.
    known: Vec<bool>,
    ours: HashSet<PaymentId>,
    moving: HashSet<PaymentId>,
    since: Moment,
    now: Moment,
    report: &'a mut ReportBuilder,
}

impl Comparison<'_> {
    fn payment(&mut self, ours: &Ours) {
        self.ours.insert(ours.id);
        let mut theirs: Vec<usize> = self.lines.naming(ours.id).collect();
        let own = match &ours.intent {
            Some(intent) => self.lines.by_intent.get(intent.as_str()).copied(),
            // The answer with its id has not been received.
            None => theirs.first().copied(),
        };
        if let Some(own) = own {
            self.known[own] = true;
            if !theirs.contains(&own) {
                theirs.push(own);
            }
        }
        self.money(ours, own);
        self.authorisation(ours, &theirs);
        self.only_one(ours, &theirs);
    }

    /// I4: both sides have the same amount.
    fn money(&mut self, ours: &Ours, own: Option<usize>) {
        let what = match own.and_then(|own| self.lines.all.get(own)) {
            Some(line) if line.received - line.refunded == ours.net() => return,
            Some(line) => format!(
                "has {}, and the provider {} (intent {})",
                ours.net(),
                line.received - line.refunded,
                line.id
            ),
            None if ours.received == MinorUnits::ZERO || ours.created_at < self.since => return,
            None => format!("has {}, and the provider does not know it", ours.net()),
        };
        let settled = !self.moving.contains(&ours.id);
        self.report(4, settled, about_payment(ours, what));
    }

    /// I7: nothing stays reserved on a card for an order that has ended.
    fn authorisation(&mut self, ours: &Ours, theirs: &[usize]) {
        if !matches!(
            ours.order_status,
            OrderState::Expired | OrderState::Cancelled
        ) {
            return;
        }
        let all = self.lines.all;
        for line in theirs.iter().filter_map(|index| all.get(*index)) {
            if line.authorised {
                let what = format!("is {}, and {} is authorised", ours.order_status, line.id);
                let finding = Finding {
                    about: "order",
                    id: ours.order.to_string(),
                    what,
                };
                // The order may have ended after the provider was asked, and the intent may be void by now.
                let settled = self.is_settled(ours, VOIDED_WITHIN)
                    && ours.hold_until <= self.now - VOIDED_WITHIN;
                self.report(7, settled, finding);
            }
        }
    }

    /// I10: all but one of several intents are void.
    fn only_one(&mut self, ours: &Ours, theirs: &[usize]) {
        let going: Vec<&str> = theirs
            .iter()
            .filter_map(|index| self.lines.all.get(*index))
            .filter(|line| !line.canceled)
            .map(|line| &*line.id)
            .collect();
        if going.len() > 1 {
            let what = format!("has more than one intent: {}", going.join(", "));
            let settled = self.is_settled(ours, SECOND_INTENT_GRACE);
            self.report(10, settled, about_payment(ours, what));
        }
    }

    /// I4: no unknown money. A payment is stored before its intent is created, so an intent of an unknown payment
    /// is never under way: the database is an older copy, or the intent belongs to another shop.
    fn unknown_intents(&mut self) {
        let unknown = (0..)
            .zip(self.lines.all)
            .filter(|(index, line)| !self.known[*index] && line.received.is_positive())
            .map(|(_, line)| line);
        for line in unknown.collect::<Vec<_>>() {
            let mut what = format!(
                "received {} and refunded {}, but belongs to no payment of this shop",
                line.received, line.refunded
            );
            let named = line.payment.filter(|payment| self.ours.contains(payment));
            match line.payment {
                Some(payment) if named.is_some() => what = format!("{what}; it names {payment}"),
                Some(payment) => {
                    what = format!(
                        "{what}; it names {payment}, which is not in the database: was an older \
                         copy restored?"
                    );
                }
                None => {}
            }
            let finding = Finding {
                about: "intent",
                id: line.id.to_string(),
                what,
            };
            let young = line
                .created
                .is_some_and(|created| created > self.now - SECOND_INTENT_GRACE);
            let under_way = named.is_some_and(|payment| young || self.moving.contains(&payment));
            self.report(4, !under_way, finding);
        }
    }

    /// Whether the payment is not under way and older than `time`.
    fn is_settled(&self, ours: &Ours, time: Duration) -> bool {
        !self.moving.contains(&ours.id) && ours.created_at <= self.now - time
    }

    fn report(&mut self, number: usize, settled: bool, finding: Finding) {
        if settled {
            self.report.broken(number, finding);
        } else {
            self.report.in_motion(number, finding);
        }
    }
}

fn about_payment(ours: &Ours, what: String) -> Finding {
    Finding {
        about: "payment",
        id: ours.id.to_string(),
        what,
    }
}
