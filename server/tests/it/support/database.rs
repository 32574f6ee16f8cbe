//! A private database for each test, on either engine.

use platform::db::Db;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tokio::sync::OnceCell;

const FILE: &str = "stagedoor.db";

/// A database, which is removed after the test.
pub struct Database {
    pub url: String,
    storage: Storage,
}

enum Storage {
    Folder(#[expect(dead_code, reason = "deleted on drop")] tempfile::TempDir),
    OnServer {
        server: String,
        name: String,
    },
    /// Owned by another `Database`.
    Shared,
}

impl Database {
    /// An empty SQLite database.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join(FILE).display());
        Self {
            url,
            storage: Storage::Folder(folder),
        }
    }

    /// A SQLite database with all tables: a copy of one that is migrated once per run.
    pub async fn migrated_sqlite() -> Self {
        static MIGRATED: OnceCell<Vec<u8>> = OnceCell::const_new();
        let migrated = MIGRATED.get_or_init(async || {
            let first = Self::sqlite();
            Db::open(&first.url).await.unwrap().close().await;
            std::fs::read(first.file()).unwrap()
        });
        let copy = Self::sqlite();
        std::fs::write(copy.file(), migrated.await).unwrap();
        copy
    }

    fn file(&self) -> &str {
        self.url.strip_prefix("sqlite://").unwrap()
    }

    /// An empty PostgreSQL database. Needs `TEST_POSTGRES_URL`, which `scripts/with-services.sh` sets: a server on
    /// which databases can be created.
    pub async fn postgres() -> Self {
        Self::on_postgres("").await
    }

    /// A PostgreSQL database with all tables: a copy of one that is migrated once per run and stays on the server.
    pub async fn migrated_postgres() -> Self {
        static MIGRATED: OnceCell<String> = OnceCell::const_new();
        let migrated = MIGRATED.get_or_init(async || {
            let first = Self::postgres().await;
            Db::open(&first.url).await.unwrap().close().await;
            first.url.rsplit_once('/').unwrap().1.to_owned()
        });
        Self::on_postgres(&format!("TEMPLATE {}", migrated.await)).await
    }

    async fn on_postgres(options: &str) -> Self {
        let server = std::env::var("TEST_POSTGRES_URL")
            .expect("TEST_POSTGRES_URL is not set: run the tests by `make unit`");
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        execute(&server, &format!("CREATE DATABASE {name} {options}")).await;
        let (host, _) = server.rsplit_once('/').unwrap();
        Self {
            url: format!("{host}/{name}"),
            storage: Storage::OnServer { server, name },
        }
    }

    /// The same database for another process of the shop.
    pub fn shared(&self) -> Self {
        Self {
            url: self.url.clone(),
            storage: Storage::Shared,
        }
    }

    pub async fn drop(self) {
        if let Storage::OnServer { server, name } = self.storage {
            execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn execute(server: &str, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(server).await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}
