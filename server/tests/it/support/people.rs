//! Who uses the shop, and what their accounts are made to look like behind its back.

use super::{App, Client};

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

    /// Somebody with a shell has made this user an operator.
    pub async fn make_operator(&self, user: &Client) {
        let id = user.id.clone();
        self.write_sql("UPDATE users SET is_operator = 1 WHERE id = $1", id)
            .await;
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
