//! Who uses the shop, and what their accounts are made to look like behind its back.

use super::{App, Client, Jobs};
use shop::{accounts::Operators, orders::HoldLimits};

impl App {
    /// Somebody who signed up and confirmed their address, long ago as far as mails go.
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

    /// Somebody who has just signed up, and has proved nothing.
    pub async fn newcomer(&self, name: &str) -> Client {
        Client::sign_up(&self.base, name).await
    }

    /// As if this user had signed up with this address, which a version of before found by `key`.
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

    /// Somebody with a shell has made this user an operator.
    pub async fn make_operator(&self, user: &Client) {
        let id = user.id.clone();
        self.write_sql("UPDATE users SET is_operator = 1 WHERE id = $1", id)
            .await;
    }

    /// Another process of the same shop, which asks operators for a second factor.
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

    /// A clock that is moved by weeks would end the sessions, which live by the machine's.
    pub async fn refunds_were_days_ago(&self, days: i64) {
        let earlier = days * 24 * 3600 * 1_000_000;
        let update = "UPDATE refunds SET created_at = created_at - CAST($1 AS BIGINT), \
             settled_at = settled_at - CAST($1 AS BIGINT)";
        self.write_sql(update, earlier.to_string()).await;
    }

    pub async fn sales_were_days_ago(&self, days: i64) {
        let earlier = days * 24 * 3600 * 1_000_000;
        let update = "UPDATE ledger SET created_at = created_at - CAST($1 AS BIGINT)";
        self.write_sql(update, earlier.to_string()).await;
    }

    /// Somebody who buys as a guest, without having bought anything yet.
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

    /// What a statement finds in its column `t`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        let rows = rows.fetch_all(self.db.reads()).await.unwrap();
        rows.iter().map(|row| sqlx::Row::get(row, "t")).collect()
    }

    /// Somebody who has not signed up, from another address: `127.0.9.9` for one.
    pub fn anonymous_from(&self, address: [u8; 4]) -> Client {
        Client::new_from(&self.base, Some(address.into()))
    }

    /// As if a version of before had hashed this user's password.
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

    /// As if all sessions had begun and been used at these times, in microseconds.
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
