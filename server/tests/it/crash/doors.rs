//! The URLs of a shop of one or more processes, and which of them are ready, as a load balancer
//! knows it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

pub struct ShopUrls {
    urls: Vec<String>,
    ready: watch::Sender<Vec<bool>>,
    next: AtomicUsize,
}

impl ShopUrls {
    /// All count as ready unless [`ShopUrls::poll_readiness`] runs.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a String>) -> Self {
        let urls: Vec<String> = urls.into_iter().cloned().collect();
        Self {
            ready: watch::Sender::new(vec![true; urls.len()]),
            urls,
            next: AtomicUsize::new(0),
        }
    }

    pub fn first(&self) -> &str {
        &self.urls[0]
    }

    /// Lists the URLs that are ready. Each call starts at the next URL.
    pub fn list_ready(&self) -> Vec<String> {
        let ready = self.ready.borrow();
        let count = self.urls.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (first..first + count)
            .map(|number| number % count)
            .filter(|number| ready[*number])
            .map(|number| self.urls[number].clone())
            .collect()
    }

    /// Requests `/readyz` of each process without end, as a load balancer does.
    pub async fn poll_readiness(&self) {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .unwrap();
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        loop {
            tick.tick().await;
            for (number, url) in self.urls.iter().enumerate() {
                let answer = http.get(format!("{url}/readyz")).send().await;
                let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
                self.ready.send_if_modified(|ready| {
                    let was_ready = std::mem::replace(&mut ready[number], is_ready);
                    was_ready != is_ready
                });
            }
        }
    }

    /// Waits until [`ShopUrls::poll_readiness`] has found that this process is ready, or is not.
    pub async fn wait_for_readiness(&self, number: usize, is_ready: bool) {
        let mut ready = self.ready.subscribe();
        let found = ready.wait_for(|ready| ready[number] == is_ready);
        found.await.unwrap();
    }
}
