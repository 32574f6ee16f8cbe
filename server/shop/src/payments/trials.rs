//! How many cards may be tried: per order, per account and per network address.
//!
//! Owns the table `card_trials` and `payment_effects.counted_in`. A card is counted in the transaction
//! that writes its call down, before the provider hears of it, and given back in the transaction that
//! learns that it was not declined. Each count is one conditional UPDATE, so many at once, through
//! whichever processes, get no further than one after the other. It does not judge who somebody is: many
//! accounts behind many addresses defeat it.

use model::{
    Moment,
    error::AppError,
    ids::{EffectId, OrderId, UserId},
};
use platform::db::Conn;
use sha2::{Digest, Sha256};
use sqlx::{query, query_as, query_scalar};
use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Declined cards of one order.
const DECLINED_PER_ORDER: i64 = 5;
/// Cards of one order, with those that its buyer's bank was asked about.
const TRIED_PER_ORDER: i64 = 10;
/// Declined cards of one account in a day.
const DECLINED_PER_ACCOUNT: i64 = 10;
/// Declined cards from one network address in a day, without the first one of each account: of the many
/// honest buyers behind one address few have two cards declined.
const REPEATED_PER_ADDRESS: i64 = 10;
/// And with them: no address has so many buyers that more than this is honest.
const DECLINED_PER_ADDRESS: i64 = 100;
const DAY: Duration = Duration::from_hours(24);

/// Who tries a card, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    /// Whose account.
    pub buyer: UserId,
    /// Where the request comes from.
    pub address: IpAddr,
    /// What is to be paid.
    pub order: OrderId,
    /// When the order's hold ends: then there is nothing to pay any more.
    pub order_ends: Moment,
}

/// Counts a card that is about to be tried by the call `effect`. Returns what it is counted in, for
/// [`trial_note`]. The caller has locked the order's tickets.
///
/// Errors: `TooManyRequests`; the caller's transaction must not be committed then.
pub(crate) async fn trial_begin(
    conn: &mut Conn,
    trial: Trial,
    effect: EffectId,
    now: Moment,
) -> Result<Result<String, AppError>, sqlx::Error> {
    let (declined, tried) = tried_for(conn, trial.order, effect).await?;
    if declined >= DECLINED_PER_ORDER || tried >= TRIED_PER_ORDER {
        return Ok(Err(too_many(trial.order_ends, now)));
    }
    let account = key("account", &trial.buyer.to_string());
    let used = match take(conn, &account, DECLINED_PER_ACCOUNT, now).await? {
        Ok(used) => used,
        Err(ends_at) => return Ok(Err(too_many(ends_at, now))),
    };
    let network = network_of(trial.address);
    let mut counted = vec![account];
    let repeated = key("address, repeated", &network);
    let all = key("address", &network);
    let mut limits = vec![(all, DECLINED_PER_ADDRESS)];
    if used > 1 {
        limits.push((repeated, REPEATED_PER_ADDRESS));
    }
    // In the order of their keys, here and in `trial_end`: nobody waits in a circle.
    limits.sort_unstable();
    for (key, most) in limits {
        if let Err(ends_at) = take(conn, &key, most, now).await? {
            return Ok(Err(too_many(ends_at, now)));
        }
        counted.push(key);
    }
    Ok(Ok(counted.join(" ")))
}

/// Writes down what the call `effect` is counted in.
pub(crate) async fn trial_note(
    conn: &mut Conn,
    effect: EffectId,
    counted_in: &str,
) -> Result<(), sqlx::Error> {
    query("UPDATE payment_effects SET counted_in = $2 WHERE id = $1")
        .bind(effect)
        .bind(counted_in.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// The call's card was not declined: it does not count.
pub(crate) async fn trial_give_back(conn: &mut Conn, effect: EffectId) -> Result<(), sqlx::Error> {
    let counted: Option<Option<String>> =
        query_scalar("SELECT counted_in FROM payment_effects WHERE id = $1")
            .bind(effect)
            .fetch_optional(&mut *conn)
            .await?;
    let Some(counted) = counted.flatten() else {
        return Ok(());
    };
    query("UPDATE payment_effects SET counted_in = NULL WHERE id = $1")
        .bind(effect)
        .execute(&mut *conn)
        .await?;
    // As they were taken: the account first, then the others in the order of their keys.
    for key in counted.split(' ') {
        query("UPDATE card_trials SET used = used - 1 WHERE key = $1 AND used > 0")
            .bind(key.to_owned())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Deletes counts that have run out. Returns how many.
pub(crate) async fn trials_delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM card_trials WHERE began_at <= $1")
        .bind(now - DAY)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// How many other cards of an order were declined or are not answered yet, and how many were tried at all.
/// What was refused as the shop's fault counts as neither.
async fn tried_for(
    conn: &mut Conn,
    order: OrderId,
    effect: EffectId,
) -> Result<(i64, i64), sqlx::Error> {
    query_as(
        "SELECT COUNT(CASE WHEN e.outcome IS NULL OR e.outcome = 'declined' THEN 1 END), COUNT(*) \
         FROM payments p JOIN payment_effects e ON e.payment_id = p.id \
         WHERE p.order_id = $1 AND e.kind IN ('create', 'confirm') \
         AND (e.outcome IS NULL OR e.outcome <> 'refused') AND e.id <> $2",
    )
    .bind(order)
    .bind(effect)
    .fetch_one(conn)
    .await
}

/// Counts one more, if fewer than `most` count: how many do now; or else when they count anew.
async fn take(
    conn: &mut Conn,
    key: &str,
    most: i64,
    now: Moment,
) -> Result<Result<i64, Moment>, sqlx::Error> {
    let taken = query_scalar(
        "INSERT INTO card_trials (key, began_at, used) VALUES ($1, $2, 1) \
         ON CONFLICT (key) DO UPDATE SET \
         used = CASE WHEN card_trials.began_at <= $3 THEN 1 ELSE card_trials.used + 1 END, \
         began_at = CASE WHEN card_trials.began_at <= $3 OR card_trials.used = 0 THEN $2 \
           ELSE card_trials.began_at END \
         WHERE card_trials.began_at <= $3 OR card_trials.used < $4 RETURNING used",
    )
    .bind(key.to_owned())
    .bind(now)
    .bind(now - DAY)
    .bind(most)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(taken) = taken {
        return Ok(Ok(taken));
    }
    let began: Moment = query_scalar("SELECT began_at FROM card_trials WHERE key = $1")
        .bind(key.to_owned())
        .fetch_one(conn)
        .await?;
    Ok(Err(began + DAY))
}

fn too_many(ends_at: Moment, now: Moment) -> AppError {
    let seconds = i64::try_from(ends_at.since(now).as_secs()).unwrap_or(i64::MAX);
    AppError::TooManyRequests {
        retry_after_seconds: seconds.max(1),
    }
}

/// The name under which something is counted: what it is cannot be read from it.
fn key(kind: &str, of: &str) -> String {
    hex::encode(Sha256::digest(format!("{kind}: {of}")))
}

/// Of an IPv6 address the network, since whoever has one address has all of its last 64 bits.
fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::network_of;

    #[test]
    fn an_ipv6_address_counts_as_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
