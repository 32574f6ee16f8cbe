//! Measures a running server from outside, over HTTP: how many reservations a second its buyers
//! get, one ticket at a time, cheapest first; how many event pages a second anonymous readers
//! get; how long each takes; how much memory the server then holds. And checks, of every answer,
//! that no ticket was given out twice.
//!
//! It does not measure paying, cancelling, expiring, searching or the browser's part; nor selling
//! and reading at the same time; nor compressed pages; nor a network: it is meant for the same
//! machine, whose cores it then shares with the server, so the server alone can do more. Latency
//! counts from sending a request to having read its answer, and only answers that are as hoped
//! for count. Everybody asks again as soon as they have their answer and not before: a server that
//! stands still for a moment delays one request of each, not those that would have come meanwhile.
//!
//! It leaves accounts, an event and held tickets behind: give the server a database to throw
//! away, and `STAGEDOOR_RATE_LIMITS=off`.

use anyhow::{Context, Result, ensure};
use clap::{Parser, value_parser};
use reqwest::{RequestBuilder, header, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use uuid::Uuid;

const PASSWORD: &str = "correct horse battery staple";
const TITLE: &str = "Measured Evening";
/// The most tickets that are listed at once.
const BATCH: u32 = 10_000;
/// The cheapest batch's price; every next batch is dearer by a tenth of it.
const PRICE_MINOR: u64 = 1000;
/// Selling that is checked but not reported: it says how many tickets the real run needs.
const WARM_UP: Duration = Duration::from_secs(1);
/// Longer than the server lets an answer take.
const PATIENCE: Duration = Duration::from_secs(45);
/// Shorter than the server keeps a silent connection.
const IDLE: Duration = Duration::from_secs(5);

/// Measures a running Stagedoor: reservations and event pages a second, latencies, memory
#[derive(Debug, Parser)]
#[command(name = "measure")]
struct Args {
    /// Where it is; it must run with `STAGEDOOR_RATE_LIMITS=off`
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// How many reserve at the same time
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..))]
    buyers: u32,
    /// How many read the event's page at the same time
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..))]
    readers: u32,
    /// How long each of the two is measured
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    seconds: u32,
    /// The server's process, to read its resident memory (Linux)
    #[arg(long)]
    pid: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Args::parse()).await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("FAULT: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All of it. Returns what the server did wrong. Errors: it could not be measured.
async fn measure(args: &Args) -> Result<Vec<String>> {
    let base = args.url.trim_end_matches('/');
    ensure!(
        base.starts_with("http://"),
        "--url {base}: this program speaks http:// only"
    );
    let during = Duration::from_secs(args.seconds.into());
    let at_rest = args.pid.map(resident_mib).transpose()?;

    eprintln!("signing up {} buyers …", args.buyers);
    let mut stock = Stock::open(base).await?;
    let buyers = sign_up_buyers(base, args.buyers).await?;
    stock.list(1).await?;
    let lapses = stock.first_hold(&buyers).await?;
    let warm_up = sell(stock.event, &buyers, WARM_UP).await?;
    stock.give(&warm_up.tickets);
    let batches = stock.batches_needed(&warm_up, args.seconds)?;
    eprintln!("listing {batches} batches of {BATCH} tickets …");
    stock.list(batches).await?;

    held_for(lapses, during)?;
    eprintln!("selling for {} s …", args.seconds);
    let sales = sell(stock.event, &buyers, during).await?;
    held_for(lapses, Duration::ZERO)?;
    stock.give(&sales.tickets);

    eprintln!("reading for {} s …", args.seconds);
    let page_bytes = page_bytes(base, stock.event).await?;
    let pages = browse(base, stock.event, args.readers, during).await?;
    let after = args.pid.map(resident_mib).transpose()?;

    let (buyers, readers, seconds) = (args.buyers, args.readers, args.seconds);
    println!("{base}: {buyers} buyers, then {readers} readers, {seconds} s each");
    sales.print("reservations", "one ticket each, cheapest first")?;
    let kib = f64::from(u32::try_from(page_bytes)?) / 1024.0;
    pages.print("event pages", &format!("{kib:.1} KiB each, uncompressed"))?;
    stock.print();
    if let (Some(at_rest), Some(after)) = (at_rest, after) {
        line(
            "memory",
            &format!("{at_rest:.1} MiB resident before, {after:.1} MiB after"),
        );
    }
    let mut faults = stock.faults();
    faults.extend(warm_up.faults("warming up"));
    faults.extend(sales.faults("reserving"));
    faults.extend(pages.faults("reading"));
    Ok(faults)
}

fn line(name: &str, text: &str) {
    println!("{name:<14}{text}");
}

// Talking to the server.

/// One person at the shop.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer, read whole.
struct Answer {
    status: u16,
    text: String,
    took: Duration,
}

impl Client {
    /// Somebody whom the server will know again if it has given them a cookie, or will not.
    fn new(base: &str, keeps_cookies: bool) -> Result<Self> {
        let http = reqwest::Client::builder()
            .cookie_store(keeps_cookies)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self {
            http,
            base: base.to_owned(),
        })
    }

    async fn sign_up(base: &str, name: &str) -> Result<Self> {
        let client = Self::new(base, true)?;
        let email = format!("{name}-{}@example.com", Uuid::now_v7().simple());
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        client
            .post("/api/user/signup", &body)
            .await?
            .created::<Value>("signing up")?;
        Ok(client)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        ask(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// A page, as a browser asks for it.
    async fn page(&self, path: &str) -> Result<Answer> {
        let request = self.http.get(format!("{}{path}", self.base));
        ask(request.header(header::ACCEPT, "text/html")).await
    }
}

/// Errors: no answer came, or one that says that the limits are on: neither can be measured.
async fn ask(request: RequestBuilder) -> Result<Answer> {
    let began = Instant::now();
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    let took = began.elapsed();
    ensure!(
        status != 429,
        "the server counts tries and has refused one (429): start it with STAGEDOOR_RATE_LIMITS=off"
    );
    Ok(Answer { status, text, took })
}

impl Answer {
    /// What was made. Errors: nothing was; `doing` says at what.
    fn created<T: DeserializeOwned>(&self, doing: &str) -> Result<T> {
        ensure!(self.status == 201, "{doing}: {} {}", self.status, self.text);
        serde_json::from_str(&self.text).with_context(|| format!("{doing}: {}", self.text))
    }
}

/// One after the other: the server hashes few passwords at once, and turns a crowd away.
async fn sign_up_buyers(base: &str, count: u32) -> Result<Vec<Client>> {
    let mut buyers = Vec::new();
    for number in 0..count {
        buyers.push(Client::sign_up(base, &format!("buyer{number}")).await?);
    }
    Ok(buyers)
}

/// An event, a ticket: what has an id.
#[derive(Deserialize)]
struct Made {
    id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    ticket_ids: Vec<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    seconds_left: u64,
    tickets: Vec<Made>,
}

// What is sold.

/// One event: which tickets it was given, and which it gave away.
struct Stock {
    seller: Client,
    event: Uuid,
    batches: u64,
    listed: HashSet<Uuid>,
    given: HashSet<Uuid>,
    /// Of all orders, each ticket as often as it was given out.
    given_count: usize,
}

impl Stock {
    async fn open(base: &str) -> Result<Self> {
        let seller = Client::sign_up(base, "seller").await?;
        let body = json!({
            "title": TITLE, "venue": "Old Hall", "city": "Leeds", "country": "GB",
            "startsAt": "2099-05-01T19:30:00Z", "timeZone": "Europe/London", "currency": "GBP",
        });
        let event: Made = seller
            .post("/api/events", &body)
            .await?
            .created("creating the event")?;
        Ok(Self {
            seller,
            event: event.id,
            batches: 0,
            listed: HashSet::new(),
            given: HashSet::new(),
            given_count: 0,
        })
    }

    /// Lists so many more batches, each dearer than the one before.
    async fn list(&mut self, batches: u64) -> Result<()> {
        for _ in 0..batches {
            let price = PRICE_MINOR + self.batches * PRICE_MINOR / 10;
            let body = json!({"eventId": self.event, "quantity": BATCH, "priceMinor": price});
            let answer = self.seller.post("/api/tickets/batch", &body).await?;
            self.listed
                .extend(answer.created::<Listed>("listing tickets")?.ticket_ids);
            self.batches += 1;
        }
        Ok(())
    }

    /// Reserves the very first ticket. Returns when its hold, the first of all, may lapse.
    async fn first_hold(&mut self, buyers: &[Client]) -> Result<Instant> {
        let buyer = buyers.first().context("nobody buys")?;
        let began = Instant::now();
        let wanted = json!({"eventId": self.event, "quantity": 1});
        let order: Order = buyer
            .post("/api/orders", &wanted)
            .await?
            .created("reserving")?;
        let tickets: Vec<Uuid> = order.tickets.iter().map(|ticket| ticket.id).collect();
        self.give(&tickets);
        // The server rounds up.
        Ok(began + Duration::from_secs(order.seconds_left.saturating_sub(1)))
    }

    fn give(&mut self, tickets: &[Uuid]) {
        self.given.extend(tickets);
        self.given_count += tickets.len();
    }

    /// How many more it takes to sell for `seconds` twice as fast as in the warm-up. All are
    /// listed beforehand: listing while buyers wait would be measured with them.
    fn batches_needed(&self, warm_up: &Tally, seconds: u32) -> Result<u64> {
        let sold = u64::try_from(warm_up.latencies.len())?;
        let left = u64::try_from(self.listed.len().saturating_sub(self.given_count))?;
        let needed = sold * u64::from(seconds) * 2;
        Ok(needed.saturating_sub(left).div_ceil(BATCH.into()))
    }

    fn print(&self) {
        let (listed, orders, given) = (self.listed.len(), self.given_count, self.given.len());
        let text = format!("{listed} listed; {orders} given out, {given} of them distinct");
        line("tickets", &text);
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let twice = self.given_count - self.given.len();
        if twice > 0 {
            faults.push(format!(
                "{twice} times a ticket was given out that somebody had already"
            ));
        }
        let (listed, given) = (self.listed.len(), self.given_count);
        if given > listed {
            faults.push(format!(
                "{given} tickets were given out, but {listed} were listed"
            ));
        }
        let strange = self.given.difference(&self.listed).count();
        if strange > 0 {
            faults.push(format!(
                "{strange} tickets were given out that were never listed"
            ));
        }
        faults
    }
}

/// Errors: holds lapse within `during`. Their tickets would rightly be given out again, and
/// tidying up would be measured with the rest.
fn held_for(lapses: Instant, during: Duration) -> Result<()> {
    let held = Instant::now() + during < lapses;
    ensure!(
        held,
        "the first tickets' holds lapse before the end: start the server with longer \
         STAGEDOOR_HOLD_SECONDS, or measure for fewer --seconds"
    );
    Ok(())
}

// The two crowds.

/// Every buyer reserves one ticket after the other until the time is over.
async fn sell(event: Uuid, buyers: &[Client], during: Duration) -> Result<Tally> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for buyer in buyers {
        tasks.spawn(reserve_until(buyer.clone(), event, began + during));
    }
    gather(began, tasks).await
}

async fn reserve_until(buyer: Client, event: Uuid, ends: Instant) -> Result<Tally> {
    let wanted = json!({"eventId": event, "quantity": 1});
    let statuses = BTreeMap::from([(201, 0), (409, 0)]);
    let mut tally = Tally {
        statuses,
        ..Tally::default()
    };
    while Instant::now() < ends {
        let answer = buyer.post("/api/orders", &wanted).await?;
        if answer.status == 201 {
            let order: Order = answer.created("reserving")?;
            tally
                .tickets
                .extend(order.tickets.iter().map(|ticket| ticket.id));
        }
        tally.count(&answer, 201);
    }
    Ok(tally)
}

/// The size of the event's page. Errors: it is not the event's page that comes.
async fn page_bytes(base: &str, event: Uuid) -> Result<usize> {
    let page = Client::new(base, false)?
        .page(&format!("/events/{event}"))
        .await?;
    let fine = page.status == 200 && page.text.contains(TITLE);
    ensure!(
        fine,
        "/events/{event}: {} without the event's title",
        page.status
    );
    Ok(page.text.len())
}

/// Every reader loads the event's page again and again until the time is over.
async fn browse(base: &str, event: Uuid, readers: u32, during: Duration) -> Result<Tally> {
    let readers = (0..readers)
        .map(|_| Client::new(base, false))
        .collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for reader in readers {
        tasks.spawn(read_until(reader, event, began + during));
    }
    gather(began, tasks).await
}

async fn read_until(reader: Client, event: Uuid, ends: Instant) -> Result<Tally> {
    let path = format!("/events/{event}");
    let mut tally = Tally::default();
    tally.statuses.insert(200, 0);
    while Instant::now() < ends {
        tally.count(&reader.page(&path).await?, 200);
    }
    Ok(tally)
}

/// Puts together what the tasks saw. They took from `began` until the last has its last answer.
async fn gather(began: Instant, mut tasks: JoinSet<Result<Tally>>) -> Result<Tally> {
    let mut all = Tally::default();
    while let Some(done) = tasks.join_next().await {
        all.add(done??);
    }
    all.elapsed = began.elapsed();
    all.latencies.sort_unstable();
    Ok(all)
}

// What came of it.

/// The answers of one crowd.
#[derive(Default)]
struct Tally {
    /// How many of each status.
    statuses: BTreeMap<u16, u32>,
    /// Of those that were as hoped for; sorted once all are there.
    latencies: Vec<Duration>,
    /// The tickets given out.
    tickets: Vec<Uuid>,
    /// One answer that nobody expected.
    surprise: Option<String>,
    elapsed: Duration,
}

impl Tally {
    fn count(&mut self, answer: &Answer, hoped_for: u16) {
        *self.statuses.entry(answer.status).or_default() += 1;
        if answer.status == hoped_for {
            self.latencies.push(answer.took);
        } else if answer.status != 409 && self.surprise.is_none() {
            let start: String = answer.text.chars().take(300).collect();
            self.surprise = Some(format!("{} {start}", answer.status));
        }
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.latencies.extend(other.latencies);
        self.tickets.extend(other.tickets);
        self.surprise = self.surprise.take().or(other.surprise);
    }

    fn print(&self, name: &str, what: &str) -> Result<()> {
        let (count, seconds) = (self.latencies.len(), self.elapsed.as_secs_f64());
        let rate = f64::from(u32::try_from(count)?) / seconds;
        line(
            name,
            &format!("{rate:.1} a second ({count} in {seconds:.2} s), {what}"),
        );
        let answers: Vec<String> = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{status}: {count}"))
            .collect();
        line("  answers", &answers.join("   "));
        let latencies = [("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)]
            .map(|(name, percent)| format!("{name} {:.1}", self.millis(percent)));
        line("  latency, ms", &latencies.join("   "));
        if self.statuses.get(&409).is_some_and(|refused| *refused > 0) {
            line(
                "  note",
                "409: the tickets ran out, so the server can do more than this",
            );
        }
        if let Some(surprise) = &self.surprise {
            line("  unexpected", surprise);
        }
        Ok(())
    }

    /// What `percent` of the latencies do not exceed (nearest rank).
    fn millis(&self, percent: usize) -> f64 {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        let latency = self
            .latencies
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        latency.as_secs_f64() * 1000.0
    }

    fn faults(&self, doing: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let broken: u32 = self
            .statuses
            .range(500_u16..)
            .map(|(_, count)| *count)
            .sum();
        if broken > 0 {
            faults.push(format!("{broken} answers while {doing} were 5xx"));
        }
        if self.latencies.is_empty() {
            faults.push(format!("no answer while {doing} was as hoped for"));
        }
        faults
    }
}

/// Memory of a process that is not swapped out, in MiB.
fn resident_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("--pid {pid}: {path}"))?;
    let kib: u32 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("--pid {pid}: {path} has no VmRSS"))?
        .parse()?;
    Ok(f64::from(kib) / 1024.0)
}
