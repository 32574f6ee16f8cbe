//! The settings of traces, with OpenTelemetry's names. If no collector is set, the others are not read
//! and traces are not collected.

use super::{ConfigError, invalid, non_empty, services::check_http};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use platform::{
    telemetry::{Sampler, SamplerError, TracesConfig},
    trust::Trust,
};
use secrecy::{ExposeSecret, SecretString};

const DEFAULT_SAMPLER: &str = "parentbased_always_on";

/// The settings before they are checked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log and traces")]
pub(super) struct TraceSettings {
    /// The collector, `http://collector:4318`; without it, traces are not collected
    ///
    /// Traces are sent by OTLP as JSON over HTTP. Without it, the other OTEL settings have no effect
    #[arg(
        long = "otel-exporter-otlp-endpoint",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    collector: Option<String>,
    /// Headers of requests to the collector, for example a key: `name=value`, separated by commas
    ///
    /// Write a comma in a value as `%2C`
    #[arg(
        long = "otel-exporter-otlp-headers",
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true
    )]
    collector_headers: Option<SecretString>,
    /// The protocol; only `http/json` is supported
    #[arg(
        long = "otel-exporter-otlp-protocol",
        env = "OTEL_EXPORTER_OTLP_PROTOCOL"
    )]
    collector_protocol: Option<String>,
    /// Which traces are recorded: `always_on`, `always_off` or `traceidratio`, or one of them prefixed
    /// with `parentbased_` [default: `parentbased_always_on`]
    #[arg(long = "otel-traces-sampler", env = "OTEL_TRACES_SAMPLER")]
    sampler: Option<String>,
    /// The share of traces that `traceidratio` records, from 0 to 1 [default: 1]
    #[arg(long = "otel-traces-sampler-arg", env = "OTEL_TRACES_SAMPLER_ARG")]
    sampler_arg: Option<String>,
    /// The service name in traces [default: stagedoor]
    #[arg(long = "otel-service-name", env = "OTEL_SERVICE_NAME")]
    service_name: Option<String>,
    /// Further resource attributes of this process: `name=value`, separated by commas
    #[arg(long = "otel-resource-attributes", env = "OTEL_RESOURCE_ATTRIBUTES")]
    resource_attributes: Option<String>,
    /// `true`: traces are not collected, whatever else is set
    #[arg(long = "otel-sdk-disabled", env = "OTEL_SDK_DISABLED")]
    disabled: Option<String>,
}

impl TraceSettings {
    /// Checks the settings. `None`: traces are not collected.
    pub(super) fn check(self, trust: &Trust) -> Result<Option<TracesConfig>, ConfigError> {
        let disabled = non_empty(self.disabled);
        if disabled.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some(endpoint) = non_empty(self.collector) else {
            return Ok(None);
        };
        if let Some(protocol) = non_empty(self.collector_protocol)
            && protocol != "http/json"
        {
            return Err(invalid(
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                format!("\"{protocol}\" is not supported; only http/json is, usually at port 4318"),
            ));
        }
        let headers = self.collector_headers;
        let headers = check_headers(headers.as_ref().map_or("", ExposeSecret::expose_secret))?;
        if !headers.is_empty() {
            check_http("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint, trust)?;
        }
        Ok(Some(TracesConfig {
            url: check_endpoint(&endpoint)?,
            headers,
            trust: trust.clone(),
            sampler: check_sampler(
                non_empty(self.sampler).as_deref(),
                non_empty(self.sampler_arg).as_deref(),
            )?,
            resource: check_resource(
                non_empty(self.service_name),
                non_empty(self.resource_attributes).as_deref(),
            )?,
        }))
    }
}

fn check_endpoint(endpoint: &str) -> Result<Uri, ConfigError> {
    let url: Option<Uri> = format!("{}/v1/traces", endpoint.trim_end_matches('/'))
        .parse()
        .ok();
    url.filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && !endpoint.contains(['?', '@'])
    })
    .ok_or_else(|| {
        let reason = format!("\"{endpoint}\" is not an address like http://collector:4318");
        invalid("OTEL_EXPORTER_OTLP_ENDPOINT", reason)
    })
}

fn check_headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
    let read = |(name, value): (&str, String)| {
        let name: HeaderName = name.parse().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let headers = pairs(text).and_then(|pairs| pairs.into_iter().map(read).collect());
    headers.ok_or_else(|| {
        // The value is not shown, because it may contain a key.
        let reason = "it is not a list of headers like name=value,other=value";
        invalid("OTEL_EXPORTER_OTLP_HEADERS", reason)
    })
}

fn check_sampler(name: Option<&str>, ratio: Option<&str>) -> Result<Sampler, ConfigError> {
    let name = name.unwrap_or(DEFAULT_SAMPLER);
    Sampler::parse(name, ratio).map_err(|error| match error {
        SamplerError::Name => invalid(
            "OTEL_TRACES_SAMPLER",
            format!(
                "\"{name}\" is not always_on, always_off or traceidratio, nor one of them prefixed with parentbased_"
            ),
        ),
        SamplerError::Ratio => invalid(
            "OTEL_TRACES_SAMPLER_ARG",
            format!("\"{}\" is not a number from 0 to 1", ratio.unwrap_or_default()),
        ),
    })
}

fn check_resource(
    name: Option<String>,
    attributes: Option<&str>,
) -> Result<Vec<(String, String)>, ConfigError> {
    const SERVICE_NAME: &str = "service.name";
    let attributes = attributes.unwrap_or_default();
    let Some(pairs) = pairs(attributes) else {
        let reason = format!("\"{attributes}\" is not a list like name=value,other=value");
        return Err(invalid("OTEL_RESOURCE_ATTRIBUTES", reason));
    };
    let mut resource: Vec<(String, String)> = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if let Some(name) = name {
        resource.retain(|(key, _)| key != SERVICE_NAME);
        resource.push((SERVICE_NAME.to_owned(), name));
    } else if !resource.iter().any(|(key, _)| key == SERVICE_NAME) {
        resource.push((SERVICE_NAME.to_owned(), "stagedoor".to_owned()));
    }
    Ok(resource)
}

/// Parses a list of `name=value` with percent-encoded values. `None` if it is not valid.
fn pairs(text: &str) -> Option<Vec<(&str, String)>> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then_some(())?;
            Some((name, percent_decoded(value.trim())?))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> TraceSettings {
        TraceSettings {
            collector: Some(endpoint.to_owned()),
            collector_headers: None,
            collector_protocol: None,
            sampler: None,
            sampler_arg: None,
            service_name: None,
            resource_attributes: None,
            disabled: None,
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    #[test]
    fn without_a_collector_there_are_no_traces() {
        let wrong_and_unread = TraceSettings {
            sampler: some("sometimes"),
            ..settings("")
        };
        assert!(wrong_and_unread.check(&Trust::default()).unwrap().is_none());
        let switched_off = TraceSettings {
            disabled: some("true"),
            ..settings("http://collector:4318")
        };
        assert!(switched_off.check(&Trust::default()).unwrap().is_none());
    }

    #[test]
    fn all_settings_have_an_effect() {
        let config = TraceSettings {
            collector_headers: Some("api-key=a%2Cb, x-team = box%20office".into()),
            resource_attributes: some("service.name=other,deployment.environment=test"),
            service_name: some("shop"),
            ..settings("https://collector.example/otlp/")
        };
        let config = config.check(&Trust::default()).unwrap().unwrap();
        assert_eq!(config.url, "https://collector.example/otlp/v1/traces");
        assert_eq!(config.headers[0].1, "a,b");
        assert_eq!(config.headers[1].1, "box office");
        assert!(!format!("{config:?}").contains("a,b"));
        let resource = [("deployment.environment", "test"), ("service.name", "shop")];
        assert_eq!(
            config.resource,
            resource.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn an_invalid_setting_is_named() {
        let collector = || settings("http://collector:4318");
        for (name, settings) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", settings("collector:4318")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", settings("grpc://collector")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", settings("http://")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", settings("http://x?y=z")),
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                TraceSettings {
                    collector_protocol: some("grpc"),
                    ..collector()
                },
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                TraceSettings {
                    collector_headers: Some("secret".into()),
                    ..collector()
                },
            ),
            (
                "OTEL_TRACES_SAMPLER",
                TraceSettings {
                    sampler: some("sometimes"),
                    ..collector()
                },
            ),
            (
                "OTEL_TRACES_SAMPLER_ARG",
                TraceSettings {
                    sampler: some("traceidratio"),
                    sampler_arg: some("2"),
                    ..collector()
                },
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                TraceSettings {
                    resource_attributes: some("=x"),
                    ..collector()
                },
            ),
        ] {
            let sentence = settings.check(&Trust::default()).unwrap_err().to_string();
            assert!(sentence.starts_with(name), "{sentence}");
            assert!(!sentence.contains("secret"), "{sentence}");
        }
    }
}
