//! Slow uploads of one account or address do not block others.

use crate::support::{App, Client, client::PASSWORD, on_both_engines, path};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const WITHIN: Duration = Duration::from_secs(30);

/// The session cookie of a new user.
async fn signed_up(app: &App, name: &str) -> String {
    let email = format!("{name}@example.com");
    let body = json!({"email": email, "password": PASSWORD, "name": name});
    let signed_up = app.anonymous().post("/api/user/signup", body).await;
    let cookies = signed_up.headers.get_all("set-cookie").iter();
    let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    pairs.collect::<Vec<_>>().join("; ")
}

/// Begins an upload and stops. Returns the connection and the response so far.
async fn begin(app: &App, to: &str, cookie: &str) -> (TcpStream, String) {
    let host = app.base.trim_start_matches("http://");
    let mut line = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "PUT {to} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\ncontent-type: image/jpeg\r\n\
         content-length: 1000000\r\n\r\nbeginning"
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_millis(300), line.read(&mut answer)).await;
    let read = read.map_or(0, Result::unwrap);
    (line, String::from_utf8(answer[..read].to_vec()).unwrap())
}

/// Waits until another upload is refused, so that those begun are counted.
async fn until_refused(app: &App, to: &str, cookie: &str) {
    let began = Instant::now();
    loop {
        let (_, answer) = begin(app, to, cookie).await;
        if answer.starts_with("HTTP/1.1 429 ") {
            assert!(answer.contains("retry-after: 10"), "{answer}");
            return;
        }
        assert!(began.elapsed() < WITHIN, "nothing is refused: {answer}");
    }
}

async fn is_taken(creator: &Client, to: &str) -> bool {
    let kind = [("content-type", "image/jpeg")];
    let answer = creator.send("PUT", to, &kind, b"no picture".to_vec()).await;
    assert!([400, 429].contains(&answer.status), "{}", answer.text);
    answer.status == 400
}

on_both_engines! {
    async fn slow_uploads_of_one_account_leave_places_for_others(app) {
        let creator = app.user("creator").await;
        let to = format!("{}/picture", path("events", &creator.event().await));
        let slow = signed_up(app, "slow").await;
        app.limits_on();
        let mut lines = Vec::new();
        for _ in 0..2 {
            lines.push(begin(app, &to, &slow).await);
        }
        until_refused(app, &to, &slow).await;
        assert!(is_taken(&creator, &to).await);
        drop(lines);
        let began = Instant::now();
        while !begin(app, &to, &slow).await.1.is_empty() {
            assert!(began.elapsed() < WITHIN, "slots are released");
        }
    }

    async fn many_accounts_at_one_address_share_its_places(app) {
        let creator = app.user("creator").await;
        let to = format!("{}/picture", path("events", &creator.event().await));
        let mut cookies = Vec::new();
        for name in ["a", "b", "c"] {
            cookies.push(signed_up(app, name).await);
        }
        app.limits_on();
        let mut lines = Vec::new();
        for cookie in [&cookies[0], &cookies[0], &cookies[1], &cookies[1]] {
            lines.push(begin(app, &to, cookie).await);
        }
        until_refused(app, &to, &cookies[2]).await;
        drop(lines);
    }
}
