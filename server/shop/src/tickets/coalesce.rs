//! One look for all who ask for the same thing at once.
//!
//! In a rush thousands look at one event, and each look counts all of its tickets. Whoever asks
//! while a look is under way shares the next one. That begins after they asked, so nobody is shown
//! anything older than a look of their own would have shown them; nothing is kept, and nothing has
//! to be thrown away when a ticket changes.

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

type Look<V> = BoxFuture<'static, V>;

/// The looks that are waited for, by what is looked at.
pub(crate) struct Coalesce<K, V> {
    last: Mutex<HashMap<K, Last<V>>>,
}

/// The look that was begun or is to begin last.
struct Last<V> {
    /// Gone once nobody waits for it.
    look: WeakShared<Look<V>>,
    has_begun: Arc<AtomicBool>,
}

impl<K, V> Default for Coalesce<K, V> {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> Coalesce<K, V> {
    /// What `look` finds, or the same look of somebody else that has not begun yet.
    pub(crate) async fn look(&self, key: K, look: impl Future<Output = V> + Send + 'static) -> V {
        self.join(key, look).await
    }

    fn join(&self, key: K, look: impl Future<Output = V> + Send + 'static) -> Shared<Look<V>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.get(&key).and_then(|last| {
            let joined = last.look.upgrade()?;
            Some((joined, last.has_begun.load(Ordering::SeqCst)))
        });
        let before = match before {
            Some((joined, false)) => return joined,
            Some((under_way, true)) => Some(under_way),
            None => None,
        };
        let has_begun = Arc::new(AtomicBool::new(false));
        let begins = has_begun.clone();
        let look = async move {
            if let Some(before) = before {
                before.await;
            }
            begins.store(true, Ordering::SeqCst);
            look.await
        };
        let look = look.boxed().shared();
        last.retain(|_, last| last.look.upgrade().is_some());
        if let Some(look) = look.downgrade() {
            last.insert(key, Last { look, has_begun });
        }
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{future::join_all, poll};
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Semaphore;

    /// What is looked at: how often it was, and each look takes until it is let go.
    #[derive(Default)]
    struct Shop {
        looks: AtomicUsize,
        begun: AtomicUsize,
    }

    struct Scene {
        shop: Arc<Shop>,
        go: Arc<Semaphore>,
        coalesce: Coalesce<&'static str, usize>,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                shop: Arc::default(),
                go: Arc::new(Semaphore::new(0)),
                coalesce: Coalesce::default(),
            }
        }

        /// Asks now, whenever it is waited for.
        fn ask(&self, key: &'static str) -> Shared<Look<usize>> {
            let (shop, go) = (self.shop.clone(), self.go.clone());
            self.coalesce.join(key, async move {
                let found = shop.begun.fetch_add(1, Ordering::SeqCst) + 1;
                go.acquire().await.unwrap().forget();
                shop.looks.fetch_add(1, Ordering::SeqCst);
                found
            })
        }

        fn looks(&self) -> usize {
            self.shop.looks.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn who_asks_during_a_look_shares_the_next_one_and_gets_nothing_older() {
        let scene = Scene::new();
        let mut first = scene.ask("event");
        assert!(poll!(&mut first).is_pending(), "it is under way");
        let others: Vec<_> = (0..50).map(|_| scene.ask("event")).collect();
        scene.go.add_permits(2);
        assert_eq!(first.await, 1);
        assert!(join_all(others).await.iter().all(|found| *found == 2));
        assert_eq!(scene.looks(), 2);
    }

    #[tokio::test]
    async fn who_asks_before_a_look_begins_shares_it() {
        let scene = Scene::new();
        let asked = [scene.ask("event"), scene.ask("event")];
        scene.go.add_permits(1);
        assert_eq!(join_all(asked).await, [1, 1]);
    }

    #[tokio::test]
    async fn who_asks_once_nobody_waits_looks_anew() {
        let scene = Scene::new();
        scene.go.add_permits(2);
        assert_eq!(scene.ask("event").await, 1);
        assert_eq!(scene.ask("event").await, 2, "nothing is kept");
    }

    #[tokio::test]
    async fn other_things_are_looked_at_meanwhile() {
        let scene = Scene::new();
        let mut first = scene.ask("event");
        assert!(poll!(&mut first).is_pending());
        let mut other = scene.ask("another");
        assert!(poll!(&mut other).is_pending());
        assert_eq!(scene.shop.begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_goes_away_holds_nobody_up() {
        let scene = Scene::new();
        let mut first = scene.ask("event");
        assert!(poll!(&mut first).is_pending());
        let (mut leaves, stays) = (scene.ask("event"), scene.ask("event"));
        assert!(poll!(&mut leaves).is_pending());
        drop((first, leaves));
        scene.go.add_permits(2);
        assert_eq!(stays.await, 2);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let scene = Scene::new();
        for key in ["a", "b", "c"] {
            let mut asked = scene.ask(key);
            assert!(poll!(&mut asked).is_pending());
        }
        let _asked = scene.ask("d");
        let last = scene.coalesce.last.lock().unwrap();
        assert_eq!(last.keys().collect::<Vec<_>>(), [&"d"]);
    }
}
