//! Checks docs/security.md: every path and test that it names exists, and its summary agrees with its tables.
//! Whether a named test proves the claim is not checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

/// The number of requirements of levels 1 and 2 in each chapter of the ASVS 5.0.0.
const REQUIREMENTS_BY_CHAPTER: [(u32, usize); 17] = [
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
/// The number of requirements of level 1.
const LEVEL_1_COUNT: usize = 70;
const STATES: [&str; 3] = ["met", "argued", "not applicable"];
/// The folders of the paths that the document names.
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

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of all functions in the Rust sources.
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

/// One row of a table: requirements, their level, their status and the reason.
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
                panic!("not five cells: {line}");
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

/// The summary of the tables.
fn summary(rows: &[Row<'_>]) -> String {
    let count = |level: Option<&str>, state: &str| -> usize {
        let of = rows
            .iter()
            .filter(|row| row.state == state && level.is_none_or(|level| row.level == level));
        of.map(|row| row.items.len()).sum()
    };
    let mut text =
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
            text,
            "| {name} | {met} | {argued} | {not_applicable} | {all} |"
        );
    }
    text
}

/// The errors of the document.
fn find_errors(document: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut errors = Vec::new();
    for name in quoted(document) {
        let first = name.split('/').next().unwrap_or_default();
        let is_path = name.contains('/') && !name.contains(' ') && FOLDERS.contains(&first);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_function = name.matches('_').count() >= 2 && name.chars().all(is_name);
        if is_path && !root().join(name).exists() {
            errors.push(format!("there is no {name}"));
        }
        if is_function && !functions.contains(name) {
            errors.push(format!("there is no test or function {name}"));
        }
    }
    let rows = rows(document);
    let mut chapters: BTreeMap<u32, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in &rows {
        for item in &row.items {
            if !seen.insert(*item) {
                errors.push(format!("{item} is listed twice"));
            }
            let chapter = item
                .split('.')
                .next()
                .and_then(|chapter| chapter.parse().ok());
            *chapters.entry(chapter.unwrap_or(0)).or_default() += 1;
        }
        if !STATES.contains(&row.state) || !["1", "2"].contains(&row.level) || row.why.is_empty() {
            errors.push(format!(
                "{}: invalid level or status, or no reason",
                row.items[0]
            ));
        }
        if row.state == "argued" && row.why.len() < 80 {
            errors.push(format!(
                "{}: the reason does not say what limits the risk",
                row.items[0]
            ));
        }
    }
    if chapters != BTreeMap::from(REQUIREMENTS_BY_CHAPTER) {
        errors.push(format!("requirements by chapter: {chapters:?}"));
    }
    let level_1 = rows
        .iter()
        .filter(|row| row.level == "1")
        .map(|row| row.items.len());
    let level_1: usize = level_1.sum();
    if level_1 != LEVEL_1_COUNT {
        errors.push(format!("{level_1} requirements are of level 1"));
    }
    let summary = summary(&rows);
    if !document.contains(&summary) {
        errors.push(format!("the summary should be\n{summary}"));
    }
    errors
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/security.md")).unwrap()
}

#[test]
fn each_path_and_test_named_in_the_document_exists() {
    let errors = find_errors(&document(), &functions());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn errors_in_the_document_are_detected() {
    let (document, functions) = (document(), functions());
    for (correct, incorrect, text) in [
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
        ("| 1.2.2 |", "| 1.2.1 |", "1.2.1 is listed twice"),
        (
            "| 1.2.2 | 1 |",
            "| 1.2.2 | 2 |",
            "69 requirements are of level 1",
        ),
        (
            "| met | bodies",
            "| mostly | bodies",
            "invalid level or status",
        ),
        ("| both |", "| all |", "the summary should be"),
    ] {
        assert!(document.contains(correct), "{correct}");
        let errors = find_errors(&document.replacen(correct, incorrect, 1), &functions);
        assert!(
            errors.iter().any(|error| error.contains(text)),
            "{text}: {errors:?}"
        );
    }
}
