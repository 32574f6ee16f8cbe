//! Who uses the shop, and what their accounts are made to look like behind its back.

use super::{App, Client};

impl App {
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
