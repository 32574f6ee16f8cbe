//! `/api/openapi.json` agrees with the server: which operations need a session, which values are valid, and how
//! empty values are treated. `support::described` asserts that the status of each answer in all tests is
//! described.

use crate::support::{
    Answer, App, Client,
    client::{PASSWORD, event_body},
    described::{DOCUMENT, Operation, operations},
    on_both_engines,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const UNKNOWN_ID: &str = "01980000-0000-7000-8000-000000000000";

fn label(operation: &Operation) -> String {
    format!("{} {}", operation.method.to_uppercase(), operation.path)
}

/// The schema that `$ref` refers to, or this schema.
fn resolve(schema: &Value) -> &Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    DOCUMENT.pointer(&reference[1..]).unwrap()
}

#[test]
fn every_operation_has_a_unique_id_and_describes_its_answers() {
    let mut names = BTreeSet::new();
    for operation in operations() {
        let says = operation.says;
        let name = says["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is not unique");
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

/// Whether the document requires a session.
fn needs_session(operation: &Operation) -> bool {
    let alternatives = operation.says["security"].as_array();
    alternatives.is_some_and(|alternatives| {
        alternatives
            .iter()
            .all(|alternative| !alternative.as_object().unwrap().is_empty())
    })
}

on_both_engines! {
    async fn operations_without_a_session_are_refused_as_documented(app) {
        let anonymous = app.anonymous();
        let json = [("content-type", "application/json")];
        for operation in operations() {
            let path = operation.path.replace("{id}", UNKNOWN_ID);
            let method = operation.method.to_uppercase();
            let body = if method == "GET" { "" } else { "{}" };
            let answer = anonymous.send(&method, &path, &json, body).await;
            let is_refused = answer.status == 401;
            assert_eq!(is_refused, needs_session(&operation), "{}: {}", label(&operation), answer.text);
        }
    }

    async fn an_empty_query_parameter_is_treated_as_missing(app) {
        let user = app.user("user").await;
        let mut tried = 0;
        for operation in operations().filter(|operation| operation.method == "get") {
            let path = operation.path.replace("{id}", UNKNOWN_ID);
            let parameters = operation.says["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let empty = user.get(&format!("{path}?{name}=")).await;
                assert_eq!(empty.status, user.get(&path).await.status, "{path}?{name}=");
                let alternatives = parameter["schema"]["anyOf"].as_array().unwrap();
                assert!(alternatives.iter().any(|alternative| alternative["maxLength"] == 0), "{path}: {name}");
                for invalid in invalid_values(resolve(&alternatives[0])) {
                    let invalid = invalid.as_str().map_or(invalid.to_string(), str::to_owned);
                    let answer = user.get(&format!("{path}?{name}={invalid}")).await;
                    assert_eq!(answer.status, 400, "{path}?{name}={invalid}: {}", answer.text);
                    tried += 1;
                }
            }
        }
        assert!(tried > 10, "{tried}");
    }

    async fn values_beyond_documented_limits_are_refused_and_values_at_them_are_not(app) {
        let mut tried = 0;
        for body in valid_requests(app).await {
            let fields = body_fields(body.method, body.path);
            let sent = |(field, _): &(&str, &Value)| body.base.get(field).is_some();
            let fields: Vec<_> = fields.into_iter().filter(sent).collect();
            // An accepted request may change what the next one needs, so the invalid ones are sent first.
            for (field, schema) in &fields {
                for invalid in invalid_values(schema) {
                    tried += 1;
                    let answer = body.send(field, invalid).await;
                    if *field == "version" {
                        answer.refused(409, "version_conflict");
                        continue;
                    }
                    assert_eq!(answer.status, 400, "{} {field}: {}", body.path, answer.text);
                    assert!(reports_field(&answer, field), "{} {field}: {}", body.path, answer.text);
                }
            }
            for (field, schema) in &fields {
                for valid in boundary_values(schema) {
                    tried += 1;
                    let answer = body.send(field, valid).await;
                    assert!(!reports_field(&answer, field), "{} {field}: {}", body.path, answer.text);
                }
            }
        }
        assert!(tried > 60, "{tried}");
    }
}

/// Values just beyond the limits of the schema.
fn invalid_values(schema: &Value) -> Vec<Value> {
    let schema = without_null(schema);
    let mut invalid = Vec::new();
    let text = |length: u64| json!("x".repeat(usize::try_from(length).unwrap()));
    if let Some(max) = schema["maxLength"].as_u64() {
        invalid.push(text(max + 1));
    }
    if let Some(min) = schema["minLength"].as_u64() {
        invalid.push(text(min - 1));
    }
    if let Some(max) = schema["maximum"].as_i64() {
        invalid.extend([json!(max + 1), json!(i64::MAX)]);
    }
    if let Some(min) = schema["minimum"].as_i64() {
        invalid.extend([json!(min - 1), json!(i64::MIN)]);
    }
    if let Some(max) = schema["maxItems"].as_u64() {
        let ids = (0..=max).map(|_| json!(uuid::Uuid::now_v7().to_string()));
        invalid.extend([ids.collect(), json!([])]);
    }
    if schema["enum"].is_array()
        || schema["format"].is_string()
            && schema["type"] == "string"
            && schema["format"] != "password"
    {
        invalid.push(json!("nonsense"));
    }
    // An empty value means a missing one in a query, and may in a body.
    invalid.retain(|value| value != "" || schema["minLength"].is_u64());
    invalid
}

/// The largest and smallest valid values, where they can be generated.
fn boundary_values(schema: &Value) -> Vec<Value> {
    let schema = without_null(schema);
    let mut valid = Vec::new();
    if let Some(max) = schema["maxLength"]
        .as_u64()
        .filter(|max| *max != 2 && *max != 64 && *max < 254 || *max == 5000)
    {
        valid.push(json!("x".repeat(usize::try_from(max).unwrap())));
    }
    valid.extend(
        ["maximum", "minimum"]
            .into_iter()
            .filter_map(|end| schema[end].as_i64())
            .map(Value::from),
    );
    valid
}

/// The schema without its alternative `null`.
fn without_null(schema: &Value) -> &Value {
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let alternative = alternatives.and_then(|alternatives| {
        alternatives
            .iter()
            .find(|alternative| alternative["type"] != "null")
    });
    resolve(alternative.unwrap_or(schema))
}

/// The fields of all alternatives of the operation's body.
fn body_fields(method: &str, path: &str) -> Vec<(&'static str, &'static Value)> {
    let operation =
        operations().find(|one| one.method.eq_ignore_ascii_case(method) && one.path == path);
    let content = &operation.unwrap().says["requestBody"]["content"]["application/json"];
    let body = resolve(&content["schema"]);
    let forms = body["oneOf"]
        .as_array()
        .map_or(vec![body], |forms| forms.iter().map(resolve).collect());
    let fields = forms
        .into_iter()
        .flat_map(|form| form["properties"].as_object().unwrap());
    fields
        .map(|(name, schema)| (name.as_str(), resolve(schema)))
        .collect()
}

/// Whether the answer reports an error at this field or at one of its items.
fn reports_field(answer: &Answer, field: &str) -> bool {
    let mut errors = answer.body["errors"].as_array().into_iter().flatten();
    errors.any(|error| {
        let named = error["field"].as_str().unwrap_or_default();
        named.split('[').next() == Some(field)
    })
}

/// A request that is accepted unchanged.
struct ValidRequest {
    client: Client,
    method: &'static str,
    path: &'static str,
    url: String,
    base: Value,
}

impl ValidRequest {
    /// Sends the request with another value of this field.
    async fn send(&self, field: &str, value: Value) -> Answer {
        let mut body = self.base.clone();
        body[field] = value;
        self.client.json(self.method, &self.url, &[], body).await
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one entry for each call that takes a body"
)]
async fn valid_requests(app: &App) -> Vec<ValidRequest> {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event().await;
    let held = seller.ticket(&event, 2500).await;
    let order = buyer.reserve(&[&held]).await.expect(201);
    let ticket = seller.ticket(&event, 2500).await;
    let sold_out = seller.event().await;
    let event_id = &event["id"];
    let body =
        |client: &Client, method, path: &'static str, resource: &Value, base: Value| ValidRequest {
            client: client.clone(),
            method,
            path,
            url: path.replace("{id}", resource["id"].as_str().unwrap_or_default()),
            base,
        };
    let no_resource = Value::Null;
    let offer = json!({"priceMinor": 2500, "faceValueMinor": 2500, "section": "Stalls", "eventId": event_id});
    let mut seat = offer.clone();
    (seat["row"], seat["seat"]) = (json!("A"), json!("1"));
    let mut batch = offer.clone();
    batch["quantity"] = json!(2);
    let edit = json!({"priceMinor": 2500, "section": "a", "row": "a", "seat": "a", "version": 1});
    let new_event = event_body(json!({"description": "Long", "category": "comedy"}));
    let mut changed_event = new_event.clone();
    changed_event["version"] = json!(1);
    vec![
        body(&seller, "POST", "/api/events", &no_resource, new_event),
        body(&seller, "PUT", "/api/events/{id}", &event, changed_event),
        body(&seller, "POST", "/api/tickets", &no_resource, seat),
        body(&seller, "POST", "/api/tickets/batch", &no_resource, batch),
        body(&seller, "PUT", "/api/tickets/{id}", &ticket, edit),
        body(
            &buyer,
            "POST",
            "/api/orders",
            &no_resource,
            json!({"eventId": event_id, "quantity": 1}),
        ),
        body(
            &buyer,
            "POST",
            "/api/orders",
            &no_resource,
            json!({"ticketIds": [ticket["id"]]}),
        ),
        body(
            &buyer,
            "POST",
            "/api/payments",
            &no_resource,
            json!({"orderId": order["id"], "token": "pm_card_visa"}),
        ),
        body(
            &seller,
            "POST",
            "/api/selling/reprice",
            &no_resource,
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
            &no_resource,
            json!({"email": "limits@example.com", "password": PASSWORD, "name": "Ann"}),
        ),
        body(
            &buyer,
            "POST",
            "/api/waiting-list/leave",
            &no_resource,
            json!({"token": "x"}),
        ),
        body(
            &buyer,
            "POST",
            "/api/waiting-list/confirm",
            &no_resource,
            json!({"token": "x"}),
        ),
        body(
            &buyer,
            "PUT",
            "/api/user/password",
            &no_resource,
            json!({"currentPassword": "wrong", "newPassword": PASSWORD}),
        ),
        body(
            &seller,
            "POST",
            "/api/refunds",
            &no_resource,
            json!({"ticketIds": [ticket["id"]]}),
        ),
    ]
}
