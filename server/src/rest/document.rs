//! The parts of the OpenAPI document that all operations share: the session, the parameters, and the errors of
//! middleware, limits, idempotency keys and extractors. What is specific to one operation is declared at its
//! handler.

use super::{
    attempts::{self, KEY_CHARS_MAX},
    extract::IF_MATCH,
};
use crate::session_cookie;
use model::money::Currency;
use utoipa::openapi::{
    Content, Header, KnownFormat, Object, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response,
    Schema, SchemaFormat, SecurityRequirement, Type,
    path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
    schema::AnyOfBuilder,
    security::{ApiKey, ApiKeyValue, SecurityScheme},
};

/// The security scheme of operations that need a session.
const SESSION: &str = "session";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The statuses of errors with their descriptions, which an operation can override.
const ERRORS: [(u16, &str); 11] = [
    (
        400,
        "The request can't be read, or a value is not possible: `errors` says which.",
    ),
    (401, "Nobody is signed in."),
    (402, "The card was declined."),
    (
        403,
        "It is not allowed, or a browser sent it from another site.",
    ),
    (404, "There is nothing here, or it is somebody else's."),
    (409, "It is not possible as things stand: `code` says why."),
    (412, "`If-Match` names another version."),
    (413, "The body is larger than this server reads."),
    (429, "Too often. `Retry-After` says when to come again."),
    (
        500,
        "An error of the server. Its log names it by `requestId`.",
    ),
    (
        503,
        "The server is busy. `Retry-After` says when to come again; a POST is safe to repeat with its \
         `Idempotency-Key`.",
    ),
];

/// Completes every operation with the shared parts, and `Currency` with its codes.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SESSION, scheme());
    if let Some(RefOr::T(Schema::Object(currency))) = components.schemas.get_mut("Currency") {
        let codes = Currency::all().map(|currency| currency.code().into());
        currency.enum_values = Some(codes.collect());
    }
    for (path, item) in &mut document.paths.paths {
        for (is_safe, is_post, operation) in operations(item) {
            set_operation_id(operation);
            complete_parameters(path, is_post, operation);
            add_errors(path, is_safe, is_post, operation);
        }
    }
}

fn scheme() -> SecurityScheme {
    let description = "Signing up or in sets it. Over TLS its name begins with `__Host-`.";
    let cookie = ApiKeyValue::with_description(session_cookie::cookie_name(false), description);
    SecurityScheme::ApiKey(ApiKey::Cookie(cookie))
}

/// The operations of a path, each with whether its method is safe and whether it is POST.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, bool, &mut Operation)> {
    let methods = [
        (true, false, &mut item.get),
        (false, false, &mut item.put),
        (false, true, &mut item.post),
        (false, false, &mut item.delete),
    ];
    methods
        .into_iter()
        .filter_map(|(safe, post, operation)| Some((safe, post, operation.as_mut()?)))
}

/// Prefixes the operation's id with its tag: handlers of several modules have the same name.
fn set_operation_id(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    let tag = tag.map(|tag| tag.to_lowercase().replace(' ', "_"));
    operation.operation_id = tag
        .zip(operation.operation_id.take())
        .map(|(tag, id)| format!("{tag}_{id}"));
}

fn complete_parameters(path: &str, is_post: bool, operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    for parameter in parameters.iter_mut() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        match parameter.parameter_in {
            ParameterIn::Path => parameter.schema = Some(id().into()),
            ParameterIn::Query => allow_empty(parameter),
            _ => {}
        }
    }
    if is_post && attempts::stores_answers(path) {
        parameters.push(RefOr::T(key()));
    }
}

/// All ids are UUIDs.
fn id() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .build()
}

/// Allows an empty value, which counts as missing.
fn allow_empty(parameter: &mut Parameter) {
    if matches!(parameter.required, Required::True) {
        return;
    }
    let Some(schema) = parameter.schema.take() else {
        return;
    };
    let empty = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(0))
        .description(Some("Empty counts as missing."));
    let either = AnyOfBuilder::new().item(schema).item(empty).build();
    parameter.schema = Some(RefOr::T(Schema::AnyOf(either)));
}

fn key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(KEY_CHARS_MAX))
        .pattern(Some("[!-~]"));
    ParameterBuilder::new()
        .name(IDEMPOTENCY_KEY)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The same key and body by the same user have one answer and one effect for 24 hours.",
        ))
        .schema(Some(text))
        .build()
}

fn add_errors(path: &str, is_safe: bool, is_post: bool, operation: &mut Operation) {
    let has = |place: ParameterIn, name: Option<&str>| {
        let given = operation.parameters.iter().flatten();
        given.into_iter().any(|given| {
            let RefOr::T(given) = given else { return false };
            given.parameter_in == place && name.is_none_or(|name| given.name == name)
        })
    };
    let needs_session = operation.security.as_ref().is_some_and(|alternatives| {
        let no_session = SecurityRequirement::default();
        !alternatives.is_empty() && !alternatives.contains(&no_session)
    });
    let has_body = operation.request_body.is_some();
    let possible = [
        (400, has_body || is_post || has(ParameterIn::Query, None)),
        (401, needs_session),
        (403, !is_safe),
        (404, has(ParameterIn::Path, None)),
        (409, is_post && attempts::stores_answers(path)),
        (412, has(ParameterIn::Header, Some(IF_MATCH))),
        (413, true),
        (429, true),
        (500, true),
        (503, true),
    ];
    let statuses = possible.iter().filter(|(_, is_possible)| *is_possible);
    for (status, _) in statuses {
        let answers = &mut operation.responses.responses;
        answers
            .entry(status.to_string())
            .or_insert_with(|| RefOr::T(Response::default()));
    }
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer {
            describe(status, answer);
        }
    }
}

/// Describes a response, unless its operation does.
fn describe(status: &str, answer: &mut Response) {
    let error = ERRORS.iter().find(|(of, _)| of.to_string() == status);
    let Some((_, meaning)) = error else {
        if answer.description.is_empty() {
            "Done.".clone_into(&mut answer.description);
        }
        return;
    };
    if answer.description.is_empty() {
        (*meaning).clone_into(&mut answer.description);
    }
    if answer.content.is_empty() {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        answer
            .content
            .insert("application/json".to_owned(), RefOr::T(problem));
    }
    if matches!(status, "429" | "503") {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .description(Some("In so many seconds."));
        let header = Header::new(Schema::Object(seconds.build()));
        answer
            .headers
            .insert("Retry-After".to_owned(), RefOr::T(header));
    }
}
