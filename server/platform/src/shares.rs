//! Limits how much of a scarce resource each account or network address uses at once. Counted in this
//! process only. Owns the counts; callers decide the limits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The counts of all holders, identified by `K`.
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
    /// Counts one for `holder` until the result is dropped. `None` if it already has `most`.
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

/// One unit of the resource, released when dropped.
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
    fn each_holder_has_its_own_limit_and_dropping_releases() {
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
            "holders without shares are removed"
        );
    }
}
