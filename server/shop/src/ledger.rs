//! The ledger: double entries of all captured and refunded money.
//!
//! Owns the table `ledger`. The lines of an entry sum to zero; an entry is written once, in the transaction
//! of its cause, and never changed. Captured money is positive on the provider's account; what is owed for
//! it, to sellers or (for an unexpected capture) to the buyer, is negative. Money paid back that no seller
//! is known to bear (a partial refund at the provider, a lost dispute) is positive on the unallocated account
//! until an operator decides. Payouts are not recorded here.

use model::{
    Moment,
    ids::{OrderId, PaymentId, RefundId, TicketId, UserId},
    money::{Currency, MinorUnits},
    refunds::Owed,
};
use platform::{
    db::{Conn, Statement},
    fault::{Fault, FaultResult},
};
use sqlx::{AnyExecutor, query_as, query_scalar};

/// An account of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(AccountKind),
    derive(strum::Display, strum::EnumString),
    strum(serialize_all = "snake_case")
)]
pub(crate) enum Account {
    /// Our balance at the payment provider.
    Provider,
    /// Negative: owed to this seller.
    Seller(UserId),
    /// Negative: captured unexpectedly, owed to the payer. Positive: paid back, and not yet allocated to a
    /// seller or the shop.
    Unallocated,
}

model::text_columns!(AccountKind);

impl Account {
    fn seller(self) -> Option<UserId> {
        match self {
            Self::Seller(seller) => Some(seller),
            Self::Provider | Self::Unallocated => None,
        }
    }
}

/// The direction of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
enum EntryKind {
    Capture,
    Refund,
    RefundFailed,
}

model::text_columns!(EntryKind);

/// The cause of an entry. Each occurs once, so the entry's id is derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LedgerEvent {
    Captured,
    Refunded(RefundId),
    /// A succeeded refund failed later.
    RefundFailed(RefundId),
}

impl LedgerEvent {
    fn kind(self) -> EntryKind {
        match self {
            Self::Captured => EntryKind::Capture,
            Self::Refunded(_) => EntryKind::Refund,
            Self::RefundFailed(_) => EntryKind::RefundFailed,
        }
    }

    fn refund(self) -> Option<RefundId> {
        match self {
            Self::Captured => None,
            Self::Refunded(refund) | Self::RefundFailed(refund) => Some(refund),
        }
    }
}

/// The part of an entry that concerns one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub account: Account,
    /// Positive.
    pub amount_minor: MinorUnits,
}

/// An entry to be recorded.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub event: LedgerEvent,
    pub payment: PaymentId,
    pub currency: Currency,
    /// The whole amount: the provider's line is their sum.
    pub shares: &'a [Share],
    pub at: Moment,
}

/// The columns that all lines of an entry share.
struct EntryHeader {
    id: String,
    kind: EntryKind,
    payment: PaymentId,
    refund: Option<RefundId>,
    currency: Currency,
    at: Moment,
}

async fn insert(
    conn: &mut Conn,
    entry: &EntryHeader,
    lines: impl IntoIterator<Item = (Account, MinorUnits)>,
) -> Result<(), sqlx::Error> {
    let mut insert = Statement::new(
        "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
         amount_minor, currency, created_at) VALUES ",
    );
    insert.bind_rows(
        (0_i64..).zip(lines),
        |row, (number, (account, amount_minor))| {
            row.bind(entry.id.clone())
                .bind(number)
                .bind(entry.kind)
                .bind(entry.payment)
                .bind(entry.refund)
                .bind(AccountKind::from(account))
                .bind(account.seller())
                .bind(amount_minor)
                .bind(entry.currency)
                .bind(entry.at);
        },
    );
    insert.query()?.execute(conn).await?;
    Ok(())
}

/// Records a capture, a refund or a failed refund. Errors: a violation of the primary key, if it is already
/// recorded.
pub(crate) async fn record(conn: &mut Conn, entry: &Entry<'_>) -> FaultResult<()> {
    let lines = lines(entry)?;
    let (kind, refund) = (entry.event.kind(), entry.event.refund());
    let id = match refund {
        None => format!("{kind}:{}", entry.payment),
        Some(refund) => format!("{kind}:{refund}"),
    };
    let entry = EntryHeader {
        id,
        kind,
        payment: entry.payment,
        refund,
        currency: entry.currency,
        at: entry.at,
    };
    Ok(insert(conn, &entry, lines).await?)
}

fn lines(entry: &Entry<'_>) -> FaultResult<Vec<(Account, MinorUnits)>> {
    let out_of_range = || {
        Fault::unexpected(
            "the sum of a ledger entry is out of range",
            entry.payment.to_string(),
        )
    };
    let total = entry
        .shares
        .iter()
        .try_fold(MinorUnits::ZERO, |sum, share| {
            sum.checked_add(share.amount_minor)
        })
        .filter(|total| total.is_positive())
        .ok_or_else(out_of_range)?;
    let signed = |amount: MinorUnits| match entry.event {
        LedgerEvent::Captured | LedgerEvent::RefundFailed(_) => amount,
        LedgerEvent::Refunded(_) => -amount,
    };
    let mut lines = vec![(Account::Provider, signed(total))];
    lines.extend(
        entry
            .shares
            .iter()
            .map(|share| (share.account, -signed(share.amount_minor))),
    );
    Ok(lines)
}

/// The direction of a reallocation between sellers and the unallocated account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reallocation {
    /// The sellers bear an unallocated refund.
    ToSellers,
    /// Reverses `ToSellers`.
    FromSellers,
}

/// Records a reallocation of a refund, without movement of money. `number` distinguishes those of one refund.
pub(crate) async fn reallocate(
    conn: &mut Conn,
    entry: &Entry<'_>,
    number: i64,
    how: Reallocation,
) -> FaultResult<()> {
    let Some(refund) = entry.event.refund() else {
        return Err(Fault::unexpected(
            "a reallocation without a refund",
            entry.payment.to_string(),
        ));
    };
    let kind = match how {
        Reallocation::ToSellers => EntryKind::Refund,
        Reallocation::FromSellers => EntryKind::RefundFailed,
    };
    let signed = |amount: MinorUnits| match how {
        Reallocation::ToSellers => amount,
        Reallocation::FromSellers => -amount,
    };
    let total: MinorUnits = entry.shares.iter().map(|share| share.amount_minor).sum();
    let sellers = entry
        .shares
        .iter()
        .map(|share| (share.account, signed(share.amount_minor)));
    let lines = std::iter::once((Account::Unallocated, -signed(total))).chain(sellers);
    let entry = EntryHeader {
        id: format!("reallocation:{refund}:{number}"),
        kind,
        payment: entry.payment,
        refund: Some(refund),
        currency: entry.currency,
        at: entry.at,
    };
    Ok(insert(conn, &entry, lines).await?)
}

pub(crate) async fn count_reallocations(
    conn: &mut Conn,
    payment: PaymentId,
    refund: RefundId,
) -> Result<i64, sqlx::Error> {
    count_entries(conn, payment, format!("reallocation:{refund}:%")).await
}

/// Counts the entries of a payment whose id matches a LIKE pattern.
async fn count_entries(
    conn: &mut Conn,
    payment: PaymentId,
    id_like: String,
) -> Result<i64, sqlx::Error> {
    query_scalar(
        "SELECT COUNT(*) FROM ledger WHERE payment_id = $1 AND entry_id LIKE $2 AND line = 0",
    )
    .bind(payment)
    .bind(id_like)
    .fetch_one(conn)
    .await
}

/// The loss of a payment by a dispute.
#[derive(Debug)]
pub(crate) struct DisputeLoss<'a> {
    /// Stripe's id.
    pub dispute: &'a str,
    pub payment: PaymentId,
    pub currency: Currency,
    /// 0 unless the dispute is lost.
    pub lost_minor: MinorUnits,
    pub at: Moment,
}

/// Records the difference between the dispute's loss and what the ledger has of it, if any; may be repeated.
pub(crate) async fn record_dispute(
    conn: &mut Conn,
    loss: &DisputeLoss<'_>,
) -> Result<(), sqlx::Error> {
    let booked = get_dispute_loss(&mut *conn, loss.payment, loss.dispute).await?;
    let moved = booked - loss.lost_minor;
    if moved == MinorUnits::ZERO {
        return Ok(());
    }
    let like = format!("dispute:{}:%", loss.dispute);
    let entries = count_entries(conn, loss.payment, like).await?;
    let entry = EntryHeader {
        id: format!("dispute:{}:{entries}", loss.dispute),
        // Booked like a refund, or like one that failed.
        kind: if moved < MinorUnits::ZERO {
            EntryKind::Refund
        } else {
            EntryKind::RefundFailed
        },
        payment: loss.payment,
        refund: None,
        currency: loss.currency,
        at: loss.at,
    };
    let lines = [(Account::Provider, moved), (Account::Unallocated, -moved)];
    insert(conn, &entry, lines).await
}

/// Returns the recorded loss of a payment by a dispute.
pub(crate) async fn get_dispute_loss<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
    dispute: &str,
) -> Result<MinorUnits, sqlx::Error> {
    query_scalar(
        "SELECT CAST(COALESCE(-SUM(amount_minor), 0) AS BIGINT) AS lost FROM ledger \
         WHERE payment_id = $1 AND account = 'provider' AND entry_id LIKE $2",
    )
    .bind(payment)
    .bind(format!("dispute:{dispute}:%"))
    .fetch_one(on)
    .await
}

/// Lists the shares of the sellers in an order, or only in these tickets of it, in the order of seller ids.
pub(crate) async fn list_shares(
    conn: &mut Conn,
    order: OrderId,
    only: Option<&[TicketId]>,
) -> Result<Vec<Share>, sqlx::Error> {
    let found = query_as::<_, (TicketId, MinorUnits, UserId)>(
        "SELECT l.ticket_id, l.price_minor, t.seller_id FROM order_lines l \
         JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1 ORDER BY t.seller_id",
    )
    .bind(order)
    .fetch_all(conn)
    .await?;
    let mut shares: Vec<Share> = Vec::new();
    for (ticket, price_minor, seller) in found {
        if only.is_some_and(|only| !only.contains(&ticket)) {
            continue;
        }
        let account = Account::Seller(seller);
        match shares.last_mut() {
            Some(last) if last.account == account => last.amount_minor += price_minor,
            _ => shares.push(Share {
                account,
                amount_minor: price_minor,
            }),
        }
    }
    Ok(shares)
}

/// Lists what this seller is owed, by currency.
pub(crate) async fn list_owed<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
) -> Result<Vec<Owed>, sqlx::Error> {
    let owed = query_as::<_, (Currency, MinorUnits)>(
        "SELECT currency, CAST(-SUM(amount_minor) AS BIGINT) AS owed FROM ledger \
         WHERE seller_id = $1 GROUP BY currency ORDER BY currency",
    )
    .bind(seller)
    .fetch_all(on)
    .await?;
    let owed = owed.into_iter().map(|(currency, owed)| Owed {
        amount_minor: owed.get(),
        currency,
    });
    Ok(owed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(event: LedgerEvent, shares: &[Share]) -> FaultResult<Vec<(Account, MinorUnits)>> {
        lines(&Entry {
            event,
            payment: PaymentId(Uuid::nil()),
            currency: "GBP".parse().unwrap(),
            shares,
            at: Moment::EPOCH,
        })
    }

    #[test]
    fn every_entry_sums_to_zero_and_a_refund_reverses_a_capture() {
        let seller = Account::Seller(UserId(Uuid::nil()));
        let shares = [
            Share {
                account: seller,
                amount_minor: MinorUnits::new(2500),
            },
            Share {
                account: Account::Unallocated,
                amount_minor: MinorUnits::new(1),
            },
        ];
        let refund = RefundId(Uuid::nil());
        for event in [
            LedgerEvent::Captured,
            LedgerEvent::Refunded(refund),
            LedgerEvent::RefundFailed(refund),
        ] {
            let lines = entry(event, &shares).unwrap();
            let sum: MinorUnits = lines.iter().map(|(_, amount)| *amount).sum();
            assert_eq!(sum, MinorUnits::ZERO);
        }
        let taken = entry(LedgerEvent::Captured, &shares).unwrap();
        let back = entry(LedgerEvent::Refunded(refund), &shares).unwrap();
        assert_eq!(taken[0], (Account::Provider, MinorUnits::new(2501)));
        assert_eq!(taken[1], (seller, MinorUnits::new(-2500)));
        for (one, other) in taken.iter().zip(&back) {
            assert_eq!((one.0, one.1), (other.0, -other.1));
        }
    }

    #[test]
    fn an_entry_of_nothing_is_refused() {
        assert!(entry(LedgerEvent::Captured, &[]).is_err());
    }
}
