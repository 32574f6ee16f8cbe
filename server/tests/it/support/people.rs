//! Creates users of a test's shop, and changes their data directly in the database.

use super::{App, Client, Jobs};
use shop::{accounts::Operators, orders::HoldLimits};

impl App {
    /// A user with a verified address and no mail about it.
    pub async fn user(&self, name: &str) -> Client {
        let user = self.newcomer(name).await;
        let id = user.id.clone();
        for sql in [
            "UPDATE users SET email_verified_at = created_at WHERE id = $1",
            "DELETE FROM mails WHERE kind = 'email_proof' AND subject IN \
             (SELECT p.id FROM email_proofs p WHERE p.user_id = $1)",
            "DELETE FROM email_proofs WHERE user_id = $1",
        ] {
            self.write_sql(sql, id.clone()).await;
        }
        user
    }

    /// A user with an unverified address.
    pub async fn newcomer(&self, name: &str) -> Client {
        Client::sign_up(&self.base, name).await
    }

    /// Sets a user's address and its key, which earlier versions computed differently.
    pub async fn set_email(&self, user: &Client, email: &str, key: &str) {
        let (id, email, key) = (user.id.clone(), email.to_owned(), key.to_owned());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let update = "UPDATE users SET email = $2, email_key = $3 WHERE id = $1";
                    let update = sqlx::query(update).bind(id).bind(email).bind(key);
                    update.execute(conn).await.map(|_| ())
                })
            })
            .await
            .unwrap();
    }

    /// Makes this user an operator, as the command `operator` does.
    pub async fn make_operator(&self, user: &Client) {
        let id = user.id.clone();
        self.write_sql("UPDATE users SET is_operator = 1 WHERE id = $1", id)
            .await;
    }

    /// Starts another process of the same shop that requires a second factor of operators.
    pub async fn strict(&self) -> Self {
        let operators = Operators {
            need_second_factor: true,
        };
        Self::start_as(
            self.database.shared(),
            Jobs::None,
            None,
            HoldLimits::default(),
            operators,
        )
        .await
    }

    /// Backdates refunds. Advancing the clock by weeks instead would end the sessions.
    pub async fn refunds_were_days_ago(&self, days: i64) {
        let earlier = days * 24 * 3600 * 1_000_000;
        let update = "UPDATE refunds SET created_at = created_at - CAST($1 AS BIGINT), \
             settled_at = settled_at - CAST($1 AS BIGINT)";
        self.write_sql(update, earlier.to_string()).await;
    }

    /// Backdates the entries of the ledger.
    pub async fn sales_were_days_ago(&self, days: i64) {
        let earlier = days * 24 * 3600 * 1_000_000;
        let update = "UPDATE ledger SET created_at = created_at - CAST($1 AS BIGINT)";
        self.write_sql(update, earlier.to_string()).await;
    }

    /// A guest with an unpaid order.
    pub async fn guest(&self, email: &str) -> Client {
        let mut guest = self.anonymous();
        let event = self.newcomer("host").await.event().await;
        let fields = [
            ("event_id", event["id"].as_str().unwrap()),
            ("quantity", "1"),
        ];
        let chosen = guest.form("/fn/orders/reserve", "/", &fields).await;
        let choice = chosen
            .header("location")
            .split('=')
            .nth(1)
            .unwrap()
            .to_owned();
        let fields = [
            ("choice", choice.as_str()),
            ("email", email),
            ("name", "Gus"),
        ];
        guest.form("/fn/orders/buy_as_guest", "/", &fields).await;
        let now = guest.get("/api/user/currentuser").await.expect(200);
        guest.id = now["currentUser"]["id"].as_str().unwrap().to_string();
        guest.email = email.to_owned();
        guest
    }

    /// The values of a query's column `t`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        let rows = rows.fetch_all(self.db.reads()).await.unwrap();
        rows.iter().map(|row| sqlx::Row::get(row, "t")).collect()
    }

    /// A visitor who is not signed in, from another address such as `127.0.9.9`.
    pub fn anonymous_from(&self, address: [u8; 4]) -> Client {
        Client::new_from(&self.base, Some(address.into()))
    }

    /// Sets a user's password hash, which earlier versions computed differently.
    pub async fn set_password_hash(&self, user: &Client, hash: &str) {
        let (id, hash) = (user.id.clone(), hash.to_owned());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let update = sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1");
                    update.bind(id).bind(hash).execute(conn).await.map(|_| ())
                })
            })
            .await
            .unwrap();
    }

    /// Sets when all sessions began and were last used, in microseconds.
    pub async fn sessions_began(&self, begun_at: i64, seen_at: i64) {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let update = sqlx::query("UPDATE sessions SET begun_at = $1, seen_at = $2");
                    let update = update.bind(begun_at).bind(seen_at);
                    update.execute(conn).await.map(|_| ())
                })
            })
            .await
            .unwrap();
    }
}
