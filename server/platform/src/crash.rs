//! Named points at which a process can be made to die, for tests of what it leaves behind.
//!
//! Only in builds with debug assertions; in a release a point is nothing. `STAGEDOOR_CRASH_AT`
//! names the point and at which time it is fatal: `call_answered:3`. A simulator can watch the
//! points instead (`watched`) and stop a future there for ever, as if its process had died.

/// Why no point was armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotArmed {
    /// It is no point's name, with or without a number.
    #[error("it is no name of a crash point like call_answered or call_answered:3")]
    Unreadable,
    /// Only one point can be armed in a process.
    #[error("a crash point is armed already")]
    Again,
    /// Nothing can be made to die in a release.
    #[error("this build has no crash points")]
    Release,
}

#[cfg(debug_assertions)]
mod armed {
    use super::NotArmed;
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

    /// Arms a point: `name:nth`, or `name` for the first time.
    pub fn arm(at: &str) -> Result<(), NotArmed> {
        let (name, nth) = read(at).ok_or(NotArmed::Unreadable)?;
        let armed = Armed {
            name: name.to_owned(),
            left: AtomicU64::new(nth),
        };
        ARMED.set(armed).map_err(|_| NotArmed::Again)
    }

    pub(super) fn read(at: &str) -> Option<(&str, u64)> {
        let (name, nth) = at.split_once(':').unwrap_or((at, "1"));
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        is_name.then_some((name, nth))
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

/// There is nothing to arm.
#[cfg(not(debug_assertions))]
pub fn arm(_: &str) -> Result<(), NotArmed> {
    Err(NotArmed::Release)
}

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

#[cfg(test)]
mod tests {
    #[cfg(debug_assertions)]
    #[test]
    fn a_point_is_a_name_and_perhaps_a_number() {
        use super::armed::read;
        assert_eq!(read("settled"), Some(("settled", 1)));
        assert_eq!(read("call_answered:3"), Some(("call_answered", 3)));
        for wrong in [
            "",
            ":1",
            "settled:",
            "settled:0",
            "settled:-1",
            "Settled",
            "a b",
            "a:1:2",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[cfg(not(debug_assertions))]
    #[test]
    fn a_release_has_no_points() {
        assert_eq!(super::arm("settled"), Err(super::NotArmed::Release));
    }
}
