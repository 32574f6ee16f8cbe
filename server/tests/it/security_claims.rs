//! docs/security.md says what is so: every path and test that it names is there, and its figures are those
//! of its tables. Whether a test shows what it is named for is for readers to judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

/// How many requirements of levels 1 and 2 each chapter of the ASVS 5.0.0 has.
const ITEMS: [(u32, usize); 17] = [
    (1, 27),
    (2, 11),
    (3, 19),
    (4, 10),
    (5, 9),
    (6, 35),
    (7, 18),
    (8, 7),
    (9, 7),
    (10, 29),
    (11, 14),
    (12, 9),
    (13, 13),
    (14, 9),
    (15, 13),
    (16, 16),
    (17, 7),
];
/// How many of all are of level 1.
const LEVEL_1: usize = 70;
const STATES: [&str; 3] = ["met", "argued", "not applicable"];
/// Where what is named may be.
const FOLDERS: [&str; 10] = [
    ".ci",
    "app",
    "deploy",
    "docs",
    "end2end",
    "frontend",
    "migrations",
    "public",
    "scripts",
    "server",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is written between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The functions of all Rust sources.
fn functions() -> BTreeSet<String> {
    fn read(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                read(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                for rest in source.split("fn ").skip(1) {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                    found.insert(rest[..end.unwrap_or(rest.len())].to_owned());
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    for folder in ["app", "server"] {
        read(&root().join(folder), &mut found);
    }
    found
}

/// One row of a table: the requirements that it speaks of, their level, and how they stand.
struct Row<'a> {
    items: Vec<&'a str>,
    level: &'a str,
    state: &'a str,
    why: &'a str,
}

fn rows(document: &str) -> Vec<Row<'_>> {
    let lines = document.lines().filter(|line| {
        let first = line.strip_prefix("| ").and_then(|line| line.chars().next());
        first.is_some_and(|first| first.is_ascii_digit())
    });
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [items, level, _, state, why] = cells.as_slice() else {
                panic!("five cells: {line}");
            };
            Row {
                items: items.split(", ").collect(),
                level,
                state,
                why,
            }
        })
        .collect()
}

/// The summary, as the tables have it.
fn summary(rows: &[Row<'_>]) -> String {
    let count = |level: Option<&str>, state: &str| -> usize {
        let of = rows
            .iter()
            .filter(|row| row.state == state && level.is_none_or(|level| row.level == level));
        of.map(|row| row.items.len()).sum()
    };
    let mut told =
        String::from("| | met | argued | not applicable | all |\n|---|---|---|---|---|\n");
    for (name, level) in [
        ("level 1", Some("1")),
        ("level 2", Some("2")),
        ("both", None),
    ] {
        let counts = STATES.map(|state| count(level, state));
        let [met, argued, not_applicable] = counts;
        let all: usize = counts.iter().sum();
        let _ = writeln!(
            told,
            "| {name} | {met} | {argued} | {not_applicable} | {all} |"
        );
    }
    told
}

/// All that is wrong with the document.
fn wrong(document: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in quoted(document) {
        let first = name.split('/').next().unwrap_or_default();
        let is_path = name.contains('/') && !name.contains(' ') && FOLDERS.contains(&first);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_function = name.matches('_').count() >= 2 && name.chars().all(is_name);
        if is_path && !root().join(name).exists() {
            wrong.push(format!("there is no {name}"));
        }
        if is_function && !functions.contains(name) {
            wrong.push(format!("there is no test or function {name}"));
        }
    }
    let rows = rows(document);
    let mut chapters: BTreeMap<u32, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in &rows {
        for item in &row.items {
            if !seen.insert(*item) {
                wrong.push(format!("{item} stands twice"));
            }
            let chapter = item
                .split('.')
                .next()
                .and_then(|chapter| chapter.parse().ok());
            *chapters.entry(chapter.unwrap_or(0)).or_default() += 1;
        }
        if !STATES.contains(&row.state) || !["1", "2"].contains(&row.level) || row.why.is_empty() {
            wrong.push(format!("{}: how does it stand?", row.items[0]));
        }
        if row.state == "argued" && row.why.len() < 80 {
            wrong.push(format!("{}: what limits the risk?", row.items[0]));
        }
    }
    if chapters != BTreeMap::from(ITEMS) {
        wrong.push(format!("requirements by chapter: {chapters:?}"));
    }
    let level_1 = rows
        .iter()
        .filter(|row| row.level == "1")
        .map(|row| row.items.len());
    let level_1: usize = level_1.sum();
    if level_1 != LEVEL_1 {
        wrong.push(format!("{level_1} are of level 1"));
    }
    let summary = summary(&rows);
    if !document.contains(&summary) {
        wrong.push(format!("the summary should be\n{summary}"));
    }
    wrong
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/security.md")).unwrap()
}

#[test]
fn every_claim_about_security_can_be_looked_up() {
    let wrong = wrong(&document(), &functions());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_claim_that_cannot_be_looked_up_is_found() {
    let (document, functions) = (document(), functions());
    for (true_one, false_one, told) in [
        (
            "`server/src/middleware/csp.rs`",
            "`server/src/middleware/cps.rs`",
            "there is no server/src/middleware/cps.rs",
        ),
        (
            "`another_site_cannot_act_for_you`",
            "`another_site_can_act_for_you`",
            "no test or function another_site_can_act_for_you",
        ),
        ("| 1.2.2 |", "| 1.2.1 |", "1.2.1 stands twice"),
        ("| 1.2.2 | 1 |", "| 1.2.2 | 2 |", "69 are of level 1"),
        ("| met | bodies", "| mostly | bodies", "how does it stand?"),
        ("| both |", "| all |", "the summary should be"),
    ] {
        assert!(document.contains(true_one), "{true_one}");
        let wrong = wrong(&document.replacen(true_one, false_one, 1), &functions);
        assert!(
            wrong.iter().any(|wrong| wrong.contains(told)),
            "{told}: {wrong:?}"
        );
    }
}
