//! Checks every API response of every test against the OpenAPI document: its status must be described for the
//! operation.

use super::Answer;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The document of `GET /api/openapi.json`.
pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(stagedoor::rest::routes().1).unwrap());

/// One operation of the document.
pub struct Operation {
    pub method: &'static str,
    /// With `{id}` for ids.
    pub path: &'static str,
    pub says: &'static Value,
}

pub fn operations() -> impl Iterator<Item = Operation> {
    paths().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, says)| Operation { method, path, says })
    })
}

fn paths() -> &'static Map<String, Value> {
    DOCUMENT["paths"].as_object().unwrap()
}

/// Asserts that the document describes this status, if it has the operation.
pub fn assert_described(method: &str, requested: &str, answer: &Answer) {
    let requested = requested.split('?').next().unwrap();
    // Prefers the path with the fewest placeholders: `/api/tickets/batch` is not a ticket.
    let matching = paths()
        .iter()
        .filter(|(path, _)| matches_path(path, requested));
    let found = matching.min_by_key(|(path, _)| path.matches('{').count());
    let Some((path, item)) = found else {
        return;
    };
    let description = &item[method.to_ascii_lowercase()];
    let status = answer.status.to_string();
    let described = if description.is_null() {
        // The statuses that every request can get, and 405.
        ["403", "405", "413", "429", "500", "503"].contains(&status.as_str())
    } else {
        description["responses"].get(&status).is_some()
    };
    assert!(
        described,
        "{method} {path} answered {status}, which /api/openapi.json does not describe: {}",
        answer.text
    );
}

fn matches_path(path: &str, requested: &str) -> bool {
    let (mut expected, mut actual) = (path.split('/'), requested.split('/'));
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return true,
            (Some(expected_part), Some(actual))
                if expected_part == actual || expected_part.starts_with('{') => {}
            _ => return false,
        }
    }
}
