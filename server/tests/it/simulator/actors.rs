//! Actors: futures that pause at every named point until the scheduler resumes them.

use platform::crash;
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

type Leave = oneshot::Sender<()>;

pub struct Actor {
    pub name: String,
    handle: JoinHandle<String>,
    stops: mpsc::UnboundedReceiver<(&'static str, Leave)>,
    leave: Option<Leave>,
}

/// Where an actor has stopped.
pub enum Stopped {
    /// At this point, where it waits.
    AtPoint(&'static str),
    /// At its end, with this outcome.
    AtEnd(String),
}

impl Actor {
    /// Creates an actor. It starts to run when it is first resumed.
    pub fn start(name: String, work: impl Future<Output = String> + Send + 'static) -> Self {
        let (stopped, stops) = mpsc::unbounded_channel();
        let stopped = Arc::new(Mutex::new(stopped));
        let watch: crash::Watch = Arc::new(move |point| {
            let (leave, may_leave) = oneshot::channel();
            let told = stopped.lock().unwrap().send((point, leave));
            let wait: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                // The scheduler has ended: continue.
                if told.is_ok() {
                    let _ = may_leave.await;
                }
            });
            wait
        });
        Self {
            name,
            handle: tokio::spawn(crash::watched(watch, work)),
            stops,
            leave: None,
        }
    }

    /// Resumes it until its next point or its end, while all other actors are paused.
    pub async fn go_on(&mut self) -> Stopped {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(());
        }
        tokio::select! {
            // A point that was reached comes before an end that was reached after it.
            biased;
            Some((point, leave)) = self.stops.recv() => {
                self.leave = Some(leave);
                Stopped::AtPoint(point)
            }
            ended = &mut self.handle => Stopped::AtEnd(ended.unwrap_or_else(|error| format!("{error}"))),
        }
    }

    /// Never resumes it, as if its process had died.
    pub fn cut_off(self) {
        self.handle.abort();
    }
}
