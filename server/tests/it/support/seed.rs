//! Reproducible randomness.

use rand::{SeedableRng, rngs::StdRng};

/// A random number generator whose seed is printed. `STAGEDOOR_TEST_SEED` sets the seed, to repeat a run.
pub fn seeded() -> StdRng {
    let set = std::env::var("STAGEDOOR_TEST_SEED").unwrap_or_default();
    let seed = match set.as_str() {
        "" => rand::random(),
        set => set.parse().expect("STAGEDOOR_TEST_SEED is a number"),
    };
    println!("STAGEDOOR_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
