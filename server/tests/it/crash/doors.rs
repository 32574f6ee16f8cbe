//! Where a shop of one or more processes is reached: what a load balancer knows of them, and how it
//! finds it out.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::watch;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The doors, and which of them are open.
pub struct Doors {
    bases: Vec<String>,
    open: watch::Sender<Vec<bool>>,
    next: AtomicUsize,
}

impl Doors {
    /// Doors that count as open until somebody watches them.
    pub fn to<'a>(bases: impl IntoIterator<Item = &'a String>) -> Self {
        let bases: Vec<String> = bases.into_iter().cloned().collect();
        Self {
            open: watch::Sender::new(vec![true; bases.len()]),
            bases,
            next: AtomicUsize::new(0),
        }
    }

    /// The first.
    pub fn any(&self) -> &str {
        &self.bases[0]
    }

    /// Those that are open, each time another first.
    pub fn in_turn(&self) -> Vec<String> {
        let open = self.open.borrow();
        let count = self.bases.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (first..first + count)
            .map(|number| number % count)
            .filter(|number| open[*number])
            .map(|number| self.bases[number].clone())
            .collect()
    }

    /// Asks each whether it is ready, for ever, as a load balancer does.
    pub async fn watch(&self) {
        let http = reqwest::Client::builder()
            .timeout(ANSWERS_WITHIN)
            .build()
            .unwrap();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        loop {
            tick.tick().await;
            for (number, base) in self.bases.iter().enumerate() {
                let answer = http.get(format!("{base}/readyz")).send().await;
                let is_open = answer.is_ok_and(|answer| answer.status().is_success());
                self.open.send_if_modified(|open| {
                    let was_open = std::mem::replace(&mut open[number], is_open);
                    was_open != is_open
                });
            }
        }
    }

    /// Waits until whoever watches has found that this one is open, or is not.
    pub async fn until(&self, number: usize, is_open: bool) {
        let mut open = self.open.subscribe();
        let found = open.wait_for(|open| open[number] == is_open);
        found.await.unwrap();
    }
}
