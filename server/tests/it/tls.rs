//! TLS to other servers: certificates of a configured authority are accepted, others and those for
//! another host are refused, and no password is sent to a server without TLS.

use crate::{
    expiry::Redis as PrivateRedis,
    mail::post::mail_server,
    support::{broker::Broker, database::Database},
};
use lettre::Message;
use model::ids::MailId;
use platform::{db::Db, outbox::Nats, redis_client::Redis, trust::Trust};
use shop::mail::{Kind, Outgoing, Smtp, Transport};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Long enough for a handshake on two busy cores.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An authority made for these tests, and its certificate for `localhost`, valid until 2126.
fn certificate_path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/it/certificates").join(name)
}

fn trust_authority() -> Trust {
    Trust::new(Some(&certificate_path("authority.pem")), Vec::new()).unwrap()
}

fn create_acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate_path("localhost.pem"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate_path("localhost.key")).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The exchange before TLS begins.
#[derive(Clone, Copy)]
enum BeforeTls {
    Nothing,
    /// PostgreSQL's request for TLS, eight bytes, and the letter that grants it.
    PostgresRequest,
}

/// Terminates TLS in front of `target`. Returns the port and the task, which must be aborted at the end.
async fn start_tls_proxy(target: String, before: BeforeTls) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let target = target.clone();
            tokio::spawn(async move {
                if matches!(before, BeforeTls::PostgresRequest) {
                    let mut request = [0; 8];
                    client.read_exact(&mut request).await.unwrap();
                    client.write_all(b"S").await.unwrap();
                }
                if let Ok(mut client) = create_acceptor().accept(client).await {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_and_host_name_of_postgres_are_verified() {
    let database = Database::postgres().await;
    let (user, after) = database.url.rsplit_once('@').unwrap();
    let (behind, name) = after.rsplit_once('/').unwrap();
    let (port, proxy) = start_tls_proxy(behind.to_owned(), BeforeTls::PostgresRequest).await;
    let authority = certificate_path("authority.pem");
    let url = |host: &str, mode: &str, authority: Option<&PathBuf>| {
        let authority = authority.map_or(String::new(), |authority| {
            format!("&sslrootcert={}", authority.display())
        });
        format!("{user}@{host}:{port}/{name}?sslmode={mode}{authority}")
    };
    let db = Db::connect(&url("localhost", "verify-full", Some(&authority)))
        .await
        .unwrap();
    db.close().await;
    for refused in [
        // A certificate of an unknown authority, and one for another host.
        url("localhost", "verify-full", None),
        url("127.0.0.1", "verify-full", Some(&authority)),
    ] {
        let error = Db::connect(&refused).await.err().unwrap();
        assert!(!error.is_transient(), "{refused}: {error:?}");
    }
    proxy.abort();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_and_host_name_of_redis_are_verified() {
    let redis = PrivateRedis::start().await;
    let behind = redis
        .url
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned();
    let (port, proxy) = start_tls_proxy(behind, BeforeTls::Nothing).await;
    let answers = async |host: &str, trust: &Trust| {
        let redis = Redis::new(&format!("rediss://{host}:{port}"), trust).unwrap();
        for _ in 0..5 {
            if redis.answers().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        false
    };
    assert!(answers("localhost", &trust_authority()).await);
    let other = Redis::new(&format!("rediss://localhost:{port}"), &Trust::default()).unwrap();
    assert!(!other.answers().await);
    let other = Redis::new(&format!("rediss://127.0.0.1:{port}"), &trust_authority()).unwrap();
    assert!(!other.answers().await);
    proxy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_nats_is_verified() {
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nauthorization {{ user: ann, password: pw }}",
        certificate_path("localhost.pem").display(),
        certificate_path("localhost.key").display(),
    );
    let broker = Broker::start_with(&config).await;
    let address = broker.url().replace("nats://127.0.0.1", "localhost");
    let is_there = async |trust: &Trust| {
        let nats = Nats::connect(&format!("tls://ann:pw@{address}"), trust)
            .await
            .unwrap();
        let there = async {
            while !nats.is_connected() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TIMEOUT, there).await.is_ok()
    };
    assert!(is_there(&trust_authority()).await);
    assert!(!is_there(&Trust::default()).await);
}

/// Connects to a NATS without TLS. Returns everything that it received.
async fn connect_to_plain_nats(host: &str, trust: &Trust) -> String {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let nats = Nats::connect(&format!("nats://ann:secret@{host}:{port}"), trust)
        .await
        .unwrap();
    let (mut client, _) = timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
    let info = "INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.9.10\",\"go\":\"x\",\
                \"host\":\"x\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1}\r\n";
    client.write_all(info.as_bytes()).await.unwrap();
    let mut received = vec![0; 4096];
    let read = timeout(TIMEOUT, client.read(&mut received)).await;
    drop(nats);
    let read = read.map_or(0, |read| read.unwrap_or(0));
    String::from_utf8_lossy(&received[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_sent_to_a_nats_without_tls() {
    // Not a loopback address by its name, although it is on this machine.
    let received = connect_to_plain_nats("0.0.0.0", &Trust::default()).await;
    assert!(
        !received.contains("secret") && !received.contains("CONNECT"),
        "{received}"
    );
    let named = Trust::new(None, vec!["0.0.0.0".to_owned()]).unwrap();
    for (host, trust) in [("127.0.0.1", Trust::default()), ("0.0.0.0", named)] {
        let received = connect_to_plain_nats(host, &trust).await;
        assert!(received.contains("secret"), "{received}");
    }
}

fn create_mail() -> Outgoing {
    let message = Message::builder()
        .from("tickets@tickets.example".parse().unwrap())
        .to("ann@example.com".parse().unwrap())
        .subject("Your tickets")
        .body("Here they are.".to_owned())
        .unwrap();
    Outgoing {
        id: MailId(uuid::Uuid::nil()),
        kind: Kind::OrderComplete,
        written_at: "2031-01-01T12:00:00Z".parse().unwrap(),
        message,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_is_trusted_if_its_authority_is_configured() {
    let (behind, received) = mail_server("AUTH PLAIN").await;
    let (port, proxy) = start_tls_proxy(format!("127.0.0.1:{behind}"), BeforeTls::Nothing).await;
    let url = format!("smtps://shop:password@localhost:{port}");
    let untrusting = Smtp::new(&url, "tickets.example", &Trust::default()).unwrap();
    untrusting.send(&create_mail()).await.unwrap_err();
    let trusted = Smtp::new(&url, "tickets.example", &trust_authority()).unwrap();
    trusted.send(&create_mail()).await.unwrap();
    drop(trusted);
    proxy.abort();
    let (commands, message) = timeout(TIMEOUT, received).await.unwrap().unwrap();
    assert!(commands[1].starts_with("AUTH PLAIN"), "{commands:?}");
    assert!(message.contains("Here they are."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_sent_to_a_mail_server_without_tls() {
    for parameter in ["", "?tls=required", "?TLS=required", "?Tls=Required"] {
        let (port, received) = mail_server("AUTH PLAIN").await;
        let url = format!("smtp://shop:password@0.0.0.0:{port}{parameter}");
        let smtp = Smtp::new(&url, "tickets.example", &Trust::default()).unwrap();
        smtp.send(&create_mail()).await.unwrap_err();
        drop(smtp);
        let (commands, _) = timeout(TIMEOUT, received).await.unwrap().unwrap();
        assert!(
            commands.iter().all(|command| !command.starts_with("AUTH")),
            "{parameter}: {commands:?}"
        );
    }
}
