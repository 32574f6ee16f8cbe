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
const SOON: Duration = Duration::from_secs(10);

/// Made for these tests: an authority, and a certificate of it for `localhost`, until 2126.
fn certificate(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/it/certificates").join(name)
}

fn trust() -> Trust {
    Trust::new(Some(&certificate("authority.pem")), Vec::new()).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate("localhost.pem"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate("localhost.key")).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The exchange before TLS begins.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// PostgreSQL's request for TLS, eight bytes, and the letter that grants it.
    PostgresRequest,
}

/// Terminates TLS in front of `target`. Returns the port and the task, which must be aborted at the end.
async fn tls_in_front_of(target: String, before: Before) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let target = target.clone();
            tokio::spawn(async move {
                if matches!(before, Before::PostgresRequest) {
                    let mut request = [0; 8];
                    client.read_exact(&mut request).await.unwrap();
                    client.write_all(b"S").await.unwrap();
                }
                if let Ok(mut client) = acceptor().accept(client).await {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_verified_to_the_full() {
    let database = Database::postgres().await;
    let (user, after) = database.url.rsplit_once('@').unwrap();
    let (behind, name) = after.rsplit_once('/').unwrap();
    let (port, line) = tls_in_front_of(behind.to_owned(), Before::PostgresRequest).await;
    let own = certificate("authority.pem");
    let url = |host: &str, mode: &str, own: Option<&PathBuf>| {
        let own = own.map_or(String::new(), |own| {
            format!("&sslrootcert={}", own.display())
        });
        format!("{user}@{host}:{port}/{name}?sslmode={mode}{own}")
    };
    let db = Db::connect(&url("localhost", "verify-full", Some(&own)))
        .await
        .unwrap();
    db.close().await;
    for refused in [
        // A certificate of an unknown authority, and one for another host.
        url("localhost", "verify-full", None),
        url("127.0.0.1", "verify-full", Some(&own)),
    ] {
        let error = Db::connect(&refused).await.err().unwrap();
        assert!(!error.is_transient(), "{refused}: {error:?}");
    }
    line.abort();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_spoken_to_by_tls() {
    let redis = PrivateRedis::start().await;
    let behind = redis
        .url
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned();
    let (port, line) = tls_in_front_of(behind, Before::Nothing).await;
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
    assert!(answers("localhost", &trust()).await);
    let other = Redis::new(&format!("rediss://localhost:{port}"), &Trust::default()).unwrap();
    assert!(!other.answers().await);
    let other = Redis::new(&format!("rediss://127.0.0.1:{port}"), &trust()).unwrap();
    assert!(!other.answers().await);
    line.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_spoken_to_by_tls() {
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nauthorization {{ user: ann, password: pw }}",
        certificate("localhost.pem").display(),
        certificate("localhost.key").display(),
    );
    let broker = Broker::start_with(&config).await;
    let at = broker.url().replace("nats://127.0.0.1", "localhost");
    let is_there = async |trust: &Trust| {
        let nats = Nats::connect(&format!("tls://ann:pw@{at}"), trust)
            .await
            .unwrap();
        let there = async {
            while !nats.is_connected() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, there).await.is_ok()
    };
    assert!(is_there(&trust()).await);
    assert!(!is_there(&Trust::default()).await);
}

/// Connects to a NATS without TLS. Returns everything that it received.
async fn heard_by_a_plain_nats(host: &str, trust: &Trust) -> String {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let nats = Nats::connect(&format!("nats://ann:secret@{host}:{port}"), trust)
        .await
        .unwrap();
    let (mut client, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let info = "INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.9.10\",\"go\":\"x\",\
                \"host\":\"x\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1}\r\n";
    client.write_all(info.as_bytes()).await.unwrap();
    let mut heard = vec![0; 4096];
    let read = timeout(SOON, client.read(&mut heard)).await;
    drop(nats);
    let read = read.map_or(0, |read| read.unwrap_or(0));
    String::from_utf8_lossy(&heard[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_told_to_a_nats_without_tls() {
    // Not a loopback address by its name, although it is on this machine.
    let heard = heard_by_a_plain_nats("0.0.0.0", &Trust::default()).await;
    assert!(
        !heard.contains("secret") && !heard.contains("CONNECT"),
        "{heard}"
    );
    let named = Trust::new(None, vec!["0.0.0.0".to_owned()]).unwrap();
    for (host, trust) in [("127.0.0.1", Trust::default()), ("0.0.0.0", named)] {
        let heard = heard_by_a_plain_nats(host, &trust).await;
        assert!(heard.contains("secret"), "{heard}");
    }
}

fn mail() -> Outgoing {
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
async fn a_mail_server_of_ones_own_authority_is_trusted_once_it_is_named() {
    let (behind, heard) = mail_server("AUTH PLAIN").await;
    let (port, line) = tls_in_front_of(format!("127.0.0.1:{behind}"), Before::Nothing).await;
    let url = format!("smtps://shop:password@localhost:{port}");
    let of_nobody = Smtp::new(&url, "tickets.example", &Trust::default()).unwrap();
    of_nobody.send(&mail()).await.unwrap_err();
    let trusted = Smtp::new(&url, "tickets.example", &trust()).unwrap();
    trusted.send(&mail()).await.unwrap();
    drop(trusted);
    line.abort();
    let (commands, message) = timeout(SOON, heard).await.unwrap().unwrap();
    assert!(commands[1].starts_with("AUTH PLAIN"), "{commands:?}");
    assert!(message.contains("Here they are."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_told_to_a_mail_server_without_tls() {
    for parameter in ["", "?tls=required", "?TLS=required", "?Tls=Required"] {
        let (port, heard) = mail_server("AUTH PLAIN").await;
        let url = format!("smtp://shop:password@0.0.0.0:{port}{parameter}");
        let smtp = Smtp::new(&url, "tickets.example", &Trust::default()).unwrap();
        smtp.send(&mail()).await.unwrap_err();
        drop(smtp);
        let (commands, _) = timeout(SOON, heard).await.unwrap().unwrap();
        assert!(
            commands.iter().all(|command| !command.starts_with("AUTH")),
            "{parameter}: {commands:?}"
        );
    }
}
