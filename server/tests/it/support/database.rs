//! A private database for each test, on either engine.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// The database's URL and what to remove after the test.
pub struct Database {
    pub url: String,
    what: What,
}

enum What {
    Folder(#[expect(dead_code, reason = "deleted on drop")] tempfile::TempDir),
    Schema {
        server: String,
        name: String,
    },
    /// Owned by another `Database`.
    Shared,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("stagedoor.db").display());
        Self {
            url,
            what: What::Folder(folder),
        }
    }

    /// Needs `TEST_POSTGRES_URL`, which `scripts/with-services.sh` sets: a server on which databases can be created.
    pub async fn postgres() -> Self {
        let server = std::env::var("TEST_POSTGRES_URL")
            .expect("TEST_POSTGRES_URL is not set: run the tests by `make unit`");
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        on(&server, &format!("CREATE DATABASE {name}")).await;
        let (host, _) = server.rsplit_once('/').unwrap();
        Self {
            url: format!("{host}/{name}"),
            what: What::Schema { server, name },
        }
    }

    /// The same database for another process of the shop.
    pub fn shared(&self) -> Self {
        Self {
            url: self.url.clone(),
            what: What::Shared,
        }
    }

    pub async fn drop(self) {
        if let What::Schema { server, name } = self.what {
            on(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn on(server: &str, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(server).await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}
