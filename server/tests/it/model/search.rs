//! Breadth-first search of all reachable states, so that a violation is found by a shortest path. Does not
//! depend on the contents of states.

use super::{
    Model,
    invariants::{Invariant, check_rest, check_step},
    moves::{Move, Step},
    world::{START, State},
};

/// The result of a search.
#[derive(Debug)]
pub struct Report {
    /// Number of reachable states.
    pub states: usize,
    /// The longest path to rest.
    pub longest_way_to_rest: u16,
    /// The broken invariant and the path to it.
    pub broken: Option<(Invariant, Vec<Move>)>,
}

/// The steps that happen without a new request: from each state the most urgent ones, with all outcomes.
#[derive(Debug, Default)]
struct Drain {
    /// For each state, the index of its first successor in `ends`.
    starts: Vec<usize>,
    ends: Vec<u32>,
}

impl Drain {
    fn begin(&mut self) {
        self.starts.push(self.ends.len());
    }

    /// Keeps only the most urgent steps of a state.
    fn add(&mut self, end: u32, urgency: u8, most: &mut u8) {
        if urgency < *most {
            *most = urgency;
            self.ends.truncate(self.starts.last().copied().unwrap_or(0));
        }
        if urgency == *most {
            self.ends.push(end);
        }
    }

    fn ends_of(&self, state: usize) -> &[u32] {
        let end = self.starts.get(state + 1).copied();
        &self.ends[self.starts[state]..end.unwrap_or(self.ends.len())]
    }

    /// Length of the longest path to rest. Errors: a state on a cycle.
    fn longest_way(&self) -> Result<u16, usize> {
        const UNKNOWN: u16 = u16::MAX;
        const UNDER_WAY: u16 = u16::MAX - 1;
        let mut ways = vec![UNKNOWN; self.starts.len()];
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..ways.len() {
            if ways[start] == UNKNOWN {
                path.push((start, 0));
            }
            while let Some((state, next)) = path.pop() {
                ways[state] = UNDER_WAY;
                let ends = self.ends_of(state);
                if let Some(&end) = ends.get(next) {
                    let end = usize::try_from(end).unwrap_or(0);
                    path.push((state, next + 1));
                    match ways[end] {
                        UNDER_WAY => return Err(state),
                        UNKNOWN => path.push((end, 0)),
                        _ => {}
                    }
                    continue;
                }
                let longest = ends
                    .iter()
                    .map(|&end| ways[usize::try_from(end).unwrap_or(0)]);
                ways[state] = longest.max().map_or(0, |way| way + 1);
            }
        }
        Ok(ways.into_iter().max().unwrap_or(0))
    }
}

/// Hash table of the states seen, by key. Hand-written to be fast without optimisation.
#[derive(Debug)]
struct Seen {
    slots: Vec<(u128, u32)>,
    used: usize,
}

const NO_STATE: u32 = u32::MAX;

impl Seen {
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
        let bigger = vec![(0, NO_STATE); self.slots.len() * 2];
        for (key, number) in std::mem::replace(&mut self.slots, bigger) {
            if number != NO_STATE {
                let slot = self.slot(key);
                self.slots[slot] = (key, number);
            }
        }
    }
}

/// Number of states that are compared when their key recurs: enough to detect a field missing in the key, at
/// little cost.
const KEYS_COMPARED: u32 = 1 << 15;

struct Search {
    model: Model,
    states: Vec<State>,
    /// The state and the step by which each state was first reached.
    parents: Vec<(u32, Move)>,
    seen: Seen,
    /// With webhooks, and without.
    drains: [Drain; 2],
}

/// Searches all states of the model until an invariant is broken, and passes each to `show`.
pub fn search(model: Model, mut show: impl FnMut(&State)) -> Report {
    let mut search = Search {
        model,
        states: Vec::new(),
        parents: Vec::new(),
        seen: Seen::new(),
        drains: [Drain::default(), Drain::default()],
    };
    search.find(START, 0, Move::Reserve(0));
    let mut steps = Vec::new();
    let mut next = 0;
    while next < search.states.len() {
        show(&search.states[next]);
        if let Err((broken, last)) = search.expand(next, &mut steps) {
            return search.report(next, Some((broken, last)), 0);
        }
        next += 1;
    }
    let mut longest = 0;
    for drain in &search.drains {
        match drain.longest_way() {
            Ok(way) => longest = longest.max(way),
            Err(state) => return search.report(state, Some((Invariant::ComesToRest, None)), 0),
        }
    }
    search.report(0, None, longest)
}

type Broken = (Invariant, Option<Move>);

impl Search {
    /// The number of a state, which is added if it is new.
    fn find(&mut self, state: State, parent: u32, made: Move) -> u32 {
        let new = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        let number = self.seen.insert(state.key(), new);
        if number == new {
            self.states.push(state);
            self.parents.push((parent, made));
        } else if number < KEYS_COMPARED {
            let known = usize::try_from(number).unwrap_or(0);
            assert!(self.states[known] == state, "two states have one key");
        }
        number
    }

    fn expand(&mut self, number: usize, steps: &mut Vec<Step>) -> Result<(), Broken> {
        let state = self.states[number];
        self.model.check(&state).map_err(|broken| (broken, None))?;
        self.model.steps(&state, steps);
        let this = u32::try_from(number).unwrap_or(u32::MAX);
        for drain in &mut self.drains {
            drain.begin();
        }
        let mut urgencies = [u8::MAX; 2];
        for (made, result) in steps.iter() {
            let made = *made;
            let after = result.map_err(|broken| (broken, Some(made)))?;
            check_step(&state, &after).map_err(|broken| (broken, Some(made)))?;
            let reached = self.find(after, this, made);
            let Some(urgency) = made.urgency(&state).filter(|_| reached != this) else {
                continue;
            };
            for (deaf, (drain, most)) in self.drains.iter_mut().zip(&mut urgencies).enumerate() {
                if deaf == 0 || !matches!(made, Move::Hear(..)) {
                    drain.add(reached, urgency, most);
                }
            }
        }
        if urgencies.contains(&u8::MAX) {
            check_rest(&state).map_err(|broken| (broken, None))?;
        }
        Ok(())
    }

    fn report(&self, at: usize, broken: Option<Broken>, longest: u16) -> Report {
        let broken = broken.map(|(invariant, last)| {
            let mut trace: Vec<Move> = last.into_iter().collect();
            let mut at = at;
            while at != 0 {
                let (parent, made) = self.parents[at];
                trace.push(made);
                at = usize::try_from(parent).unwrap_or(0);
            }
            trace.reverse();
            (invariant, trace)
        });
        Report {
            states: self.states.len(),
            longest_way_to_rest: longest,
            broken,
        }
    }
}
