//! Sends due mails, and retries them until they are accepted or given up.
//!
//! Any number of mailers can run at once: a mail is claimed by one conditional UPDATE with a lease, which
//! ends if its process dies. Each mail is sent at least once; a repeated one has the same Message-ID, the id
//! of its row. Does not compose mails.

use super::{
    compose::{self, ComposeError},
    store::find_refund,
};
use crate::{
    accounts,
    events::changes::parse_subject,
    incidents,
    mail::{
        self, Kind, Letterhead, Outgoing, SendError, SendFailure, Transport,
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

/// How many due mails are read at a time.
const BATCH: i64 = 100;
/// How many mails are processed concurrently.
const CONCURRENCY: usize = 4;
/// The time limit for sending one mail: shorter than its lease, so that no other process sends it too.
const SEND_TIMEOUT: Duration = Duration::from_mins(1);
const LEASE: Duration = Duration::from_mins(2);
/// The shortest time between two mails about incidents.
const ATTENTION_EVERY: Duration = Duration::from_mins(10);
/// The delay before a mail is composed again whose content is not settled yet, and how long that is repeated.
const UNSETTLED_DELAY: Duration = Duration::from_secs(30);
const UNSETTLED_MAX: Duration = Duration::from_hours(24);

/// The delays after the first, second … failed attempt: just under three days in total.
const RETRY_MINUTES: [u64; 8] = [1, 5, 30, 2 * 60, 6 * 60, 12 * 60, 24 * 60, 24 * 60];

/// The delay after this many failed attempts. `None` means that there is no other.
fn retry_delay(tries: i64) -> Option<Duration> {
    let position = usize::try_from(tries.checked_sub(1)?).ok()?;
    RETRY_MINUTES
        .get(position)
        .copied()
        .map(Duration::from_mins)
}

/// Sends the queued mails.
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
    pub fn new(
        db: Db,
        clock: SharedClock,
        transport: Arc<dyn Transport>,
        head: Letterhead,
    ) -> Self {
        // Registered at zero, so that the first increment is visible as one.
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

    /// Stops claiming mails, and waits until those being sent are marked as sent: otherwise they would be sent
    /// again after their lease.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.mails_out.write().await);
    }

    /// Processes every due mail. Returns how many were sent. Errors: the database fails.
    pub async fn send_due(&self) -> FaultResult<usize> {
        let mut sent = 0;
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return Ok(sent);
            }
            let now = self.clock.now();
            let due = store::list_due(self.db.reads(), now, BATCH).await?;
            if due.is_empty() {
                return Ok(sent);
            }
            // All are processed before an error is returned, so that one row does not delay the others.
            let outcomes: Vec<FaultResult<bool>> = futures::stream::iter(due)
                .map(|id| {
                    let span = spans::mail(id);
                    self.process(id).instrument(span)
                })
                .buffer_unordered(CONCURRENCY)
                .collect()
                .await;
            for outcome in outcomes {
                sent += usize::from(outcome?);
            }
        }
    }

    /// Claims, composes and sends one mail. Returns whether it was sent.
    async fn process(&self, id: MailId) -> FaultResult<bool> {
        let _out = self.mails_out.read().await;
        if self.closed.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let now = self.clock.now();
        let claimed = self
            .db
            .write(move |conn| {
                Box::pin(async move { store::claim(conn, id, now, now + LEASE).await })
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
            Err(ComposeError::NotYet(why)) => {
                self.postpone_unsettled(mail, why).await?;
                Ok(false)
            }
            Err(ComposeError::NotNeeded(why)) => {
                self.discard(mail, why).await?;
                Ok(false)
            }
            Err(ComposeError::Gone(why)) => {
                self.give_up(mail, why, false).await?;
                Ok(false)
            }
            Err(ComposeError::Fault(fault)) => {
                self.retry(mail, chain(&fault)).await?;
                Ok(false)
            }
        }
    }

    async fn send(&self, mail: MailRow, out: Outgoing) -> FaultResult<bool> {
        let tried = tokio::time::timeout(SEND_TIMEOUT, self.transport.send(&out)).await;
        let result = tried.unwrap_or_else(|late| Err(SendError::new(late)));
        let failure = result.as_ref().err().map(|error| error.failure);
        let up = if failure == Some(SendFailure::Server) {
            0.0
        } else {
            1.0
        };
        metrics::gauge!("stagedoor_mail_up").set(up);
        if let Err(error) = result {
            let why = redact_addresses(&chain(&error));
            match error.failure {
                SendFailure::Permanent => self.give_up(mail, why, true).await?,
                SendFailure::Server | SendFailure::Transient => self.retry(mail, why).await?,
            }
            return Ok(false);
        }
        count("sent");
        let (kind, subject) = (mail.kind.name(), mail.subject.clone());
        self.db
            .write(move |conn| Box::pin(async move { store::mark_sent(conn, mail.id).await }))
            .await?;
        tracing::info!(kind, subject, "mail sent");
        Ok(true)
    }

    /// Queues one mail for each operator about all incidents that no operator has been mailed about, so that
    /// an address that refuses mail does not delay the others. Sends such mails at least ten minutes apart,
    /// because one cause often opens hundreds of incidents.
    async fn fan_out(&self, mail: MailRow) -> FaultResult<()> {
        let now = self.clock.now();
        let counts: Option<(usize, usize)> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let last = store::last_attention_at(&mut *conn).await?;
                    if let Some(next) = last.map(|last| last + ATTENTION_EVERY)
                        && now < next
                    {
                        let (tries, why) = (mail.tries - 1, "delayed to collect more incidents");
                        store::postpone(conn, &mail, tries, next, why).await?;
                        return Ok(None);
                    }
                    let incidents = store::take_attention(&mut *conn).await?;
                    let operators = accounts::store::list_operators(&mut *conn).await?;
                    for operator in &operators {
                        if let Some(subject) = subjects::format_attention(&incidents, operator.id) {
                            mail::queue(&mut *conn, Kind::Attention, subject, now).await?;
                        }
                    }
                    Ok::<_, Fault>(Some((incidents.len(), operators.len())))
                })
            })
            .await?;
        if let Some((incidents @ 1.., 0)) = counts {
            tracing::warn!(
                incidents,
                "No operator to notify of incidents; `stagedoor operator EMAIL` makes one"
            );
        }
        Ok(())
    }

    async fn retry(&self, mail: MailRow, error: String) -> FaultResult<()> {
        let Some(wait) = retry_delay(mail.tries) else {
            return self.give_up(mail, error, true).await;
        };
        count("retried");
        tracing::warn!(
            kind = mail.kind.name(),
            subject = mail.subject,
            tries = mail.tries,
            error,
            "Mail not sent; will retry"
        );
        let tries = mail.tries;
        self.postpone(mail, tries, wait, error).await
    }

    /// Does not count the attempt: the mail's content is not settled yet.
    async fn postpone_unsettled(&self, mail: MailRow, why: &'static str) -> FaultResult<()> {
        if self.clock.now().since(mail.created_at) >= UNSETTLED_MAX {
            return self.give_up(mail, why.to_owned(), true).await;
        }
        let tries = mail.tries - 1;
        self.postpone(mail, tries, UNSETTLED_DELAY, why.to_owned())
            .await
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
                Box::pin(async move { store::postpone(conn, &mail, tries, next_at, &error).await })
            })
            .await?;
        Ok(())
    }

    /// Ends a mail that is no longer needed.
    async fn discard(&self, mail: MailRow, why: &'static str) -> FaultResult<()> {
        count("dropped");
        tracing::debug!(
            kind = mail.kind.name(),
            id = mail.id.to_string(),
            why,
            "Mail no longer needed"
        );
        self.db
            .write(move |conn| Box::pin(async move { store::mark_failed(conn, &mail, why).await }))
            .await?;
        Ok(())
    }

    /// Marks a mail as failed. Opens an incident if it was `undelivered`, rather than about something that no
    /// longer exists.
    async fn give_up(&self, mail: MailRow, why: String, undelivered: bool) -> FaultResult<()> {
        count("failed");
        tracing::warn!(
            kind = mail.kind.name(),
            subject = mail.subject,
            tries = mail.tries,
            error = why,
            "Mail given up"
        );
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if store::mark_failed(&mut *conn, &mail, &why).await? && undelivered {
                        open_incident(conn, &mail, &why, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Opens an incident for a mail about a paid order or a refund. Other mails can be requested by anyone for
/// an address that does not exist, and an incident about a mail to an operator would cause the next one.
async fn open_incident(conn: &mut Conn, mail: &MailRow, why: &str, now: Moment) -> FaultResult<()> {
    let order = match mail.kind {
        Kind::OrderComplete => mail.subject.parse().ok(),
        Kind::EventChanged => parse_subject(&mail.subject).map(|(order, _)| order),
        Kind::OrderRefunded | Kind::RefundFailed => match mail.subject.parse() {
            Ok(refund) => find_refund(&mut *conn, refund).await?.map(|row| row.order),
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

/// Removes e-mail addresses from a mail server's reply, so that they are not logged.
fn redact_addresses(reply: &str) -> String {
    let shown = reply
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
        assert_eq!(redact_addresses(said), shown);
    }

    #[test]
    fn retry_delays_grow_and_end_within_three_days() {
        let minute = Duration::from_mins(1);
        let waits: Vec<Duration> = (1..).map_while(retry_delay).collect();
        assert_eq!(
            waits[..4],
            [1_u32, 5, 30, 120].map(|minutes| minutes * minute)
        );
        assert!(waits.is_sorted());
        let all: Duration = waits.iter().sum();
        assert!((60 * 60 * minute..=72 * 60 * minute).contains(&all));
        assert_eq!(retry_delay(0), None);
    }
}
