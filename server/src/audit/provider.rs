//! Our payments beside the provider's: I4, and the provider's part of I7 and I10.

use super::report::{Book, Finding};
use crate::{
    db::Conn,
    payments::{gateway::GatewayError, stripe_list::Listed as ListedIntent},
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use model::charges::from_provider;
use sqlx::{Row, query};
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};
use stripe_double::JournalLine;
use uuid::Uuid;

/// For so long a second intent of one payment may be one whose call was repeated under another key
/// and which is about to be given up.
const QUIET_MICROS: i64 = 10 * 60 * 1_000_000;
/// For so long money that was booked may be missing from what the provider listed: it was asked
/// before the snapshot was taken.
const BOOKED_MEANWHILE_MICROS: i64 = 60 * 1_000_000;
/// The same for an authorisation of an order that has ended: it is void within seconds.
const VOIDED_WITHIN_MICROS: i64 = 2 * 60 * 1_000_000;
/// The invariants that are checked here.
const NUMBERS: [usize; 3] = [4, 7, 10];

/// Who can say what was charged.
pub enum Provider {
    /// The double, by its journal: all that it ever did.
    Journal(Vec<JournalLine>),
    /// Stripe: every intent since a moment, page by page.
    Intents {
        /// The moment, in microseconds.
        since_micros: i64,
        /// The pages.
        pages: BoxStream<'static, Result<Vec<ListedIntent>, GatewayError>>,
    },
    /// Nobody, for this reason.
    None(String),
}

/// What the provider says of one intent, as small as can be: a shop has many.
struct Line {
    id: Box<str>,
    payment: Option<Uuid>,
    authorised: bool,
    canceled: bool,
    received: i64,
    refunded: i64,
    created_micros: Option<i64>,
}

impl Line {
    fn of_journal(line: &JournalLine) -> Self {
        let payment = line.metadata.get("payment_id");
        Self {
            id: line.id.as_str().into(),
            payment: payment.and_then(|id| id.parse().ok()),
            authorised: line.status == "requires_capture",
            canceled: line.status == "canceled",
            received: from_provider(&line.currency, line.amount_received),
            refunded: from_provider(&line.currency, line.amount_refunded),
            created_micros: None,
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
            created_micros: Some(intent.created.saturating_mul(1_000_000)),
        }
    }
}

/// All that the provider says.
pub(super) struct Listed {
    lines: Vec<Line>,
    since_micros: i64,
    /// Why there is nothing to compare with.
    absent: Option<String>,
}

impl Provider {
    /// Asks for everything.
    pub(super) async fn list(self) -> Listed {
        let mut listed = Listed {
            lines: Vec::new(),
            since_micros: 0,
            absent: None,
        };
        match self {
            Self::None(reason) => listed.absent = Some(reason),
            Self::Journal(lines) => listed.lines = lines.iter().map(Line::of_journal).collect(),
            Self::Intents {
                since_micros,
                mut pages,
            } => {
                listed.since_micros = since_micros;
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

/// The lines by intent and by the payment that they name.
struct Lines<'a> {
    all: &'a [Line],
    by_intent: HashMap<&'a str, usize>,
    /// In the order of payments: those of one stand side by side.
    by_payment: Vec<(Uuid, usize)>,
}

impl<'a> Lines<'a> {
    fn new(all: &'a [Line]) -> Self {
        let mut by_payment: Vec<(Uuid, usize)> = (0..)
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

    fn naming(&self, payment: Uuid) -> impl Iterator<Item = usize> {
        let first = self.by_payment.partition_point(|(id, _)| *id < payment);
        self.by_payment
            .iter()
            .skip(first)
            .take_while(move |(id, _)| *id == payment)
            .map(|(_, index)| *index)
    }
}

/// A payment of ours, and what it is to be compared by.
struct Ours {
    id: Uuid,
    intent: Option<String>,
    net: i64,
    received: i64,
    created_at: i64,
    order: String,
    order_status: String,
    /// When the order's hold ended, or ends.
    hold_until: i64,
}

/// Compares, one payment of ours after the other; then looks at what the provider has beside.
pub(super) async fn compare(
    conn: &mut Conn,
    listed: &Listed,
    now_micros: i64,
    book: &mut Book,
) -> Result<(), sqlx::Error> {
    if let Some(reason) = &listed.absent {
        for number in NUMBERS {
            book.unchecked(number, reason);
        }
        return Ok(());
    }
    let began = Instant::now();
    let moving = in_motion(conn, now_micros).await?;
    let mut comparison = Comparison {
        lines: Lines::new(&listed.lines),
        known: vec![false; listed.lines.len()],
        ours: HashSet::new(),
        moving,
        since_micros: listed.since_micros,
        now_micros,
        book,
    };
    let mut rows = query(
        "SELECT p.id, p.stripe_id, p.received_minor, p.refunded_minor, p.created_at, p.order_id, \
         o.status, o.hold_until FROM payments p JOIN orders o ON o.id = p.order_id",
    )
    .fetch(conn);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        count += 1;
        let received: i64 = row.try_get("received_minor")?;
        comparison.payment(&Ours {
            id: crate::db::parse(&row, "id")?,
            intent: row.try_get("stripe_id")?,
            net: received - row.try_get::<i64, _>("refunded_minor")?,
            received,
            created_at: row.try_get("created_at")?,
            order: row.try_get("order_id")?,
            order_status: row.try_get("status")?,
            hold_until: row.try_get("hold_until")?,
        });
    }
    comparison.the_rest();
    let lines = i64::try_from(listed.lines.len()).unwrap_or(i64::MAX);
    book.looked_at(4, count + lines);
    book.looked_at(7, lines);
    book.looked_at(10, lines);
    book.took(4, began.elapsed());
    Ok(())
}

/// Payments that the database itself says are under way: a call, a refund or a webhook of theirs, or
/// the void of a second intent that names them, or money that was booked after the provider was
/// asked. Nothing else explains a difference: whatever we ask of the provider is written down
/// before, and the provider was asked before the snapshot was taken.
async fn in_motion(conn: &mut Conn, now_micros: i64) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut rows = query(
        "SELECT payment_id FROM payment_effects WHERE state = 'pending' \
         UNION SELECT p.id FROM payment_effects e JOIN payments stray ON stray.id = e.payment_id \
           AND stray.attempt < 1 JOIN payments p ON p.order_id = stray.order_id \
           WHERE e.state = 'pending' \
         UNION SELECT payment_id FROM refunds WHERE state IN ('intended', 'pending') \
         UNION SELECT payment_id FROM ledger WHERE created_at > $1 \
         UNION SELECT p.id FROM stripe_inbox i JOIN payments p ON p.stripe_id = i.stripe_id \
           WHERE i.processed_at IS NULL",
    )
    .bind(now_micros - BOOKED_MEANWHILE_MICROS)
    .fetch(conn);
    let mut moving = HashSet::new();
    while let Some(row) = rows.try_next().await? {
        moving.insert(crate::db::parse(&row, "payment_id")?);
    }
    Ok(moving)
}

struct Comparison<'a> {
    lines: Lines<'a>,
    /// Which lines are the intent of a payment of ours.
    known: Vec<bool>,
    /// All payments of ours.
    ours: HashSet<Uuid>,
    moving: HashSet<Uuid>,
    since_micros: i64,
    now_micros: i64,
    book: &'a mut Book,
}

impl Comparison<'_> {
    fn payment(&mut self, ours: &Ours) {
        self.ours.insert(ours.id);
        let mut theirs: Vec<usize> = self.lines.naming(ours.id).collect();
        let own = match &ours.intent {
            Some(intent) => self.lines.by_intent.get(intent.as_str()).copied(),
            // The answer that names it has not come yet.
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

    /// I4: the same money on both sides.
    fn money(&mut self, ours: &Ours, own: Option<usize>) {
        let what = match own.and_then(|own| self.lines.all.get(own)) {
            Some(line) if line.received - line.refunded == ours.net => return,
            Some(line) => format!(
                "has {}, and the provider {} (intent {})",
                ours.net,
                line.received - line.refunded,
                line.id
            ),
            None if ours.received == 0 || ours.created_at < self.since_micros => return,
            None => format!("has {}, and the provider does not know it", ours.net),
        };
        let quiet = !self.moving.contains(&ours.id);
        self.tell(4, quiet, about_payment(ours, what));
    }

    /// I7: nothing stays reserved on a card for an order that has ended.
    fn authorisation(&mut self, ours: &Ours, theirs: &[usize]) {
        if !matches!(ours.order_status.as_str(), "expired" | "cancelled") {
            return;
        }
        let all = self.lines.all;
        for line in theirs.iter().filter_map(|index| all.get(*index)) {
            if line.authorised {
                let what = format!("is {}, and {} is authorised", ours.order_status, line.id);
                let finding = Finding {
                    about: "order",
                    id: ours.order.clone(),
                    what,
                };
                // It may have ended after the provider was asked, and be void by now.
                let quiet = self.quiet(ours, VOIDED_WITHIN_MICROS)
                    && ours.hold_until <= self.now_micros - VOIDED_WITHIN_MICROS;
                self.tell(7, quiet, finding);
            }
        }
    }

    /// I10: of several intents, all but one are void.
    fn only_one(&mut self, ours: &Ours, theirs: &[usize]) {
        let going: Vec<&str> = theirs
            .iter()
            .filter_map(|index| self.lines.all.get(*index))
            .filter(|line| !line.canceled)
            .map(|line| &*line.id)
            .collect();
        if going.len() > 1 {
            let what = format!("is more than one intent: {}", going.join(", "));
            let quiet = self.quiet(ours, QUIET_MICROS);
            self.tell(10, quiet, about_payment(ours, what));
        }
    }

    /// I4: no money that we don't know of. A payment is written down before the provider is asked
    /// for it, so an intent of a payment that is not in the database is never one under way: it is
    /// what a restored copy has forgotten, or somebody else's.
    fn the_rest(&mut self) {
        let strange = (0..)
            .zip(self.lines.all)
            .filter(|(index, line)| !self.known[*index] && line.received > 0)
            .map(|(_, line)| line);
        for line in strange.collect::<Vec<_>>() {
            let mut what = format!(
                "has taken {} and paid back {}, and is of no payment of ours",
                line.received, line.refunded
            );
            let named = line.payment.filter(|payment| self.ours.contains(payment));
            match line.payment {
                Some(payment) if named.is_some() => what = format!("{what}; it names {payment}"),
                Some(payment) => {
                    what = format!(
                        "{what}; it names {payment}, which is not in the database: was an older \
                         copy put back?"
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
                .created_micros
                .is_some_and(|created| created > self.now_micros - QUIET_MICROS);
            let under_way = named.is_some_and(|payment| young || self.moving.contains(&payment));
            self.tell(4, !under_way, finding);
        }
    }

    /// Whether nobody is at it, and has not been for so long.
    fn quiet(&self, ours: &Ours, for_micros: i64) -> bool {
        !self.moving.contains(&ours.id) && ours.created_at <= self.now_micros - for_micros
    }

    fn tell(&mut self, number: usize, quiet: bool, finding: Finding) {
        if quiet {
            self.book.broken(number, finding);
        } else {
            self.book.in_motion(number, finding);
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
