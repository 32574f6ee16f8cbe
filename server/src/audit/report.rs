//! The report of an audit, as text and as JSON.

use super::invariants::SENTENCES;
use jiff::Timestamp;
use model::Moment;
use serde::Serialize;
use shop::incidents::Incident;
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};

/// Maximum number of findings listed per invariant.
const LISTED: usize = 10;

/// The verdict on an invariant, or on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Holds,
    Broken,
    /// Only payments that are under way differ.
    Unsettled,
    /// Could not be checked.
    Unchecked,
    /// Cannot be checked by data; covered by the crash tests.
    ByTests,
}

/// A violation, or a difference that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of object: ticket, order, payment …
    pub about: &'static str,
    pub id: String,
    /// Description.
    pub what: String,
}

/// The number of findings and the first ten.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    pub count: u64,
    pub first: Vec<Finding>,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.first.len() < LISTED {
            self.first.push(finding);
        }
    }
}

/// The result of one invariant.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invariant {
    /// I1, I2 …
    pub id: String,
    /// The invariant as a sentence.
    pub says: &'static str,
    pub verdict: Verdict,
    /// Number of rows and lines checked.
    pub looked_at: i64,
    pub broken: Findings,
    /// Differences of payments that are under way.
    pub in_motion: Findings,
    /// Why it, or a part of it, could not be checked.
    pub unchecked_because: Option<String>,
    /// Duration.
    pub millis: u64,
}

/// Numbers of rows.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Tickets: listed, held (a part of the listed), sold, withdrawn.
    pub tickets: BTreeMap<String, i64>,
    /// Orders by their internal state.
    pub orders: BTreeMap<String, i64>,
    /// Payments by their state.
    pub payments: BTreeMap<String, i64>,
    /// Rows of other tables.
    pub rows: BTreeMap<&'static str, i64>,
}

impl Counts {
    pub(super) fn rows(&self, table: &str) -> i64 {
        self.rows.get(table).copied().unwrap_or(0)
    }
}

/// The result of an audit.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it began.
    pub at: Timestamp,
    /// The database engine.
    pub engine: &'static str,
    /// The worst verdict of all invariants.
    pub verdict: Verdict,
    pub invariants: Vec<Invariant>,
    /// Delays and failures that violate no invariant.
    pub warnings: Findings,
    pub open_incidents: Vec<Incident>,
    pub counts: Counts,
}

/// Collects the findings of an audit.
pub(super) struct ReportBuilder {
    invariants: Vec<Invariant>,
    pub warnings: Findings,
}

impl ReportBuilder {
    pub(super) fn new() -> Self {
        let invariants = SENTENCES
            .iter()
            .enumerate()
            .map(|(index, says)| Invariant {
                id: format!("I{}", index + 1),
                says,
                verdict: Verdict::Holds,
                looked_at: 0,
                broken: Findings::default(),
                in_motion: Findings::default(),
                unchecked_because: None,
                millis: 0,
            })
            .collect();
        Self {
            invariants,
            warnings: Findings::default(),
        }
    }

    fn with(&mut self, number: usize, change: impl FnOnce(&mut Invariant)) {
        if let Some(invariant) = self.invariants.get_mut(number - 1) {
            change(invariant);
        }
    }

    pub(super) fn broken(&mut self, number: usize, finding: Finding) {
        self.with(number, |invariant| invariant.broken.add(finding));
    }

    pub(super) fn in_motion(&mut self, number: usize, finding: Finding) {
        self.with(number, |invariant| invariant.in_motion.add(finding));
    }

    pub(super) fn unchecked(&mut self, number: usize, reason: &str) {
        self.with(number, |invariant| {
            invariant.unchecked_because = Some(reason.to_owned());
        });
    }

    pub(super) fn looked_at(&mut self, number: usize, rows: i64) {
        self.with(number, |invariant| invariant.looked_at += rows);
    }

    pub(super) fn took(&mut self, number: usize, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.with(number, |invariant| invariant.millis += millis);
    }

    /// Builds the report. A broken invariant is broken even if a part could not be checked.
    pub(super) fn build(
        mut self,
        engine: &'static str,
        at: Moment,
        counts: Counts,
        open_incidents: Vec<Incident>,
    ) -> Report {
        for invariant in &mut self.invariants {
            invariant.verdict = if invariant.id == "I11" {
                Verdict::ByTests
            } else if invariant.broken.count > 0 {
                Verdict::Broken
            } else if invariant.unchecked_because.is_some() {
                Verdict::Unchecked
            } else if invariant.in_motion.count > 0 {
                Verdict::Unsettled
            } else {
                Verdict::Holds
            };
        }
        let some = |verdict: &Verdict| self.invariants.iter().any(|one| one.verdict == *verdict);
        // Worst first.
        let verdict = [Verdict::Broken, Verdict::Unchecked, Verdict::Unsettled]
            .into_iter()
            .find(some)
            .unwrap_or(Verdict::Holds);
        Report {
            at: at.timestamp(),
            engine,
            verdict,
            invariants: self.invariants,
            warnings: self.warnings,
            open_incidents,
            counts,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "Stagedoor audit of {:.0} on {}\n", self.at, self.engine)?;
        for invariant in &self.invariants {
            write!(f, "{invariant}")?;
        }
        if self.warnings.count > 0 {
            writeln!(f, "\nWarnings: {}", self.warnings.count)?;
            write_findings(f, &self.warnings)?;
        }
        if !self.open_incidents.is_empty() {
            writeln!(f, "\nOpen incidents: {}", self.open_incidents.len())?;
            for incident in self.open_incidents.iter().take(LISTED) {
                let Incident {
                    kind,
                    subject,
                    detail,
                    ..
                } = incident;
                writeln!(f, "         {}  {kind} {subject}: {detail}", incident.id)?;
            }
        }
        writeln!(f)?;
        for (name, counts) in [
            ("Tickets", &self.counts.tickets),
            ("Orders", &self.counts.orders),
            ("Payments", &self.counts.payments),
        ] {
            let counts: Vec<String> = counts
                .iter()
                .map(|(state, count)| format!("{count} {state}"))
                .collect();
            writeln!(f, "{name}: {}", counts.join(", "))?;
        }
        writeln!(f, "\n{}", self.summary())
    }
}

impl Report {
    fn summary(&self) -> String {
        let count = |verdict| {
            let of_it = self.invariants.iter().filter(|one| one.verdict == verdict);
            of_it.count()
        };
        match self.verdict {
            Verdict::Broken => format!("BROKEN: {} of the invariants.", count(Verdict::Broken)),
            Verdict::Unchecked => format!(
                "NOT CHECKED: {} of the invariants; what could be checked holds.",
                count(Verdict::Unchecked)
            ),
            Verdict::Unsettled => {
                let moving = self.invariants.iter().map(|one| one.in_motion.count);
                format!(
                    "NOT SETTLED YET: nothing is broken, but {} differences belong to calls that \
                     are under way. Audit again after they have ended; that needs a running \
                     Stagedoor.",
                    moving.sum::<u64>()
                )
            }
            Verdict::Holds | Verdict::ByTests => "Everything holds.".to_owned(),
        }
    }
}

impl Display for Invariant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { id, says, .. } = self;
        if self.verdict == Verdict::ByTests {
            return writeln!(f, "tests    {id:<4} {says} Checked by the crash tests.");
        }
        let mark = match self.verdict {
            Verdict::Holds | Verdict::ByTests => "ok",
            Verdict::Broken => "BROKEN",
            Verdict::Unsettled => "pending",
            Verdict::Unchecked => "unknown",
        };
        let (rows, millis) = (self.looked_at, self.millis);
        writeln!(f, "{mark:<8} {id:<4} {says} ({rows} rows, {millis} ms)")?;
        write_findings(f, &self.broken)?;
        if let Some(reason) = &self.unchecked_because {
            writeln!(f, "         not checked at the provider: {reason}")?;
        }
        if self.in_motion.count > 0 {
            writeln!(f, "         under way: {}", self.in_motion.count)?;
            write_findings(f, &self.in_motion)?;
        }
        Ok(())
    }
}

fn write_findings(f: &mut Formatter<'_>, findings: &Findings) -> fmt::Result {
    for Finding { about, id, what } in &findings.first {
        writeln!(f, "         {about} {id} {what}")?;
    }
    let more = findings.count - findings.first.len() as u64;
    if more > 0 {
        writeln!(f, "         … and {more} more")?;
    }
    Ok(())
}
