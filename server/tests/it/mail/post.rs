//! Receives mails in tests: a transport that fails a given number of times, a parser of mails, and SMTP servers.

use base64::{Engine, prelude::BASE64_STANDARD};
use platform::trust::Trust;
use shop::mail::{Outgoing, SendError, Smtp, Transport};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Stores the mails that are sent, after a given number of failures.
#[derive(Default)]
pub struct Postbox {
    failures_left: AtomicUsize,
    calls: AtomicUsize,
    received: Mutex<Vec<Letter>>,
}

impl Postbox {
    pub fn failing(times: usize) -> Arc<Self> {
        let new = Self::default();
        new.failures_left.store(times, Ordering::SeqCst);
        Arc::new(new)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn letters(&self) -> Vec<Letter> {
        self.received.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn only(&self) -> Letter {
        let letters = self.letters();
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters[0].clone()
    }
}

#[async_trait::async_trait]
impl Transport for Postbox {
    async fn send(&self, mail: &Outgoing) -> Result<(), SendError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        // Long enough for a concurrent call to overlap.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let left = self.failures_left.load(Ordering::SeqCst);
        if left > 0 {
            self.failures_left.store(left - 1, Ordering::SeqCst);
            return Err(SendError::new("the mail server is on fire"));
        }
        let letter = Letter::read(&mail.message.formatted());
        self.received.lock().unwrap().push(letter);
        Ok(())
    }
}

/// A parsed mail.
#[derive(Debug, Clone)]
pub struct Letter {
    pub headers: HashMap<String, String>,
    pub text: String,
    pub html: String,
    /// Content type and content of each attachment.
    pub enclosed: Vec<(String, Vec<u8>)>,
}

impl Letter {
    /// The token in the mail's link to the page at `path`.
    pub fn token(&self, path: &str) -> Option<String> {
        let after = self.text.split(&format!("{path}?token=")).nth(1)?;
        after.split_whitespace().next().map(str::to_owned)
    }

    pub fn read(bytes: &[u8]) -> Self {
        let message = std::str::from_utf8(bytes).unwrap();
        assert!(message.is_ascii(), "the mail is not ASCII");
        let (headers, body) = part(message);
        let kind = &headers["content-type"];
        let mut parts = split(kind, &body);
        let mut content = (kind.clone(), body.clone());
        let mut enclosed = Vec::new();
        if kind.starts_with("multipart/mixed") {
            let (inner, body) = part(&parts.remove(0));
            content = (inner["content-type"].clone(), body);
            enclosed = parts.iter().map(|part| attachment(part)).collect();
        }
        assert!(content.0.starts_with("multipart/alternative"));
        let parts = split(&content.0, &content.1);
        assert_eq!(parts.len(), 2, "not a text and an HTML part: {message}");
        Self {
            text: decoded(&parts[0], "text/plain"),
            html: decoded(&parts[1], "text/html"),
            headers,
            enclosed,
        }
    }

    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.text.contains(word), "{word}: {}", self.text);
            assert!(self.html.contains(word), "{word}: {}", self.html);
        }
    }
}

/// The parts of a multipart body.
fn split(kind: &str, body: &str) -> Vec<String> {
    let boundary = kind.split("boundary=\"").nth(1).unwrap();
    let boundary = format!("--{}", boundary.split('"').next().unwrap());
    let parts: Vec<String> = body.split(&boundary).map(str::to_owned).collect();
    parts[1..parts.len() - 1].to_vec()
}

fn attachment(message: &str) -> (String, Vec<u8>) {
    let (headers, body) = part(message);
    assert!(headers["content-disposition"].starts_with("attachment"));
    (headers["content-type"].clone(), bytes(&headers, body))
}

fn part(message: &str) -> (HashMap<String, String>, String) {
    let (head, body) = message.trim_start().split_once("\r\n\r\n").unwrap();
    let mut headers = HashMap::new();
    for line in head
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ")
        .split("\r\n")
    {
        let (name, value) = line.split_once(':').unwrap();
        let before = headers.insert(name.to_lowercase(), value.trim().to_owned());
        assert!(before.is_none(), "duplicate header {name}");
    }
    (headers, body.to_owned())
}

fn decoded(message: &str, kind: &str) -> String {
    let (headers, body) = part(message);
    assert!(headers["content-type"].starts_with(kind), "{headers:?}");
    String::from_utf8(bytes(&headers, body)).unwrap()
}

fn bytes(headers: &HashMap<String, String>, body: String) -> Vec<u8> {
    match headers["content-transfer-encoding"].as_str() {
        "7bit" => body.into_bytes(),
        "base64" => BASE64_STANDARD.decode(body.replace("\r\n", "")).unwrap(),
        "quoted-printable" => decode_quoted_printable(&body.replace("=\r\n", "")),
        other => panic!("{other}"),
    }
}

fn decode_quoted_printable(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let code = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&code).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

/// Starts a mail server for one connection. Its task returns the commands and the message that it received.
pub async fn mail_server(offers: &'static str) -> (u16, JoinHandle<(Vec<String>, String)>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_connection(stream, offers).await
    });
    (port, received)
}

async fn serve_connection(stream: TcpStream, offers: &str) -> (Vec<String>, String) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut commands, mut message, mut in_message) = (Vec::new(), String::new(), false);
    write.write_all(b"220 mail.example\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        if in_message && line != "." {
            // A line that begins with a dot is sent with two.
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push_str("\r\n");
            continue;
        }
        in_message = line == "DATA";
        let reply = match line.split([' ', ':']).next().unwrap() {
            "EHLO" => format!("250-mail.example\r\n250-{offers}\r\n250 8BITMIME\r\n"),
            "AUTH" => "235 welcome\r\n".to_owned(),
            "DATA" => "354 go on\r\n".to_owned(),
            "QUIT" => "221 bye\r\n".to_owned(),
            _ => "250 fine\r\n".to_owned(),
        };
        commands.push(line);
        if write.write_all(reply.as_bytes()).await.is_err() {
            break;
        }
    }
    (commands, message)
}

/// A mail server for any number of connections, with configurable replies.
pub struct MailServer {
    port: u16,
    script: Arc<Script>,
    _serving: tokio::task::JoinSet<()>,
}

#[derive(Default)]
struct Script {
    /// Replies by command; the greeting's command is empty.
    answers: Mutex<HashMap<String, String>>,
    received: Mutex<Vec<String>>,
}

impl MailServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script::default());
        let mut serving = tokio::task::JoinSet::new();
        let shared = script.clone();
        serving.spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve_connection_by_script(stream, shared.clone()));
            }
        });
        Self {
            port,
            script,
            _serving: serving,
        }
    }

    /// The shop's transport to this server.
    pub fn smtp(&self) -> Smtp {
        let url = format!("smtp://127.0.0.1:{}", self.port);
        Smtp::new(&url, "tickets.example", &Trust::default()).unwrap()
    }

    /// Sets the reply to a command; the empty command is the greeting.
    pub fn answers(&self, command: &str, reply: &str) {
        let mut answers = self.script.answers.lock().unwrap();
        answers.insert(command.to_owned(), reply.to_owned());
    }

    /// How often the server has received a command.
    pub fn received(&self, command: &str) -> usize {
        let received = self.script.received.lock().unwrap();
        received.iter().filter(|word| *word == command).count()
    }
}

impl Script {
    fn reply(&self, command: &str) -> String {
        self.received.lock().unwrap().push(command.to_owned());
        let set = self.answers.lock().unwrap().get(command).cloned();
        let usual = match command {
            "" => "220 mail.example",
            "EHLO" => "250-mail.example\r\n250 8BITMIME",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        set.unwrap_or_else(|| usual.to_owned()) + "\r\n"
    }
}

async fn serve_connection_by_script(stream: TcpStream, script: Arc<Script>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut in_message = false;
    let _ = write.write_all(script.reply("").as_bytes()).await;
    while let Ok(Some(line)) = lines.next_line().await {
        if in_message && line != "." {
            continue;
        }
        in_message = line == "DATA";
        let command = line.split([' ', ':']).next().unwrap();
        if write
            .write_all(script.reply(command).as_bytes())
            .await
            .is_err()
        {
            break;
        }
    }
}
