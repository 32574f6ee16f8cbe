//! Sends what is due, and again until it is taken or given up.
//!
//! Any number of mailers get along: a mail is claimed by one conditional UPDATE with a lease, which
//! runs out if its holder dies. So each mail is sent at least once, and a repeat is recognised by
//! its Message-ID, the id of its row. It has no words of its own.

use super::{
    compose::{self, NoLetter},
    store::refund_find,
};
use crate::{
    accounts,
    events::changes::parse_subject,
    incidents,
    mail::{
        self, Blame, Kind, Letterhead, Outgoing, SendError, Transport,
        store::{self, MailRow},
        subjects,
    },
};
use futures::StreamExt;
use model::{Moment, ids::MailId};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult, chain},
    telemetry::spans,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::RwLock;
use tracing::Instrument;

/// What one look takes on at a time; it goes on while there is more.
const BATCH: i64 = 100;
/// How many mails are under way at once.
const AT_ONCE: usize = 4;
/// How long one mail may take: shorter than its lease, so that no other sends it meanwhile.
const SEND_WITHIN: Duration = Duration::from_mins(1);
const LEASE: Duration = Duration::from_mins(2);
/// The shortest time between two mails about incidents.
const ATTENTION_EVERY: Duration = Duration::from_mins(10);
/// When a mail whose words are not certain yet is looked at again, and after how long that ends.
const NOT_YET: Duration = Duration::from_secs(30);
const NOT_YET_AT_MOST: Duration = Duration::from_hours(24);

/// The waits after the first, second … failed try: not quite three days in all.
const WAITS_MINUTES: [u64; 8] = [1, 5, 30, 2 * 60, 6 * 60, 12 * 60, 24 * 60, 24 * 60];

/// How long after this many failed tries the next one comes. None: never.
fn wait_after(tries: i64) -> Option<Duration> {
    let position = usize::try_from(tries.checked_sub(1)?).ok()?;
    WAITS_MINUTES
        .get(position)
        .copied()
        .map(Duration::from_mins)
}

/// Sends mails.
pub struct Mailer {
    db: Db,
    clock: SharedClock,
    transport: Arc<dyn Transport>,
    head: Letterhead,
    /// Locked for reading while a mail is sent, for writing to wait for the last of them.
    mails_out: RwLock<()>,
    closed: AtomicBool,
}

impl Mailer {
    /// A mailer that gives what it finds to `transport`.
    pub fn new(
        db: Db,
        clock: SharedClock,
        transport: Arc<dyn Transport>,
        head: Letterhead,
    ) -> Self {
        // From the start, so that the first of each is seen as one more.
        for result in ["sent", "retried", "failed", "dropped"] {
            metrics::counter!("stagedoor_mails_total", "result" => result).increment(0);
        }
        metrics::gauge!("stagedoor_mail_up").set(1.0);
        Self {
            db,
            clock,
            transport,
            head,
            mails_out: RwLock::new(()),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes no more mails on, and waits until those that are out are noted as sent: else they would
    /// be sent again once their lease is over.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.mails_out.write().await);
    }

    /// Tries every mail that is due. Returns how many this call sent. Errors: the database fails.
    pub async fn send_due(&self) -> FaultResult<usize> {
        let mut sent = 0;
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return Ok(sent);
            }
            let now = self.clock.now();
            let due = store::mails_due(self.db.reads(), now, BATCH).await?;
            if due.is_empty() {
                return Ok(sent);
            }
            // All are tried before an error is returned, so that one row holds up no other.
            let outcomes: Vec<FaultResult<bool>> = futures::stream::iter(due)
                .map(|id| {
                    let span = spans::mail(id);
                    self.try_one(id).instrument(span)
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for outcome in outcomes {
                sent += usize::from(outcome?);
            }
        }
    }

    /// Tries one mail, if it can be had. True: it is out.
    async fn try_one(&self, id: MailId) -> FaultResult<bool> {
        let _out = self.mails_out.read().await;
        if self.closed.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let now = self.clock.now();
        let claimed = self
            .db
            .write(move |conn| {
                Box::pin(async move { store::mail_claim(conn, id, now, now + LEASE).await })
            })
            .await?;
        let Some(mail) = claimed else {
            return Ok(false);
        };
        if subjects::is_unaddressed(&mail) {
            self.fan_out(mail).await?;
            return Ok(false);
        }
        match compose::compose(&self.db, &self.head, &mail, now).await {
            Ok(out) => self.send(mail, out).await,
            Err(NoLetter::NotYet(why)) => {
                self.wait_for_certainty(mail, why).await?;
                Ok(false)
            }
            Err(NoLetter::Moot(why)) => {
                self.drop(mail, why).await?;
                Ok(false)
            }
            Err(NoLetter::Gone(why)) => {
                self.give_up(mail, why, false).await?;
                Ok(false)
            }
            Err(NoLetter::Fault(fault)) => {
                self.try_again(mail, chain(&fault)).await?;
                Ok(false)
            }
        }
    }

    async fn send(&self, mail: MailRow, out: Outgoing) -> FaultResult<bool> {
        let tried = tokio::time::timeout(SEND_WITHIN, self.transport.send(&out)).await;
        let done = tried.unwrap_or_else(|late| Err(SendError::new(late)));
        let blame = done.as_ref().err().map(|error| error.blame);
        let up = if blame == Some(Blame::Server) {
            0.0
        } else {
            1.0
        };
        metrics::gauge!("stagedoor_mail_up").set(up);
        if let Err(error) = done {
            let why = without_addresses(&chain(&error));
            match error.blame {
                Blame::MailForGood => self.give_up(mail, why, true).await?,
                Blame::Server | Blame::Mail => self.try_again(mail, why).await?,
            }
            return Ok(false);
        }
        count("sent");
        let (kind, subject) = (mail.kind.name(), mail.subject.clone());
        self.db
            .write(move |conn| Box::pin(async move { store::mail_sent(conn, mail.id).await }))
            .await?;
        tracing::info!(kind, subject, "mail sent");
        Ok(true)
    }

    /// Queues one mail for each operator about all incidents that no operator has had a mail about, so that
    /// an address that refuses mail holds up no other. The next such mail comes ten minutes later at the
    /// earliest: what goes wrong at once is often hundreds of one kind.
    async fn fan_out(&self, mail: MailRow) -> FaultResult<()> {
        let now = self.clock.now();
        let told: Option<(usize, usize)> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let last = store::attention_told_at(&mut *conn).await?;
                    if let Some(next) = last.map(|last| last + ATTENTION_EVERY)
                        && now < next
                    {
                        let (tries, why) = (mail.tries - 1, "waits for other incidents");
                        store::mail_postpone(conn, &mail, tries, next, why).await?;
                        return Ok(None);
                    }
                    let incidents = store::attention_take(&mut *conn).await?;
                    let operators = accounts::store::list_operators(&mut *conn).await?;
                    for operator in &operators {
                        if let Some(subject) = subjects::attention(&incidents, operator.id) {
                            mail::queue(&mut *conn, Kind::Attention, subject, now).await?;
                        }
                    }
                    Ok::<_, Fault>(Some((incidents.len(), operators.len())))
                })
            })
            .await?;
        if let Some((incidents @ 1.., 0)) = told {
            tracing::warn!(
                incidents,
                "there is no operator to tell of incidents: `stagedoor operator EMAIL` makes one"
            );
        }
        Ok(())
    }

    async fn try_again(&self, mail: MailRow, error: String) -> FaultResult<()> {
        let Some(wait) = wait_after(mail.tries) else {
            return self.give_up(mail, error, true).await;
        };
        count("retried");
        tracing::warn!(
            kind = mail.kind.name(),
            subject = mail.subject,
            tries = mail.tries,
            error,
            "a mail did not get out and will be tried again"
        );
        let tries = mail.tries;
        self.postpone(mail, tries, wait, error).await
    }

    /// Waiting for what the letter is to say is not a try.
    async fn wait_for_certainty(&self, mail: MailRow, why: &'static str) -> FaultResult<()> {
        if self.clock.now().since(mail.created_at) >= NOT_YET_AT_MOST {
            return self.give_up(mail, why.to_owned(), true).await;
        }
        let tries = mail.tries - 1;
        self.postpone(mail, tries, NOT_YET, why.to_owned()).await
    }

    async fn postpone(
        &self,
        mail: MailRow,
        tries: i64,
        wait: Duration,
        error: String,
    ) -> FaultResult<()> {
        let next_at = self.clock.now() + wait;
        self.db
            .write(move |conn| {
                Box::pin(
                    async move { store::mail_postpone(conn, &mail, tries, next_at, &error).await },
                )
            })
            .await?;
        Ok(())
    }

    /// Nobody misses this mail.
    async fn drop(&self, mail: MailRow, why: &'static str) -> FaultResult<()> {
        count("dropped");
        tracing::debug!(
            kind = mail.kind.name(),
            id = mail.id.to_string(),
            why,
            "a mail is not needed"
        );
        self.db
            .write(move |conn| Box::pin(async move { store::mail_fail(conn, &mail, why).await }))
            .await?;
        Ok(())
    }

    /// Stops trying. Opens an incident if the mail was to be sent; a letter about something that is gone
    /// needs none.
    async fn give_up(&self, mail: MailRow, why: String, undelivered: bool) -> FaultResult<()> {
        count("failed");
        tracing::warn!(
            kind = mail.kind.name(),
            subject = mail.subject,
            tries = mail.tries,
            error = why,
            "a mail was given up"
        );
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if store::mail_fail(&mut *conn, &mail, &why).await? && undelivered {
                        report(conn, &mail, &why, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Opens an incident for a mail about a paid order or money that was given back. Other mails
/// can be requested by anyone for an address that does not exist, and an incident about a mail to an
/// operator would lead to the next.
async fn report(conn: &mut Conn, mail: &MailRow, why: &str, now: Moment) -> FaultResult<()> {
    let order = match mail.kind {
        Kind::OrderComplete => mail.subject.parse().ok(),
        Kind::EventChanged => parse_subject(&mail.subject).map(|(order, _)| order),
        Kind::OrderRefunded | Kind::RefundFailed => match mail.subject.parse() {
            Ok(refund) => refund_find(&mut *conn, refund).await?.map(|row| row.order),
            Err(_) => None,
        },
        _ => return Ok(()),
    };
    let detail = format!(
        "the mail `{}` was given up: {why}. Ask the buyer for another address; their page has the \
         tickets.",
        mail.kind.name()
    );
    let kind = incidents::Kind::MailUndelivered;
    incidents::open(conn, kind, mail.id, order, &detail, now).await?;
    Ok(())
}

/// A mail server's words without the addresses in them, which do not belong in a log.
fn without_addresses(words: &str) -> String {
    let shown = words
        .split(' ')
        .map(|word| if word.contains('@') { "…" } else { word });
    shown.collect::<Vec<_>>().join(" ")
}

fn count(result: &'static str) {
    metrics::counter!("stagedoor_mails_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_servers_words_name_no_address() {
        let said = "permanent error (550): 5.1.1 <ann@tickets.example>: no such user";
        let shown = "permanent error (550): 5.1.1 … no such user";
        assert_eq!(without_addresses(said), shown);
    }

    #[test]
    fn waits_grow_and_end_within_three_days() {
        let minute = Duration::from_mins(1);
        let waits: Vec<Duration> = (1..).map_while(wait_after).collect();
        assert_eq!(
            waits[..4],
            [1_u32, 5, 30, 120].map(|minutes| minutes * minute)
        );
        assert!(waits.is_sorted());
        let all: Duration = waits.iter().sum();
        assert!((60 * 60 * minute..=72 * 60 * minute).contains(&all));
        assert_eq!(wait_after(0), None);
    }
}
