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
pub fn assert_described(method: &str, asked: &str, answer: &Answer) {
    let asked = asked.split('?').next().unwrap();
    // Prefers the path with the fewest placeholders: `/api/tickets/batch` is not a ticket.
    let fitting = paths().iter().filter(|(path, _)| fits(path, asked));
    let found = fitting.min_by_key(|(path, _)| path.matches('{').count());
    let Some((path, item)) = found else {
        return;
    };
    let says = &item[method.to_ascii_lowercase()];
    let status = answer.status.to_string();
    let described = if says.is_null() {
        // The statuses that every request can get, and 405.
        ["403", "405", "413", "429", "500", "503"].contains(&status.as_str())
    } else {
        says["responses"].get(&status).is_some()
    };
    assert!(
        described,
        "{method} {path} answered {status}, of which /api/openapi.json says nothing: {}",
        answer.text
    );
}

fn fits(path: &str, asked: &str) -> bool {
    let (mut steps, mut given) = (path.split('/'), asked.split('/'));
    loop {
        match (steps.next(), given.next()) {
            (None, None) => return true,
            (Some(step), Some(given)) if step == given || step.starts_with('{') => {}
            _ => return false,
        }
    }
}
