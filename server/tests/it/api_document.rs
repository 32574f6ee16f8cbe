//! `/api/openapi.json` says what is so: who has to be signed in, which values are possible, what an
//! empty one means. That every status is described is asserted of all answers in all tests, by
//! `support::described`.

use crate::support::{
    Answer, App, Client,
    client::{PASSWORD, event_body},
    described::{DOCUMENT, Operation, operations},
    on_both_engines,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const NOBODYS: &str = "01980000-0000-7000-8000-000000000000";

fn label(operation: &Operation) -> String {
    format!("{} {}", operation.method.to_uppercase(), operation.path)
}

/// What `$ref` leads to.
fn resolved(schema: &Value) -> &Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    DOCUMENT.pointer(&reference[1..]).unwrap()
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_each_answer_means() {
    let mut names = BTreeSet::new();
    for operation in operations() {
        let says = operation.says;
        let name = says["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice");
        let answers = says["responses"].as_object().unwrap();
        for status in ["413", "429", "500", "503"] {
            assert!(answers.contains_key(status), "{name}: {status}");
        }
        for (status, answer) in answers {
            assert!(
                !answer["description"].as_str().unwrap().is_empty(),
                "{name}: {status}"
            );
            if status.as_str() >= "400" {
                let body = &answer["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/Problem", "{name}: {status}");
            }
        }
        let reads_only = operation.method == "get";
        assert_eq!(answers.contains_key("403"), !reads_only, "{name}");
    }
    let session = &DOCUMENT["components"]["securitySchemes"]["session"];
    assert_eq!(
        (&session["type"], &session["in"], &session["name"]),
        (&json!("apiKey"), &json!("cookie"), &json!("sid"))
    );
}

/// Whether it is refused to who has no session.
fn needs_session(operation: &Operation) -> bool {
    let ways = operation.says["security"].as_array();
    ways.is_some_and(|ways| ways.iter().all(|way| !way.as_object().unwrap().is_empty()))
}

on_both_engines! {
    async fn who_is_not_signed_in_is_told_so_where_the_document_says_so(app) {
        let anonymous = app.anonymous();
        let json = [("content-type", "application/json")];
        for operation in operations() {
            let asked = operation.path.replace("{id}", NOBODYS);
            let method = operation.method.to_uppercase();
            let body = if method == "GET" { "" } else { "{}" };
            let answer = anonymous.send(&method, &asked, &json, body).await;
            let is_asked_for = answer.status == 401;
            assert_eq!(is_asked_for, needs_session(&operation), "{}: {}", label(&operation), answer.text);
        }
    }

    async fn an_empty_value_in_a_query_is_a_missing_one(app) {
        let user = app.user("user").await;
        let mut tried = 0;
        for operation in operations().filter(|operation| operation.method == "get") {
            let asked = operation.path.replace("{id}", NOBODYS);
            let parameters = operation.says["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let empty = user.get(&format!("{asked}?{name}=")).await;
                assert_eq!(empty.status, user.get(&asked).await.status, "{asked}?{name}=");
                let ways = parameter["schema"]["anyOf"].as_array().unwrap();
                assert!(ways.iter().any(|way| way["maxLength"] == 0), "{asked}: {name}");
                for wrong in wrong_values(resolved(&ways[0])) {
                    let wrong = wrong.as_str().map_or(wrong.to_string(), str::to_owned);
                    let answer = user.get(&format!("{asked}?{name}={wrong}")).await;
                    assert_eq!(answer.status, 400, "{asked}?{name}={wrong}: {}", answer.text);
                    tried += 1;
                }
            }
        }
        assert!(tried > 10, "{tried}");
    }

    async fn a_value_beyond_a_limit_of_the_document_is_refused_and_the_last_one_before_is_not(app) {
        let mut tried = 0;
        for body in bodies(app).await {
            let fields = properties(body.method, body.path);
            let sent = |(field, _): &(&str, &Value)| body.base.get(field).is_some();
            let fields: Vec<_> = fields.into_iter().filter(sent).collect();
            // What is taken may change what is asked for next.
            for (field, schema) in &fields {
                for wrong in wrong_values(schema) {
                    tried += 1;
                    let answer = body.send(field, wrong).await;
                    if *field == "version" {
                        answer.refused(409, "version_conflict");
                        continue;
                    }
                    assert_eq!(answer.status, 400, "{} {field}: {}", body.path, answer.text);
                    assert!(names(&answer, field), "{} {field}: {}", body.path, answer.text);
                }
            }
            for (field, schema) in &fields {
                for possible in last_possible_values(schema) {
                    tried += 1;
                    let answer = body.send(field, possible).await;
                    assert!(!names(&answer, field), "{} {field}: {}", body.path, answer.text);
                }
            }
        }
        assert!(tried > 60, "{tried}");
    }
}

/// Values that the schema has no place for, just beyond its limits.
fn wrong_values(schema: &Value) -> Vec<Value> {
    let schema = plain(schema);
    let mut wrong = Vec::new();
    let text = |length: u64| json!("x".repeat(usize::try_from(length).unwrap()));
    if let Some(max) = schema["maxLength"].as_u64() {
        wrong.push(text(max + 1));
    }
    if let Some(min) = schema["minLength"].as_u64() {
        wrong.push(text(min - 1));
    }
    if let Some(max) = schema["maximum"].as_i64() {
        wrong.extend([json!(max + 1), json!(i64::MAX)]);
    }
    if let Some(min) = schema["minimum"].as_i64() {
        wrong.extend([json!(min - 1), json!(i64::MIN)]);
    }
    if let Some(max) = schema["maxItems"].as_u64() {
        let many = (0..=max).map(|_| json!(uuid::Uuid::now_v7().to_string()));
        wrong.extend([many.collect(), json!([])]);
    }
    if schema["enum"].is_array()
        || schema["format"].is_string()
            && schema["type"] == "string"
            && schema["format"] != "password"
    {
        wrong.push(json!("nonsense"));
    }
    // An empty one is none in a query, and may stand for one in a body.
    wrong.retain(|value| value != "" || schema["minLength"].is_u64());
    wrong
}

/// The largest and the smallest that fit, of what can be made up.
fn last_possible_values(schema: &Value) -> Vec<Value> {
    let schema = plain(schema);
    let mut possible = Vec::new();
    if let Some(max) = schema["maxLength"]
        .as_u64()
        .filter(|max| *max != 2 && *max != 64 && *max < 254 || *max == 5000)
    {
        possible.push(json!("x".repeat(usize::try_from(max).unwrap())));
    }
    possible.extend(
        ["maximum", "minimum"]
            .into_iter()
            .filter_map(|end| schema[end].as_i64())
            .map(Value::from),
    );
    possible
}

/// Without null, which some may be as well.
fn plain(schema: &Value) -> &Value {
    let ways = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let way = ways.and_then(|ways| ways.iter().find(|way| way["type"] != "null"));
    resolved(way.unwrap_or(schema))
}

/// The fields of the operation's body, whichever of its forms has them.
fn properties(method: &str, path: &str) -> Vec<(&'static str, &'static Value)> {
    let operation =
        operations().find(|one| one.method.eq_ignore_ascii_case(method) && one.path == path);
    let content = &operation.unwrap().says["requestBody"]["content"]["application/json"];
    let body = resolved(&content["schema"]);
    let forms = body["oneOf"]
        .as_array()
        .map_or(vec![body], |forms| forms.iter().map(resolved).collect());
    let fields = forms
        .into_iter()
        .flat_map(|form| form["properties"].as_object().unwrap());
    fields
        .map(|(name, schema)| (name.as_str(), resolved(schema)))
        .collect()
}

/// Whether something is wrong with this field, or with one of its items.
fn names(answer: &Answer, field: &str) -> bool {
    let mut errors = answer.body["errors"].as_array().into_iter().flatten();
    errors.any(|error| {
        let named = error["field"].as_str().unwrap_or_default();
        named.split('[').next() == Some(field)
    })
}

/// A request that is taken as it is.
struct Body {
    client: Client,
    method: &'static str,
    path: &'static str,
    asked: String,
    base: Value,
}

impl Body {
    /// With another value of this field.
    async fn send(&self, field: &str, value: Value) -> Answer {
        let mut body = self.base.clone();
        body[field] = value;
        self.client.json(self.method, &self.asked, &[], body).await
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one entry for each call that takes a body"
)]
async fn bodies(app: &App) -> Vec<Body> {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event().await;
    let held = seller.ticket(&event, 2500).await;
    let order = buyer.reserve(&[&held]).await.expect(201);
    let ticket = seller.ticket(&event, 2500).await;
    let sold_out = seller.event().await;
    let event_id = &event["id"];
    let body = |client: &Client, method, path: &'static str, of: &Value, base: Value| Body {
        client: client.clone(),
        method,
        path,
        asked: path.replace("{id}", of["id"].as_str().unwrap_or_default()),
        base,
    };
    let none = Value::Null;
    let place = json!({"priceMinor": 2500, "faceValueMinor": 2500, "section": "Stalls", "eventId": event_id});
    let mut seat = place.clone();
    (seat["row"], seat["seat"]) = (json!("A"), json!("1"));
    let mut many = place.clone();
    many["quantity"] = json!(2);
    let edit = json!({"priceMinor": 2500, "section": "a", "row": "a", "seat": "a", "version": 1});
    let what = event_body(json!({"description": "Long", "category": "comedy"}));
    let mut change = what.clone();
    change["version"] = json!(1);
    vec![
        body(&seller, "POST", "/api/events", &none, what),
        body(&seller, "PUT", "/api/events/{id}", &event, change),
        body(&seller, "POST", "/api/tickets", &none, seat),
        body(&seller, "POST", "/api/tickets/batch", &none, many),
        body(&seller, "PUT", "/api/tickets/{id}", &ticket, edit),
        body(
            &buyer,
            "POST",
            "/api/orders",
            &none,
            json!({"eventId": event_id, "quantity": 1}),
        ),
        body(
            &buyer,
            "POST",
            "/api/orders",
            &none,
            json!({"ticketIds": [ticket["id"]]}),
        ),
        body(
            &buyer,
            "POST",
            "/api/payments",
            &none,
            json!({"orderId": order["id"], "token": "pm_card_visa"}),
        ),
        body(
            &seller,
            "POST",
            "/api/selling/reprice",
            &none,
            json!({"eventId": event_id, "priceMinor": 2500}),
        ),
        body(
            &buyer,
            "POST",
            "/api/events/{id}/waiting-list",
            &sold_out,
            json!({"quantity": 1}),
        ),
        body(
            &app.anonymous(),
            "POST",
            "/api/user/signup",
            &none,
            json!({"email": "limits@example.com", "password": PASSWORD, "name": "Ann"}),
        ),
        body(
            &buyer,
            "POST",
            "/api/waiting-list/leave",
            &none,
            json!({"token": "x"}),
        ),
        body(
            &buyer,
            "POST",
            "/api/waiting-list/confirm",
            &none,
            json!({"token": "x"}),
        ),
        body(
            &buyer,
            "PUT",
            "/api/user/password",
            &none,
            json!({"currentPassword": "wrong", "newPassword": PASSWORD}),
        ),
        body(
            &seller,
            "POST",
            "/api/refunds",
            &none,
            json!({"ticketIds": [ticket["id"]]}),
        ),
    ]
}
