//! Demo data: sellers, events, tickets, and two accounts for visitors to sign in with. It is added through
//! the services, so the same rules apply as for real data; a second run adds only what is missing. Also
//! removes the demo accounts.

mod catalogue;

use catalogue::{Lot, SELLERS, SHOWS, Seats, Show};
use context::DemoAccount;
use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use model::{
    accounts::{Password, SignUp, Viewer},
    events::{CreateEvent, Event, Events},
    tickets::{ListTicket, OfferFilter, Tickets},
};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    limits::Limits,
    session::DbSessions,
};
use shop::{
    account_care::{AccountCareService, Deletion},
    accounts::{self, AccountsService, Operators, email_key},
    events::EventsService,
    tickets::{LISTINGS_PER_DAY, TicketsService},
};
use std::{fmt::Write, sync::Arc};

const SELLER_EMAIL: &str = "seller@stagedoor.example";
const BUYER_EMAIL: &str = "buyer@stagedoor.example";
const PASSWORD: &str = "stagedoor-demo";

/// The accounts that a demo shop shows on its sign-in page.
pub(crate) fn accounts() -> Vec<DemoAccount> {
    vec![
        DemoAccount {
            purpose: "Buy tickets",
            email: BUYER_EMAIL,
            password: PASSWORD,
        },
        DemoAccount {
            purpose: "Sell tickets",
            email: SELLER_EMAIL,
            password: PASSWORD,
        },
    ]
}

/// The addresses of all demo accounts.
fn addresses() -> impl Iterator<Item = &'static str> {
    SELLERS.iter().map(|(email, _)| *email).chain([BUYER_EMAIL])
}

/// The addresses of demo accounts that still have a password.
pub(crate) async fn accounts_with_password(db: &Db) -> FaultResult<Vec<&'static str>> {
    let mut found_emails = Vec::new();
    for email in addresses() {
        let found = accounts::store::find_by_email(db.reads(), &email_key(email)).await?;
        if found.is_some_and(|found| found.has_password()) {
            found_emails.push(email);
        }
    }
    Ok(found_emails)
}

/// Removes the demo accounts and their listings. An account that cannot be removed yet loses its
/// password. Returns the output.
pub(crate) async fn remove(db: &Db, clock: SharedClock) -> FaultResult<String> {
    let care = account_care(db, clock)?;
    let mut output = String::new();
    for email in addresses() {
        let result = match care.delete_or_lock(email).await? {
            Deletion::NotFound => continue,
            Deletion::Deleted => "removed, with its listings".to_owned(),
            Deletion::Locked(why) => format!(
                "kept without a password, its listings withdrawn; it cannot be removed yet: {}",
                why.message()
            ),
        };
        let _ = writeln!(output, "{email}: {result}");
    }
    if output.is_empty() {
        return Ok("there are no demo accounts\n".to_owned());
    }
    output.push_str(
        "Their events remain, without these listings, until their dates; orders and payments remain, too.\n",
    );
    Ok(output)
}

fn no_limits(clock: &SharedClock) -> Arc<Limits> {
    Arc::new(Limits::new(clock.clone(), false, None))
}

/// No one acts as an operator while demo data is added.
const NO_OPERATORS: Operators = Operators {
    need_second_factor: true,
};

fn account_care(db: &Db, clock: SharedClock) -> FaultResult<AccountCareService> {
    let limits = no_limits(&clock);
    let sessions = Arc::new(DbSessions::new(db.clone(), clock.clone()));
    let accounts = AccountsService::new(
        db.clone(),
        clock.clone(),
        limits.clone(),
        sessions.clone(),
        NO_OPERATORS,
        "",
    )?;
    Ok(AccountCareService::new(
        accounts,
        db.clone(),
        clock,
        limits,
        sessions,
    ))
}

/// Adds the demo data that is missing. Returns the output.
pub(crate) async fn seed(db: &Db, clock: SharedClock) -> FaultResult<String> {
    let care = account_care(db, clock.clone())?;
    let events = EventsService::new(db.clone(), clock.clone());
    let tickets = TicketsService::new(
        db.clone(),
        clock.clone(),
        no_limits(&clock),
        LISTINGS_PER_DAY,
        NO_OPERATORS,
    );
    find_or_create_account(db, &care, BUYER_EMAIL, "Billie Booker").await?;
    let mut sellers = Vec::new();
    for (email, name) in SELLERS {
        sellers.push(find_or_create_account(db, &care, email, name).await?);
    }
    let mut existing = Vec::new();
    for seller in &sellers {
        existing.extend(events.list_own(seller).await?);
    }
    let (mut new_events, mut new_tickets) = (0, 0);
    for show in SHOWS {
        let event = match existing.iter().find(|event| event.title == show.title) {
            Some(event) => event.clone(),
            None => {
                new_events += 1;
                create_event(
                    &events,
                    &sellers[show.seller],
                    show,
                    clock.now().timestamp(),
                )
                .await?
            }
        };
        let offers = tickets
            .list_offers(event.id, OfferFilter::default())
            .await?;
        if offers.available + offers.reserved + offers.sold == 0 {
            for lot in show.lots {
                new_tickets += list_tickets(&tickets, &sellers, &event, lot).await?;
            }
        }
    }
    let mut output = format!("Demo shop: {new_events} events and {new_tickets} tickets added.\n");
    for account in accounts() {
        let DemoAccount {
            purpose,
            email,
            password,
        } = account;
        let _ = writeln!(output, "  {purpose:<13} {email:<26} password: {password}");
    }
    Ok(output)
}

/// The account with this address, created if it does not exist.
async fn find_or_create_account(
    db: &Db,
    care: &AccountCareService,
    email: &str,
    name: &str,
) -> FaultResult<Viewer> {
    if let Some(found) = accounts::store::find_by_email(db.reads(), &email_key(email)).await? {
        let user = care.verify_without_link(found.user).await?;
        return Ok(Viewer { user });
    }
    let request = SignUp {
        email: email.to_owned(),
        password: Password(PASSWORD.to_owned()),
        name: Some(name.to_owned()),
    };
    Ok(Viewer {
        user: care.create(request).await?,
    })
}

async fn create_event(
    events: &EventsService,
    seller: &Viewer,
    show: &Show,
    now: Timestamp,
) -> FaultResult<Event> {
    let request = CreateEvent {
        title: show.title.to_owned(),
        venue: show.venue.to_owned(),
        city: show.city.to_owned(),
        country: show.country.to_owned(),
        starts_at: starts_at(show, now)?,
        ends_at: ends_at(show, now)?,
        sales_until: ends_at(show, now)?,
        time_zone: show.time_zone.to_owned(),
        currency: show
            .currency
            .parse()
            .map_err(|error| Fault::unexpected("invalid currency of a demo event", error))?,
        description: Some(show.description.to_owned()),
        category: show.category,
    };
    Ok(events.create(seller, request).await?)
}

/// The start, `show.in_days` from now at the local time of the venue.
fn starts_at(show: &Show, now: Timestamp) -> FaultResult<Timestamp> {
    moment(show, now, show.in_days, show.at)
}

/// The end of an event that lasts several days; tickets are sold until then.
fn ends_at(show: &Show, now: Timestamp) -> FaultResult<Option<Timestamp>> {
    let end = |(days, at)| moment(show, now, show.in_days + days, at);
    show.until.map(end).transpose()
}

fn moment(show: &Show, now: Timestamp, in_days: i64, at: (i8, i8)) -> FaultResult<Timestamp> {
    let failed = |error: jiff::Error| Fault::unexpected("invalid time of a demo event", error);
    let zone = TimeZone::get(show.time_zone).map_err(failed)?;
    let day = now
        .to_zoned(zone.clone())
        .date()
        .checked_add(in_days.days())
        .map_err(failed)?;
    let (hour, minute) = at;
    let zoned = day
        .to_datetime(civil::time(hour, minute, 0, 0))
        .to_zoned(zone)
        .map_err(failed)?;
    Ok(zoned.timestamp())
}

async fn list_tickets(
    tickets: &TicketsService,
    sellers: &[Viewer],
    event: &Event,
    lot: &Lot,
) -> FaultResult<i64> {
    let seller = &sellers[lot.seller];
    let request = |row: Option<String>, seat: Option<String>| ListTicket {
        event_id: event.id,
        price_minor: lot.price_minor,
        face_value_minor: Some(lot.face_value_minor).filter(|face| *face > 0),
        section: Some(lot.section.to_owned()).filter(|section| !section.is_empty()),
        row,
        seat,
    };
    match lot.seats {
        Seats::Unnumbered(quantity) => Ok(tickets
            .put_on_sale(seller, request(None, None), quantity, None)
            .await?
            .created),
        Seats::Row(row, first, last) => {
            let mut listed = 0;
            for seat in first..=last {
                let request = request(Some(row.to_owned()), Some(seat.to_string()));
                listed += tickets.put_on_sale(seller, request, 1, None).await?.created;
            }
            Ok(listed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demo_event_has_a_time_a_currency_and_tickets() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for show in SHOWS {
            let starts = starts_at(show, now).unwrap();
            assert!(starts > now, "{}", show.title);
            let ends = ends_at(show, now).unwrap();
            assert!(ends.is_none_or(|ends| ends > starts), "{}", show.title);
            assert!(
                show.currency.parse::<model::money::Currency>().is_ok(),
                "{}",
                show.title
            );
            assert!(!show.lots.is_empty(), "{}", show.title);
            assert!(
                show.lots.iter().all(|lot| lot.seller < SELLERS.len()),
                "{}",
                show.title
            );
        }
        assert!(SHOWS.len() >= 12);
    }
}
