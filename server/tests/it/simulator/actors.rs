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

type Resume = oneshot::Sender<()>;

pub struct Actor {
    pub name: String,
    handle: JoinHandle<String>,
    stops: mpsc::UnboundedReceiver<(&'static str, Resume)>,
    resume: Option<Resume>,
}

/// Where an actor has stopped.
pub enum Stopped {
    /// At this point, until it is resumed.
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
            let (resume, resumed) = oneshot::channel();
            let sent = stopped.lock().unwrap().send((point, resume));
            let wait: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                // Fails only after the scheduler has ended; then the actor continues.
                if sent.is_ok() {
                    let _ = resumed.await;
                }
            });
            wait
        });
        Self {
            name,
            handle: tokio::spawn(crash::watched(watch, work)),
            stops,
            resume: None,
        }
    }

    /// Resumes the actor until its next point or its end, while all other actors are paused.
    pub async fn resume(&mut self) -> Stopped {
        if let Some(resume) = self.resume.take() {
            let _ = resume.send(());
        }
        tokio::select! {
            // Reports a point before the end if both have been reached.
            biased;
            Some((point, resume)) = self.stops.recv() => {
                self.resume = Some(resume);
                Stopped::AtPoint(point)
            }
            ended = &mut self.handle => Stopped::AtEnd(ended.unwrap_or_else(|error| format!("{error}"))),
        }
    }

    /// Ends the actor at its current point, as if its process had been killed.
    pub fn abort(self) {
        self.handle.abort();
    }
}
