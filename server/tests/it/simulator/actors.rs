//! Actors: futures that stop at every named point until the scheduler lets them go on.

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

/// Somebody who is doing something.
pub struct Actor {
    pub name: String,
    handle: JoinHandle<String>,
    stops: mpsc::UnboundedReceiver<(&'static str, Leave)>,
    leave: Option<Leave>,
}

/// How far an actor has come.
pub enum Came {
    /// To this point, where it waits.
    To(&'static str),
    /// To its end, with this outcome.
    ToEnd(String),
}

impl Actor {
    /// Starts an actor; it runs until its first point, or its end, once it is let on.
    pub fn start(name: String, work: impl Future<Output = String> + Send + 'static) -> Self {
        let (stopped, stops) = mpsc::unbounded_channel();
        let stopped = Arc::new(Mutex::new(stopped));
        let watch: crash::Watch = Arc::new(move |point| {
            let (leave, may_leave) = oneshot::channel();
            let told = stopped.lock().unwrap().send((point, leave));
            let wait: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                // Nobody schedules any more: the actor goes on by itself.
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

    /// Lets it go on to its next point or its end; everybody else stands still meanwhile.
    pub async fn go_on(&mut self) -> Came {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(());
        }
        tokio::select! {
            // A point that was reached comes before an end that was reached after it.
            biased;
            Some((point, leave)) = self.stops.recv() => {
                self.leave = Some(leave);
                Came::To(point)
            }
            ended = &mut self.handle => Came::ToEnd(ended.unwrap_or_else(|error| format!("{error}"))),
        }
    }

    /// It never goes on: as if its process had died.
    pub fn cut_off(self) {
        self.handle.abort();
    }
}
