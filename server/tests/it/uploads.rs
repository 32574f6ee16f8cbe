//! Slow uploads of one account or address do not block others.

use crate::support::{App, Client, client::PASSWORD, on_both_engines, path};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the cookies of a new user.
async fn sign_up(app: &App, name: &str) -> String {
    let email = format!("{name}@example.com");
    let body = json!({"email": email, "password": PASSWORD, "name": name});
    let signed_up = app.anonymous().post("/api/user/signup", body).await;
    let cookies = signed_up.headers.get_all("set-cookie").iter();
    let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    pairs.collect::<Vec<_>>().join("; ")
}

/// Begins an upload and stops. Returns the connection and the response so far.
async fn begin_upload(app: &App, to: &str, cookie: &str) -> (TcpStream, String) {
    let host = app.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "PUT {to} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\ncontent-type: image/jpeg\r\n\
         content-length: 1000000\r\n\r\nbeginning"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_millis(300), connection.read(&mut answer)).await;
    let read = read.map_or(0, Result::unwrap);
    (
        connection,
        String::from_utf8(answer[..read].to_vec()).unwrap(),
    )
}

/// Waits until another upload is refused, so that those begun are counted.
async fn wait_until_refused(app: &App, to: &str, cookie: &str) {
    let began = Instant::now();
    loop {
        let (_, answer) = begin_upload(app, to, cookie).await;
        if answer.starts_with("HTTP/1.1 429 ") {
            assert!(answer.contains("retry-after: 10"), "{answer}");
            return;
        }
        assert!(began.elapsed() < TIMEOUT, "nothing is refused: {answer}");
    }
}

async fn is_accepted(creator: &Client, to: &str) -> bool {
    let kind = [("content-type", "image/jpeg")];
    let answer = creator.send("PUT", to, &kind, b"no picture".to_vec()).await;
    assert!([400, 429].contains(&answer.status), "{}", answer.text);
    answer.status == 400
}

on_both_engines! {
    async fn slow_uploads_of_one_account_do_not_block_others(app) {
        let creator = app.user("creator").await;
        let to = format!("{}/picture", path("events", &creator.event().await));
        let slow = sign_up(app, "slow").await;
        app.limits_on();
        let mut connections = Vec::new();
        for _ in 0..2 {
            connections.push(begin_upload(app, &to, &slow).await);
        }
        wait_until_refused(app, &to, &slow).await;
        assert!(is_accepted(&creator, &to).await);
        drop(connections);
        let began = Instant::now();
        while !begin_upload(app, &to, &slow).await.1.is_empty() {
            assert!(began.elapsed() < TIMEOUT, "no slot was released");
        }
    }

    async fn accounts_at_one_address_share_a_limit_of_uploads(app) {
        let creator = app.user("creator").await;
        let to = format!("{}/picture", path("events", &creator.event().await));
        let mut cookies = Vec::new();
        for name in ["a", "b", "c"] {
            cookies.push(sign_up(app, name).await);
        }
        app.limits_on();
        let mut connections = Vec::new();
        for cookie in [&cookies[0], &cookies[0], &cookies[1], &cookies[1]] {
            connections.push(begin_upload(app, &to, cookie).await);
        }
        wait_until_refused(app, &to, &cookies[2]).await;
        drop(connections);
    }
}
