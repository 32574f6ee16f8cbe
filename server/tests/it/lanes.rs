//! `make test-fast` starts no PostgreSQL, Redis or NATS and skips the tests that need one by their names: the path
//! of each such test must contain one of the words.

use std::path::Path;

/// The words in `scripts/test.sh`.
const SERVICE_WORDS: [&str; 5] = ["postgres", "redis", "nats", "cluster::", "replicas::"];
/// Calls that start one of the services or need its address.
const NEEDS: [&str; 10] = [
    "Database::postgres(",
    "App::on_postgres(",
    "Cluster::start",
    "TwoProcesses::start(",
    "Redis::start(",
    "Broker::start",
    "Broker::away(",
    "Service::postgres(",
    "Service::redis(",
    "Service::nats(",
];

/// The name of the function that begins with this line, if it is one.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("pub ");
    let line = line.trim_start_matches("async ").strip_prefix("fn ")?;
    line.split(['(', '<']).next()
}

/// The tests of this source that need a service and have no such word in their path.
fn tests_without_word(module: &str, source: &str) -> Vec<String> {
    let (mut marked, mut test) = (false, None);
    let mut missing = Vec::new();
    for line in source.lines() {
        if let Some(name) = function(line) {
            test = marked.then(|| format!("{module}::{name}"));
            marked = false;
        }
        marked |= line.contains("#[tokio::test") || line.contains("#[test]");
        let needs = NEEDS.iter().any(|what| line.contains(what));
        if let Some(path) =
            test.take_if(|path| needs && !SERVICE_WORDS.iter().any(|word| path.contains(word)))
        {
            missing.push(path);
        }
    }
    missing
}

fn read(folder: &Path, module: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner = match name.as_str() {
            "mod" => module.to_owned(),
            _ => format!("{module}::{name}"),
        };
        if path.is_dir() {
            read(&path, &inner, found);
        } else if name != "lanes" {
            let source = std::fs::read_to_string(&path).unwrap();
            found.extend(tests_without_word(&inner, &source));
        }
    }
}

#[test]
fn a_test_that_needs_a_service_has_its_name_in_its_path() {
    let source = "#[tokio::test]\nasync fn a_sale() {\n    Database::postgres().await;\n}\n";
    assert_eq!(tests_without_word("it", source), ["it::a_sale"]);
    assert!(tests_without_word("it::cluster::set", source).is_empty());
    assert!(tests_without_word("it", &source.replace("a_sale", "a_sale_on_postgres")).is_empty());

    let mut found = Vec::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    read(&tests, "it", &mut found);
    assert!(
        found.is_empty(),
        "`make test-fast` would run these: {found:?}"
    );
}
