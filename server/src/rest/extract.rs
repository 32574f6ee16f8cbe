//! Extractors for bodies, paths, queries and `If-Match`. Unlike axum's, they refuse malformed input with the
//! API's error body, which names the field.

use super::ApiError;
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError};
use model::error::AppError;
use serde::de::DeserializeOwned;
use std::{error::Error as StdError, str::FromStr};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

/// A JSON object as a body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
            });
        if !is_json {
            let message = "Send JSON, with Content-Type: application/json.";
            return Err(AppError::invalid("", message).into());
        }
        let bytes = read_body(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

/// Reads a body, within the router's limit. Errors: `TooLarge`; `Invalid` if it is incomplete.
pub async fn read_body(body: Body) -> Result<Vec<u8>, AppError> {
    match body.collect().await {
        Ok(bytes) => Ok(bytes.to_bytes().to_vec()),
        Err(error) if is_too_long(&error) => Err(AppError::TooLarge),
        Err(_) => Err(AppError::invalid("", "The body broke off.")),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<LengthLimitError>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde would also deserialize a struct from an array, field by field.
    if bytes
        .trim_ascii_start()
        .first()
        .is_some_and(|first| *first == b'[')
    {
        return Err(AppError::invalid("", "Send a JSON object.").into());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner().to_string())
    })?;
    reader
        .end()
        .map_err(|error| explain(".", &error.to_string()))?;
    Ok(value)
}

/// Translates a message of serde into an error of the field that it concerns.
fn explain(path: &str, message: &str) -> ApiError {
    let named = |start: &str| {
        let rest = message.strip_prefix(start)?;
        rest.split('`').next().map(str::to_owned)
    };
    if let Some(field) = named("unknown field `") {
        return AppError::invalid(field_path(path, &field), "There is no such field.").into();
    }
    if let Some(field) = named("missing field `") {
        return AppError::invalid(field_path(path, &field), "This is missing.").into();
    }
    let field = if path == "." { "" } else { path };
    let reason = message.split(" at line ").next().unwrap_or(message);
    AppError::invalid(field, format!("This can't be read: {reason}.")).into()
}

/// The path of a field. The last step of `path` is an unknown field, but not a missing one.
fn field_path(path: &str, field: &str) -> String {
    let parent = path
        .strip_suffix(field)
        .unwrap_or(path)
        .trim_end_matches('.');
    if parent.is_empty() {
        field.to_owned()
    } else {
        format!("{parent}.{field}")
    }
}

/// An id in the path. Malformed ids are `NotFound`.
pub struct PathId<T>(pub T);

impl<T: FromStr, S: Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = <Path<String> as FromRequestParts<()>>::from_request_parts(parts, &()).await;
        let _ = state;
        path.ok()
            .and_then(|Path(text)| text.parse().ok())
            .map(Self)
            .ok_or(ApiError(AppError::NotFound))
    }
}

/// A query string. Empty values count as missing.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let given: Vec<(String, String)> = serde_urlencoded::from_str(query)
        .map_err(|_| AppError::invalid("", "The query can't be read."))?;
    let mut fields = serde_json::Map::new();
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
        // Only these parameters are numbers; all others are text.
        let value = match value.parse::<i64>() {
            Ok(number) if matches!(name.as_str(), "limit" | "page" | "sinceSeconds") => {
                number.into()
            }
            _ => value.into(),
        };
        // Implementations differ in whether the first or the last counts.
        if fields.insert(name.clone(), value).is_some() {
            return Err(AppError::invalid(name, "This is given twice.").into());
        }
    }
    serde_path_to_error::deserialize(serde_json::Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner().to_string())
    })
}

pub(super) const IF_MATCH: &str = "If-Match";

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tag = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name(IF_MATCH)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` of the version to act on, such as `\"3\"`; `*` for any.",
            ))
            .schema(Some(tag));
        vec![parameter.build()]
    }
}

/// The version in `If-Match`; `None` without the header and for `*`.
pub struct IfMatch(pub Option<i64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(asked) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        let asked = asked.to_str().unwrap_or_default().trim();
        if asked == "*" {
            return Ok(Self(None));
        }
        let version = asked
            .trim_start_matches("W/")
            .trim_matches('"')
            .parse()
            .ok();
        // A tag of another format cannot match.
        version
            .map(|version| Self(Some(version)))
            .ok_or(ApiError(AppError::PreconditionFailed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Body {
        price_minor: i64,
        #[serde(default)]
        name: Option<String>,
    }

    fn field_of(body: &str) -> String {
        let ApiError(error) = parse::<Body>(body.as_bytes()).unwrap_err();
        error.fields()[0].field.clone()
    }

    #[test]
    fn an_error_names_the_field() {
        assert_eq!(field_of(r#"{"priceMinor": "12"}"#), "priceMinor");
        assert_eq!(field_of(r#"{"priceMinor": 1.5}"#), "priceMinor");
        assert_eq!(field_of(r#"{"priceMinor": 1, "surprise": 2}"#), "surprise");
        assert_eq!(field_of("{}"), "priceMinor");
        assert_eq!(field_of(r#"{"priceMinor": 1, "name": 3}"#), "name");
        assert_eq!(field_of("[1]"), "");
        assert_eq!(field_of(r#"{"priceMinor": 1} x"#), "");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        q: Option<String>,
        limit: Option<i64>,
    }

    #[test]
    fn only_numeric_parameters_are_parsed_as_numbers() {
        let query: Query = parse_query("q=42&limit=7").unwrap();
        assert_eq!((query.q.as_deref(), query.limit), (Some("42"), Some(7)));
        let query: Query = parse_query("q=&limit=").unwrap();
        assert_eq!((query.q, query.limit), (None, None));
        assert!(parse_query::<Query>("limit=x").is_err());
        assert!(parse_query::<Query>("other=x").is_err());
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        let twice = parse_query::<Query>("q=1&limit=2&q=3").unwrap_err();
        assert_eq!(twice.0.fields()[0].field, "q");
        let body = r#"{"priceMinor": 1, "priceMinor": 2}"#;
        assert!(parse::<Body>(body.as_bytes()).is_err());
    }
}
