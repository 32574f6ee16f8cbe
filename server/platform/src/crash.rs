//! Crash points: named places at which a test can abort the process, to check what it leaves behind.
//!
//! They exist only in builds with debug assertions; in a release they do nothing. `STAGEDOOR_CRASH_AT`
//! names the point and the visit at which to abort: `call_answered:3`. A simulator can watch the
//! points instead (`watched`) and suspend a future there forever, as if its process had died.

/// Why a crash point could not be armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    #[error("not a crash point like call_answered or call_answered:3")]
    Invalid,
    #[error("a crash point is already armed in this process")]
    AlreadyArmed,
    #[error("this build has no crash points")]
    NotSupported,
}

#[cfg(debug_assertions)]
mod armed {
    use super::ArmError;
    use std::{
        future::Future,
        pin::Pin,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    /// Aborts the process when `name` is reached for the nth time.
    struct Armed {
        name: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    tokio::task_local! {
        static WATCH: Watch;
    }

    /// What a simulator does at each point: returns, or suspends the future forever.
    pub type Watch = std::sync::Arc<
        dyn Fn(&'static str) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync,
    >;

    /// Arms a point: `name:nth`, or `name` for the first visit.
    pub fn arm(at: &str) -> Result<(), ArmError> {
        let (name, nth) = read(at).ok_or(ArmError::Invalid)?;
        let armed = Armed {
            name: name.to_owned(),
            left: AtomicU64::new(nth),
        };
        ARMED.set(armed).map_err(|_| ArmError::AlreadyArmed)
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

    /// Runs `work`, calling `watch` at each point that it reaches.
    pub async fn watched<T>(watch: Watch, work: impl Future<Output = T>) -> T {
        WATCH.scope(watch, work).await
    }

    pub(super) async fn reach(name: &'static str) {
        if let Some(armed) = ARMED.get()
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // Like SIGKILL: no buffers are flushed and no destructors run.
            std::process::abort();
        }
        if let Ok(stop) = WATCH.try_with(|watch| watch(name)) {
            stop.await;
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{Watch, arm, watched};

/// Always fails: a release has no crash points.
#[cfg(not(debug_assertions))]
pub fn arm(_: &str) -> Result<(), ArmError> {
    Err(ArmError::NotSupported)
}

/// A place at which a test may abort the process. Does nothing in a release.
#[allow(
    clippy::unused_async,
    reason = "in a release there is nothing to await"
)]
#[cfg_attr(
    not(debug_assertions),
    expect(unused_variables, reason = "a release has no crash points")
)]
pub async fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::reach(name).await;
}

#[cfg(test)]
mod tests {
    #[cfg(debug_assertions)]
    #[test]
    fn a_point_is_a_name_with_an_optional_count() {
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
        assert_eq!(super::arm("settled"), Err(super::ArmError::NotSupported));
    }
}
