//! Breadth-first search of all reachable states, so that a violation is reported with a shortest path. Does
//! not depend on the contents of states.

use super::{
    Model,
    invariants::{Invariant, check_quiescent, check_step},
    moves::{Move, Step},
    world::{START, State},
};

/// The result of a search.
#[derive(Debug)]
pub struct Report {
    /// Number of reachable states.
    pub states: usize,
    /// Length of the longest path to a quiescent state.
    pub longest_path: u16,
    /// The violated invariant and the path to the violation.
    pub violation: Option<(Invariant, Vec<Move>)>,
}

/// The steps that happen without a new request: from each state those of the highest priority, with all
/// outcomes.
#[derive(Debug, Default)]
struct Successors {
    /// For each state, the index of its first successor in `targets`.
    offsets: Vec<usize>,
    targets: Vec<u32>,
}

impl Successors {
    fn begin_state(&mut self) {
        self.offsets.push(self.targets.len());
    }

    /// Keeps only the steps of the highest priority of a state.
    fn add(&mut self, target: u32, priority: u8, highest: &mut u8) {
        if priority < *highest {
            *highest = priority;
            self.targets
                .truncate(self.offsets.last().copied().unwrap_or(0));
        }
        if priority == *highest {
            self.targets.push(target);
        }
    }

    fn successors_of(&self, state: usize) -> &[u32] {
        let end = self.offsets.get(state + 1).copied();
        &self.targets[self.offsets[state]..end.unwrap_or(self.targets.len())]
    }

    /// Length of the longest path to a quiescent state. Errors: a state on a cycle.
    fn longest_path(&self) -> Result<u16, usize> {
        const UNKNOWN: u16 = u16::MAX;
        const ON_PATH: u16 = u16::MAX - 1;
        let mut lengths = vec![UNKNOWN; self.offsets.len()];
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..lengths.len() {
            if lengths[start] == UNKNOWN {
                path.push((start, 0));
            }
            while let Some((state, next)) = path.pop() {
                lengths[state] = ON_PATH;
                let targets = self.successors_of(state);
                if let Some(&target) = targets.get(next) {
                    let target = usize::try_from(target).unwrap_or(0);
                    path.push((state, next + 1));
                    match lengths[target] {
                        ON_PATH => return Err(state),
                        UNKNOWN => path.push((target, 0)),
                        _ => {}
                    }
                    continue;
                }
                let longest = targets
                    .iter()
                    .map(|&target| lengths[usize::try_from(target).unwrap_or(0)]);
                lengths[state] = longest.max().map_or(0, |length| length + 1);
            }
        }
        Ok(lengths.into_iter().max().unwrap_or(0))
    }
}

/// Hash table of the visited states, by key. Written by hand because the standard one is slow in a build
/// without optimisation.
#[derive(Debug)]
struct Visited {
    slots: Vec<(u128, u32)>,
    used: usize,
}

const NO_STATE: u32 = u32::MAX;

impl Visited {
    fn new() -> Self {
        Self {
            slots: vec![(0, NO_STATE); 1 << 12],
            used: 0,
        }
    }

    /// The number stored for this key; stores and returns `new` if there is none.
    fn insert(&mut self, key: u128, new: u32) -> u32 {
        let slot = self.slot(key);
        if self.slots[slot].1 != NO_STATE {
            return self.slots[slot].1;
        }
        self.slots[slot] = (key, new);
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
        new
    }

    fn slot(&self, key: u128) -> usize {
        let mixed = (key ^ (key >> 59)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(mixed >> 72).unwrap_or(0) & mask;
        while self.slots[slot].1 != NO_STATE && self.slots[slot].0 != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let larger = vec![(0, NO_STATE); self.slots.len() * 2];
        for (key, number) in std::mem::replace(&mut self.slots, larger) {
            if number != NO_STATE {
                let slot = self.slot(key);
                self.slots[slot] = (key, number);
            }
        }
    }
}

/// Number of states that are compared when their key recurs: enough to detect that the key lacks a field,
/// without much memory access.
const KEYS_COMPARED: u32 = 1 << 15;

/// The index in [`Search::successors`].
const WITH_WEBHOOKS: usize = 0;

struct Search {
    model: Model,
    states: Vec<State>,
    /// The state and the step by which each state was first reached.
    parents: Vec<(u32, Move)>,
    visited: Visited,
    /// With webhooks ([`WITH_WEBHOOKS`]), and without.
    successors: [Successors; 2],
}

/// Searches all states of the model until an invariant is violated, and passes each to `observe`.
pub fn search(model: Model, mut observe: impl FnMut(&State)) -> Report {
    let mut search = Search {
        model,
        states: Vec::new(),
        parents: Vec::new(),
        visited: Visited::new(),
        successors: [Successors::default(), Successors::default()],
    };
    search.find(START, 0, Move::Reserve(0));
    let mut steps = Vec::new();
    let mut next = 0;
    while next < search.states.len() {
        observe(&search.states[next]);
        if let Err((violation, last)) = search.expand(next, &mut steps) {
            return search.report(next, Some((violation, last)), 0);
        }
        next += 1;
    }
    let mut longest = 0;
    for successors in &search.successors {
        match successors.longest_path() {
            Ok(length) => longest = longest.max(length),
            Err(state) => return search.report(state, Some((Invariant::Terminates, None)), 0),
        }
    }
    search.report(0, None, longest)
}

type Violation = (Invariant, Option<Move>);

impl Search {
    /// The number of a state, which is added if it is new.
    fn find(&mut self, state: State, parent: u32, step: Move) -> u32 {
        let new = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        let number = self.visited.insert(state.key(), new);
        if number == new {
            self.states.push(state);
            self.parents.push((parent, step));
        } else if number < KEYS_COMPARED {
            let known = usize::try_from(number).unwrap_or(0);
            assert!(self.states[known] == state, "two states have the same key");
        }
        number
    }

    fn expand(&mut self, number: usize, steps: &mut Vec<Step>) -> Result<(), Violation> {
        let state = self.states[number];
        self.model
            .check(&state)
            .map_err(|violation| (violation, None))?;
        self.model.steps(&state, steps);
        let this = u32::try_from(number).unwrap_or(u32::MAX);
        for successors in &mut self.successors {
            successors.begin_state();
        }
        let mut priorities = [u8::MAX; 2];
        for (step, result) in steps.iter() {
            let step = *step;
            let after = result.map_err(|violation| (violation, Some(step)))?;
            check_step(&state, &after).map_err(|violation| (violation, Some(step)))?;
            let reached = self.find(after, this, step);
            let Some(priority) = step.priority(&state).filter(|_| reached != this) else {
                continue;
            };
            for (index, (successors, highest)) in
                self.successors.iter_mut().zip(&mut priorities).enumerate()
            {
                if index == WITH_WEBHOOKS || !matches!(step, Move::ReadIntent(..)) {
                    successors.add(reached, priority, highest);
                }
            }
        }
        if priorities.contains(&u8::MAX) {
            check_quiescent(&state).map_err(|violation| (violation, None))?;
        }
        Ok(())
    }

    fn report(&self, at: usize, violation: Option<Violation>, longest: u16) -> Report {
        let violation = violation.map(|(invariant, last)| {
            let mut trace: Vec<Move> = last.into_iter().collect();
            let mut at = at;
            while at != 0 {
                let (parent, step) = self.parents[at];
                trace.push(step);
                at = usize::try_from(parent).unwrap_or(0);
            }
            trace.reverse();
            (invariant, trace)
        });
        Report {
            states: self.states.len(),
            longest_path: longest,
            violation,
        }
    }
}
