//! How much of something scarce each account or network address has at once, so that none of them has
//! all of it. Counted in this process only. Owns the counts and no policy: who takes a share says how
//! large it may be.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The shares of holders that are known by `K`.
#[derive(Debug)]
pub struct Shares<K> {
    held: Mutex<HashMap<K, usize>>,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// One more for `holder`, until it is dropped; none if it has `most` already.
    pub fn take(self: &Arc<Self>, holder: K, most: usize) -> Option<Share<K>> {
        let mut held = self.held();
        let count = held.get(&holder).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        held.insert(holder.clone(), count + 1);
        Some(Share {
            of: self.clone(),
            holder,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that its holder has, given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Hash + Eq + Clone> {
    of: Arc<Shares<K>>,
    holder: K,
}

impl<K: Hash + Eq + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.held();
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_share_of_its_own_and_gives_it_back() {
        let shares = Arc::new(Shares::default());
        let first = shares.take("ann", 2).unwrap();
        let second = shares.take("ann", 2).unwrap();
        assert!(shares.take("ann", 2).is_none());
        let other = shares.take("bob", 2).unwrap();
        drop(first);
        let third = shares.take("ann", 2).unwrap();
        assert!(shares.take("ann", 2).is_none());
        drop((second, third, other));
        assert!(
            shares.held().is_empty(),
            "nothing is kept of who has nothing"
        );
    }
}
