//! The audit finds no violation in a consistent shop, and finds each violation that a test causes.

use crate::support::{App, Client, on_both_engines, path};
use futures::StreamExt;
use model::{Moment, money::MinorUnits};
use platform::{clock::Clock, db::Engine};
use serde_json::{Value, json};
use shop::incidents;
use sqlx::{AssertSqlSafe, query};
use stagedoor::audit::{Provider, Report, Verdict, audit};
use stripe_double::JournalLine;
use stripe_gateway::ListedIntent;
use uuid::Uuid;

/// A small shop with orders in most states.
pub struct Shop<'a> {
    app: &'a App,
    pub journal: Vec<JournalLine>,
    pub seller: Client,
    pub buyer: Client,
    pub free: Value,
    /// Bought: two tickets.
    pub bought: Value,
    /// Paid and refunded.
    refunded: Value,
    /// Never paid for.
    expired: Value,
    /// Waited for the buyer's bank until it expired; its payment is void.
    voided: Value,
    cancelled: Value,
    /// Holds the ticket that `expired` held.
    pub held: Value,
    /// Its card has just been declined.
    declined: Value,
}

impl<'a> Shop<'a> {
    pub async fn open(app: &'a App) -> Self {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let mut tickets = Vec::new();
        for price in 2500..2509 {
            tickets.push(seller.ticket(&event, price).await);
        }
        let reserve = async |tickets: &[&Value]| buyer.reserve(tickets).await.expect(201);
        let bought = reserve(&[&tickets[0], &tickets[1]]).await;
        buyer
            .pay(&bought, "pm_card_chargeDeclined")
            .await
            .refused(402, "card_declined");
        buyer.pay(&bought, "pm_card_visa").await.expect_2xx();
        let refunded = reserve(&[&tickets[2]]).await;
        buyer.pay(&refunded, "pm_card_visa").await.expect_2xx();
        let expired = reserve(&[&tickets[3]]).await;
        let voided = reserve(&[&tickets[4]]).await;
        buyer
            .pay(&voided, "pm_card_threeDSecure2Required")
            .await
            .expect_2xx();
        let cancelled = reserve(&[&tickets[5]]).await;
        buyer.cancel(&cancelled).await.expect_2xx();
        app.clock.advance(3600);
        app.sweep().await;
        app.settle().await;
        let held = reserve(&[&tickets[3]]).await;
        let declined = reserve(&[&tickets[6]]).await;
        buyer
            .pay(&declined, "pm_card_chargeDeclined")
            .await
            .refused(402, "card_declined");
        app.webhooks_arrive().await;
        let shop = Self {
            app,
            journal: app.journal(),
            free: tickets[7].clone(),
            seller,
            buyer,
            bought,
            refunded,
            expired,
            voided,
            cancelled,
            held,
            declined,
        };
        shop.sql("UPDATE mails SET state = 'sent'").await;
        shop.refund().await
    }

    /// Writes the rows of a refunded order.
    async fn refund(mut self) -> Self {
        let (order, ticket) = (id(&self.refunded), id(&self.refunded["tickets"][0]));
        let payment = self.payment_of(&self.refunded).await;
        for sql in [
            "INSERT INTO refunds (id, payment_id, order_id, amount_minor, currency, reason, \
             stripe_id, state, created_at, settled_at) SELECT 'R', p.id, p.order_id, \
             p.received_minor, p.currency, 'seller', 're_1', 'succeeded', p.created_at, \
             p.created_at FROM payments p WHERE p.id = 'P'",
            "INSERT INTO refund_lines (refund_id, order_id, ticket_id, amount_minor, \
             ticket_version, live) SELECT 'R', order_id, ticket_id, price_minor, \
             ticket_version + 2, 1 FROM order_lines WHERE order_id = 'O'",
            "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
             amount_minor, currency, created_at) SELECT 'refund:R', line, 'refund', payment_id, \
             'R', account, seller_id, -amount_minor, currency, created_at FROM ledger \
             WHERE payment_id = 'P'",
            "UPDATE payments SET state = 'refunded', refunded_minor = received_minor WHERE id = 'P'",
            "UPDATE orders SET status = 'refunded', version = version + 1 WHERE id = 'O'",
            "UPDATE order_lines SET live = 0 WHERE order_id = 'O'",
            "UPDATE tickets SET state = 'withdrawn', owner_id = NULL, version = version + 1 \
             WHERE id = 'K'",
            "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data) \
             SELECT 'out-1', 'OrderUpdated', 'order', id, version, 0, '{\"status\":\"refunded\"}' \
             FROM orders WHERE id = 'O'",
            "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data) \
             SELECT 'out-2', 'TicketUpdated', 'ticket', id, version, 0, '{}' \
             FROM tickets WHERE id = 'K'",
        ] {
            let sql = sql
                .replace("'P'", &format!("'{payment}'"))
                .replace("'O'", &format!("'{order}'"))
                .replace("'K'", &format!("'{ticket}'"));
            self.sql(&sql).await;
        }
        let line = self.find_line(&self.refunded).await;
        self.journal[line].amount_refunded = self.journal[line].amount_received;
        self
    }

    async fn sql(&self, sql: &str) {
        let done = query(AssertSqlSafe(sql.to_owned()))
            .execute(self.app.db.reads())
            .await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    async fn payment_of(&self, order: &Value) -> String {
        let order = self.buyer.order(order).await;
        order["paymentId"].as_str().unwrap().to_owned()
    }

    /// Index of the order's payment in the journal.
    async fn find_line(&self, order: &Value) -> usize {
        let payment = self.payment_of(order).await;
        let has_payment = |line: &JournalLine| line.metadata["payment_id"] == payment;
        self.journal.iter().position(has_payment).unwrap()
    }

    async fn audit(&self) -> Report {
        self.audit_with(Provider::Journal(self.journal.clone()))
            .await
    }

    async fn audit_with(&self, provider: Provider) -> Report {
        let now = self.app.clock.now();
        audit(&self.app.db, provider, now).await.unwrap()
    }

    /// Executes `breaking`, asserts that only this invariant is broken, and executes `repairing`.
    async fn assert_found(&self, invariant: &str, breaking: &str, repairing: &str) {
        self.sql(breaking).await;
        let report = self.audit().await;
        assert_eq!(list_broken(&report), [invariant], "{breaking}\n{report}");
        self.sql(repairing).await;
        self.assert_holds().await;
    }

    /// Asserts that only this invariant is broken, with this journal of the provider.
    async fn assert_found_with(&self, invariant: &str, journal: Vec<JournalLine>) {
        let report = self.audit_with(Provider::Journal(journal)).await;
        assert_eq!(list_broken(&report), [invariant], "{report}");
    }

    async fn assert_holds(&self) {
        let report = self.audit().await;
        assert_eq!(list_broken(&report), [""; 0], "{report}");
        assert_eq!(report.verdict, Verdict::Holds, "{report}");
    }
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// A provider with the intents of the journal and an additional one.
fn list_intents(journal: &[JournalLine], additional: ListedIntent) -> Provider {
    let to_intent = |line: &JournalLine| ListedIntent {
        id: line.id.clone(),
        status: line.status.clone(),
        received_minor: MinorUnits::new(line.amount_received),
        refunded_minor: MinorUnits::new(line.amount_refunded),
        payment_id: line.metadata.get("payment_id").cloned(),
        created: additional.created - 3600,
    };
    let mut page: Vec<ListedIntent> = journal.iter().map(to_intent).collect();
    page.push(additional);
    Provider::Intents {
        since: Moment::EPOCH,
        pages: futures::stream::iter([Ok(page)]).boxed(),
    }
}

fn list_broken(report: &Report) -> Vec<&str> {
    let broken = report
        .invariants
        .iter()
        .filter(|invariant| invariant.verdict == Verdict::Broken);
    broken.map(|invariant| invariant.id.as_str()).collect()
}

fn count_in_motion(report: &Report, invariant: &str) -> u64 {
    let found = report.invariants.iter().find(|one| one.id == invariant);
    found.unwrap().in_motion.count
}

on_both_engines! {
    async fn a_shop_with_orders_in_most_states_holds(app) {
        let shop = Shop::open(app).await;
        let report = shop.audit().await;
        assert_eq!(report.verdict, Verdict::Holds, "{report}");
        assert_eq!(report.counts.tickets["sold"], 2);
        assert_eq!(report.counts.tickets["held"], 2);
        assert_eq!(report.counts.tickets["withdrawn"], 1);
        assert!(report.invariants.iter().all(|one| one.id == "I11" || one.looked_at > 0), "{report}");
        assert!(report.to_string().ends_with("Everything holds.\n"), "{report}");
    }

    async fn a_ticket_in_two_live_orders_is_found(app) {
        let shop = Shop::open(app).await;
        let (old, new) = (id(&shop.expired), id(&shop.held));
        shop.assert_found(
            "I1",
            &format!("UPDATE tickets SET held_by = '{old}' WHERE held_by = '{new}'"),
            &format!("UPDATE tickets SET held_by = '{new}' WHERE held_by = '{old}'"),
        ).await;
        shop.assert_found(
            "I1",
            &format!("UPDATE order_lines SET live = 1 WHERE order_id = '{}'", id(&shop.cancelled)),
            &format!("UPDATE order_lines SET live = 0 WHERE order_id = '{}'", id(&shop.cancelled)),
        ).await;
        shop.sql("DROP INDEX one_live_line").await;
        shop.assert_found(
            "I1",
            &format!("UPDATE order_lines SET live = 1 WHERE order_id = '{old}'"),
            &format!("UPDATE order_lines SET live = 0 WHERE order_id = '{old}'"),
        ).await;
    }

    /// Nor if its order has not expired yet.
    async fn a_ticket_that_changes_after_the_end_of_its_hold_violates_nothing(app) {
        let shop = Shop::open(app).await;
        app.clock.advance(905);
        let ticket = shop.seller.ticket_now(&shop.held["tickets"][0]).await;
        let edit = json!({"version": ticket["version"], "priceMinor": 9900});
        shop.seller.put(&path("tickets", &ticket), edit).await.expect(200);
        assert_eq!(list_broken(&shop.audit().await), [""; 0]);
        app.sweep().await;
        app.settle().await;
        assert_eq!(list_broken(&shop.audit().await), [""; 0]);
    }

    async fn money_taken_without_the_fence_is_found(app) {
        let shop = Shop::open(app).await;
        let paid = shop.payment_of(&shop.bought).await;
        let kind = |was, is| format!(
            "UPDATE payment_effects SET kind = '{is}' WHERE kind = '{was}' AND payment_id = '{paid}'"
        );
        shop.assert_found("I2", &kind("capture", "refund"), &kind("refund", "capture")).await;
        let declined = shop.payment_of(&shop.declined).await;
        let state = |is| format!("UPDATE payments SET state = '{is}' WHERE id = '{declined}'");
        shop.assert_found("I2", &state("capturing"), &state("open")).await;
        // No answer of a capture leads to these states without money received.
        let voided = shop.payment_of(&shop.voided).await;
        shop.sql(&format!("UPDATE payments SET state = 'failed' WHERE id = '{voided}'")).await;
        shop.assert_found(
            "I2",
            &format!("INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, \
                next_at, created_at) VALUES ('E', '{voided}', 'capture', 'E', '', 'done', 0, 0)"),
            "DELETE FROM payment_effects WHERE id = 'E'",
        ).await;
    }

    async fn a_ledger_that_does_not_balance_is_found(app) {
        let mut shop = Shop::open(app).await;
        let paid = shop.payment_of(&shop.bought).await;
        let ledger = |change: &str| format!("UPDATE ledger SET {change} AND payment_id = '{paid}'");
        let increase = "amount_minor = amount_minor + 1";
        let decrease = "amount_minor = amount_minor - 1";
        shop.assert_found(
            "I3",
            &ledger(&format!("{increase} WHERE account = 'seller'")),
            &ledger(&format!("{decrease} WHERE account = 'seller'")),
        ).await;
        shop.assert_found(
            "I3",
            &ledger("amount_minor = 2 * amount_minor WHERE 1 = 1"),
            &ledger("amount_minor = amount_minor / 2 WHERE 1 = 1"),
        ).await;
        let seller = |who: &Client| {
            ledger(&format!("seller_id = '{}' WHERE account = 'seller'", who.id))
        };
        shop.assert_found("I3", &seller(&shop.buyer), &seller(&shop.seller)).await;
        let lines = |change| format!("UPDATE refund_lines SET amount_minor = amount_minor {change}");
        shop.assert_found("I3", &lines("- 1"), &lines("+ 1")).await;
        // Both sides agree, but no refund explains it.
        let line = shop.find_line(&shop.bought).await;
        shop.journal[line].amount_refunded = 100;
        shop.sql(&format!("UPDATE payments SET refunded_minor = 100 WHERE id = '{paid}'")).await;
        let report = shop.audit().await;
        assert_eq!(list_broken(&report), ["I3"]);
        assert!(report.to_string().contains("has a refunded amount that differs from its refunds"), "{report}");
    }

    async fn money_that_only_the_shop_or_the_provider_has_is_found(app) {
        let shop = Shop::open(app).await;
        let line = shop.find_line(&shop.bought).await;
        let mut journal = shop.journal.clone();
        journal[line].amount_received -= 1;
        shop.assert_found_with("I4", journal).await;
        let mut journal = shop.journal.clone();
        journal[line].amount_refunded = 1;
        shop.assert_found_with("I4", journal.clone()).await;
        // The same during a pending call is not broken.
        let paid = shop.payment_of(&shop.bought).await;
        let effect = |state| format!(
            "UPDATE payment_effects SET state = '{state}' WHERE payment_id = '{paid}' AND kind = 'capture'"
        );
        shop.sql(&effect("pending")).await;
        let report = shop.audit_with(Provider::Journal(journal)).await;
        let in_motion = count_in_motion(&report, "I4");
        assert_eq!((report.verdict, in_motion), (Verdict::Unsettled, 1), "{report}");
        shop.sql(&effect("done")).await;
        let mut journal = shop.journal.clone();
        journal.remove(line);
        shop.assert_found_with("I4", journal).await;
        let mut journal = shop.journal.clone();
        let mut strange = journal[line].clone();
        "pi_strange".clone_into(&mut strange.id);
        strange.metadata.clear();
        journal.push(strange);
        shop.assert_found_with("I4", journal).await;
    }

    async fn money_that_is_missing_from_a_restored_copy_is_found_at_once(app) {
        let shop = Shop::open(app).await;
        let paid: Uuid = shop.payment_of(&shop.bought).await.parse().unwrap();
        let line = shop.find_line(&shop.bought).await;
        // Charged in this second, for an unknown payment.
        let unknown_intent = |payment: Option<Uuid>| ListedIntent {
            id: "pi_forgotten".to_owned(),
            status: "succeeded".to_owned(),
            received_minor: MinorUnits::new(2500),
            refunded_minor: MinorUnits::ZERO,
            payment_id: payment.map(|payment| payment.to_string()),
            created: app.clock_seconds(),
        };
        for payment in [Some(Uuid::now_v7()), None] {
            let intents = list_intents(&shop.journal, unknown_intent(payment));
            let report = shop.audit_with(intents).await;
            assert_eq!(list_broken(&report), ["I4"], "{report}");
            assert_eq!(report.to_string().contains("an older copy"), payment.is_some(), "{report}");
        }
        // A second intent of a known payment may be the result of a repeated call.
        let report = shop.audit_with(list_intents(&shop.journal, unknown_intent(Some(paid)))).await;
        let in_motion = count_in_motion(&report, "I4");
        assert_eq!((list_broken(&report), in_motion), (vec!["I10"], 1), "{report}");
        // Unpaid in the copy, and paid a moment ago at the provider.
        let declined = shop.payment_of(&shop.declined).await;
        let mut journal = shop.journal.clone();
        let has_payment = |line: &JournalLine| line.metadata["payment_id"] == declined;
        let of_declined = journal.iter().position(has_payment).unwrap();
        journal[of_declined].amount_received = journal[of_declined].amount;
        shop.assert_found_with("I4", journal).await;
        // Refunded since.
        let mut journal = shop.journal.clone();
        journal[line].amount_refunded = 2500;
        shop.assert_found_with("I4", journal).await;
    }

    async fn tickets_that_do_not_match_payments_are_found(app) {
        let shop = Shop::open(app).await;
        let (seller, buyer) = (&shop.seller.id, &shop.buyer.id);
        let (bought, refunded) = (id(&shop.bought), id(&shop.refunded));
        let paid = shop.payment_of(&shop.bought).await;
        let owner = |who| format!("UPDATE tickets SET owner_id = '{who}' WHERE owner_id IS NOT NULL");
        shop.assert_found("I5", &owner(seller), &owner(buyer)).await;
        let currency = |code| format!("UPDATE payments SET currency = '{code}' WHERE id = '{paid}'");
        shop.assert_found("I5", &currency("EUR"), &currency("GBP")).await;
        let live = |live| format!("UPDATE order_lines SET live = {live} WHERE order_id = '{bought}'");
        shop.assert_found("I5", &live(0), &live(1)).await;
        let voided = shop.payment_of(&shop.voided).await;
        let state = |state| format!("UPDATE payments SET state = '{state}' WHERE id = '{voided}'");
        shop.assert_found("I5", &state("captured"), &state("voided")).await;
        let ticket = |state, owner: &str| format!(
            "UPDATE tickets SET state = '{state}', owner_id = {owner} WHERE id = '{}'", id(&shop.free)
        );
        let sold = ticket("sold", &format!("'{buyer}'"));
        shop.assert_found("I5", &sold, &ticket("listed", "NULL")).await;
        let lines = |live| format!("UPDATE refund_lines SET live = {live}");
        shop.assert_found("I5", &lines(0), &lines(1)).await;
        let status =
            |status| format!("UPDATE orders SET status = '{status}' WHERE id = '{refunded}'");
        shop.assert_found("I5", &status("complete"), &status("refunded")).await;
        let refunded_payment = shop.payment_of(&shop.refunded).await;
        let amount = |by| format!(
            "UPDATE payments SET amount_minor = amount_minor {by} WHERE id = '{refunded_payment}'"
        );
        shop.assert_found("I5", &amount("+ 1"), &amount("- 1")).await;
        let ticket = |state| format!(
            "UPDATE tickets SET state = '{state}' WHERE id = '{}'", id(&shop.refunded["tickets"][0])
        );
        shop.assert_found("I5", &ticket("listed"), &ticket("withdrawn")).await;
    }

    async fn a_change_without_a_domain_event_is_found(app) {
        let shop = Shop::open(app).await;
        for table in ["users", "events", "tickets", "orders"] {
            // The version of a held ticket is also compared with its order line.
            let free = if table == "tickets" { " WHERE held_by IS NULL AND state = 'listed'" } else { "" };
            shop.assert_found(
                "I6",
                &format!("UPDATE {table} SET version = version + 1{free}"),
                &format!("UPDATE {table} SET version = version - 1{free}"),
            ).await;
        }
        let gap = |from, to| format!(
            "UPDATE outbox SET version = {to} WHERE aggregate_id = '{}' AND version = {from}",
            id(&shop.voided["tickets"][0])
        );
        shop.assert_found("I6", &gap(2, 99), &gap(99, 2)).await;
    }

    async fn an_authorisation_of_an_ended_order_is_found(app) {
        let shop = Shop::open(app).await;
        let voided = shop.payment_of(&shop.voided).await;
        let state = |state| format!("UPDATE payments SET state = '{state}' WHERE id = '{voided}'");
        shop.assert_found("I7", &state("requires_action"), &state("voided")).await;
        let line = shop.find_line(&shop.voided).await;
        let mut journal = shop.journal.clone();
        "requires_capture".clone_into(&mut journal[line].status);
        shop.assert_found_with("I7", journal.clone()).await;
        // Its void is pending.
        let effect = |state| format!(
            "UPDATE payment_effects SET state = '{state}' WHERE payment_id = '{voided}' AND kind = 'void'"
        );
        shop.sql(&effect("pending")).await;
        let report = shop.audit_with(Provider::Journal(journal)).await;
        let in_motion = count_in_motion(&report, "I7");
        assert_eq!((report.verdict, in_motion), (Verdict::Unsettled, 1), "{report}");
    }

    async fn an_order_that_is_overdue_is_found(app) {
        let shop = Shop::open(app).await;
        let held = id(&shop.held);
        let until = |minutes: i64| format!(
            "UPDATE orders SET hold_until = {} WHERE id = '{held}'",
            app.clock.now().micros() + minutes * 60_000_000
        );
        shop.sql(&until(-1)).await;
        shop.assert_holds().await;
        shop.assert_found("I8", &until(-3), &until(10)).await;
        let status = |status| format!("UPDATE orders SET status = '{status}' WHERE id = '{held}'");
        shop.assert_found("I8", &status("capturing"), &status("created")).await;
    }

    async fn a_price_changed_during_a_hold_is_found(app) {
        let shop = Shop::open(app).await;
        let held = id(&shop.held);
        let ticket = |change| format!("UPDATE tickets SET {change} WHERE held_by = '{held}'");
        for (breaking, repairing) in [
            ("price_minor = price_minor + 1", "price_minor = price_minor - 1"),
            ("currency = 'EUR'", "currency = 'GBP'"),
        ] {
            shop.assert_found("I9", &ticket(breaking), &ticket(repairing)).await;
        }
        let line = |by| format!(
            "UPDATE order_lines SET ticket_version = ticket_version {by} WHERE order_id = '{held}'"
        );
        shop.assert_found("I9", &line("+ 1"), &line("- 1")).await;
        let total = |by| format!("UPDATE orders SET total_minor = total_minor {by} WHERE id = '{held}'");
        shop.assert_found("I9", &total("+ 1"), &total("- 1")).await;
    }

    async fn two_intents_for_one_payment_are_found(app) {
        let mut shop = Shop::open(app).await;
        let line = shop.find_line(&shop.bought).await;
        let mut twin = shop.journal[line].clone();
        "pi_twin".clone_into(&mut twin.id);
        twin.amount_received = 0;
        "requires_payment_method".clone_into(&mut twin.status);
        let mut journal = shop.journal.clone();
        journal.push(twin.clone());
        shop.assert_found_with("I10", journal).await;
        // A voided one is allowed: its answer was lost.
        "canceled".clone_into(&mut twin.status);
        shop.journal.push(twin);
        shop.assert_holds().await;
        shop.assert_found(
            "I10",
            &format!("INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, \
                next_at, created_at) VALUES ('E', '{}', 'create', 'E', '', 'done', 0, 0)",
                shop.payment_of(&shop.bought).await),
            "DELETE FROM payment_effects WHERE id = 'E'",
        ).await;
    }

    async fn violations_are_found_without_the_unique_indexes(app) {
        let shop = Shop::open(app).await;
        // Only PostgreSQL can drop a column's UNIQUE.
        if app.db.engine() != Engine::Postgres {
            return;
        }
        shop.sql(
            "DO $$ DECLARE c RECORD; BEGIN FOR c IN SELECT conrelid::regclass AS t, conname AS n \
             FROM pg_constraint WHERE contype = 'u' AND conrelid IN ('payments'::regclass, \
             'payment_effects'::regclass, 'outbox'::regclass) LOOP \
             EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.n); END LOOP; END $$",
        ).await;
        let (paid, new) = (shop.payment_of(&shop.bought).await, shop.payment_of(&shop.declined).await);
        let intent = |payment: &str| shop.journal.iter()
            .find(|line| line.metadata["payment_id"] == payment).unwrap().id.clone();
        let is = |intent: &str| format!("UPDATE payments SET stripe_id = '{intent}' WHERE id = '{new}'");
        let voided = shop.payment_of(&shop.voided).await;
        shop.assert_found("I10", &is(&intent(&voided)), &is(&intent(&new))).await;
        let key = |key: &str| format!(
            "UPDATE payment_effects SET idem_key = '{key}' WHERE payment_id = '{new}'"
        );
        shop.assert_found("I10", &key(&format!("cap:{paid}:0")), &key("its own")).await;
        let twice = "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, \
             occurred_at, data) SELECT 'twin', type, aggregate_type, aggregate_id, version, 0, data \
             FROM outbox WHERE aggregate_type = 'user' LIMIT 1";
        shop.assert_found("I6", twice, "DELETE FROM outbox WHERE id = 'twin'").await;
    }

    async fn a_transition_from_a_final_state_is_found(app) {
        let shop = Shop::open(app).await;
        let replace_status = |order: &Value, version: i64, was: &str, is: &str| format!(
            "UPDATE outbox SET data = REPLACE(data, '\"{was}\"', '\"{is}\"') \
             WHERE aggregate_id = '{}' AND version = {version}", id(order)
        );
        for (order, version, was, is) in [
            (&shop.cancelled, 1, "created", "cancelled"),
            (&shop.expired, 2, "expired", "complete"),
            (&shop.voided, 1, "created", "expired"),
            (&shop.held, 1, "status", "standing"),
        ] {
            let breaking = replace_status(order, version, was, is);
            let repairing = replace_status(order, version, is, was);
            shop.assert_found("I12", &breaking, &repairing).await;
        }
    }

    async fn without_a_provider_its_invariants_are_unchecked(app) {
        let shop = Shop::open(app).await;
        let no_provider = || Provider::None("it is away".to_owned());
        let report = shop.audit_with(no_provider()).await;
        assert_eq!(report.verdict, Verdict::Unchecked, "{report}");
        let unchecked = report.invariants.iter().filter(|one| one.verdict == Verdict::Unchecked);
        assert_eq!(unchecked.map(|one| one.id.as_str()).collect::<Vec<_>>(), ["I4", "I7", "I10"]);
        assert!(report.to_string().contains("it is away"));
        // Violations are reported even without the provider.
        shop.sql("UPDATE users SET version = version + 1").await;
        assert_eq!(shop.audit_with(no_provider()).await.verdict, Verdict::Broken);
    }

    async fn incidents_and_delays_are_reported_and_break_nothing(app) {
        let shop = Shop::open(app).await;
        app.db.write(|conn| Box::pin(async move {
            incidents::open(conn, incidents::Kind::CallRefused, "x", None, "for the test", Moment::from_micros(1)).await
        })).await.unwrap();
        shop.sql("INSERT INTO stripe_inbox (event_id, type, payload, received_at) \
            VALUES ('evt_old', 'x', '', 1)").await;
        let report = shop.audit().await;
        assert_eq!(report.verdict, Verdict::Holds, "{report}");
        assert_eq!(report.open_incidents[0].kind, "call_refused");
        // The webhook and the mail about the incident.
        assert_eq!(report.warnings.count, 2, "{report}");
    }
}
