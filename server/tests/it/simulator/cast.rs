//! The users and the event of a history.

use model::{
    accounts::{User, Viewer},
    events::{Category, CreateEvent},
    ids::UserId,
};
use platform::db::Db;
use sqlx::query;
use uuid::Uuid;

pub async fn create_user(db: &Db, name: &'static str) -> Viewer {
    let id = UserId(Uuid::now_v7());
    let email = format!("{name}@example.com");
    let user = User {
        id,
        email: email.clone(),
        name: name.to_owned(),
        email_verified: false,
        version: 1,
    };
    let written = db.write(move |conn| {
        Box::pin(async move {
            query(
                "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at) \
                 VALUES ($1, $2, $2, $3, '', 1, 0)",
            )
            .bind(id.to_string())
            .bind(email)
            .bind(name)
            .execute(&mut *conn)
            .await?;
            // The domain event of a sign-up.
            query(
                "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data) \
                 VALUES ($1, 'UserCreated', 'user', $1, 1, 0, '{}')",
            )
            .bind(id.to_string())
            .execute(conn)
            .await
            .map(|_| ())
        })
    });
    written.await.unwrap();
    Viewer { user }
}

pub fn event_request() -> CreateEvent {
    CreateEvent {
        title: "Late Show".to_owned(),
        venue: "Old Hall".to_owned(),
        city: "Leeds".to_owned(),
        country: "GB".to_owned(),
        starts_at: "2031-05-01T19:30:00Z".parse().unwrap(),
        ends_at: None,
        sales_until: None,
        time_zone: "Europe/London".to_owned(),
        currency: "GBP".parse().unwrap(),
        description: None,
        category: Category::Theatre,
    }
}
