//! Named points at which a process can be made to die, for tests of what it leaves behind.
//!
//! Only in builds with debug assertions; in a release a point is nothing. `STAGEDOOR_CRASH_AT`
//! names the point and at which time it is fatal: `call_answered:3`. A simulator can watch the
//! points instead (`watched`) and stop a future there for ever, as if its process had died.

#[cfg(debug_assertions)]
mod armed {
    use std::{
        future::Future,
        pin::Pin,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    /// Dies at the `nth` time that `name` is reached.
    struct Armed {
        name: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    tokio::task_local! {
        static WATCH: Watch;
    }

    /// What a simulator does at each point: waits for ever, or goes on.
    pub type Watch = std::sync::Arc<
        dyn Fn(&'static str) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync,
    >;

    /// Arms a point: `name:nth`, or `name` for the first time. False: it does not read.
    pub fn arm(at: &str) -> bool {
        let (name, nth) = at.split_once(':').unwrap_or((at, "1"));
        let Ok(nth) = nth.parse::<u64>() else {
            return false;
        };
        let armed = Armed {
            name: name.to_owned(),
            left: AtomicU64::new(nth),
        };
        nth > 0 && ARMED.set(armed).is_ok()
    }

    /// Runs `work` with `watch` at its points.
    pub async fn watched<T>(watch: Watch, work: impl Future<Output = T>) -> T {
        WATCH.scope(watch, work).await
    }

    pub(super) async fn reach(name: &'static str) {
        if let Some(armed) = ARMED.get()
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // As a SIGKILL: nothing is flushed, nobody is told.
            std::process::abort();
        }
        if let Ok(stop) = WATCH.try_with(|watch| watch(name)) {
            stop.await;
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{Watch, arm, watched};

/// A point at which the process may be made to die.
#[allow(
    clippy::unused_async,
    reason = "in a release there is nothing to wait for"
)]
#[cfg_attr(
    not(debug_assertions),
    expect(unused_variables, reason = "a release has no points")
)]
pub async fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::reach(name).await;
}
