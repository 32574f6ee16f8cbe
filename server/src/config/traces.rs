//! The settings of traces, under the names that OpenTelemetry gives them. Without a collector's
//! address nothing else is looked at, and there are no traces.

use super::{ConfigError, given, services::check_http, wrong};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use platform::{
    telemetry::{NotASampler, Sampler, TracesConfig},
    trust::Trust,
};
use secrecy::{ExposeSecret, SecretString};

const DEFAULT_SAMPLER: &str = "parentbased_always_on";

/// Settings as they are given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces (OpenTelemetry's own settings)")]
pub(super) struct TraceSettings {
    /// The collector, `http://collector:4318`; without it there are no traces
    #[arg(
        long = "otel-exporter-otlp-endpoint",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    collector: Option<String>,
    /// What is sent along: `name=value`, with commas between
    #[arg(
        long = "otel-exporter-otlp-headers",
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true
    )]
    collector_headers: Option<SecretString>,
    /// How the collector is spoken to: `http/json`, and nothing else
    #[arg(
        long = "otel-exporter-otlp-protocol",
        env = "OTEL_EXPORTER_OTLP_PROTOCOL"
    )]
    collector_protocol: Option<String>,
    /// Which traces are recorded: `always_on`, `always_off` or `traceidratio`, or one of them with
    /// `parentbased_` before it [default: `parentbased_always_on`]
    #[arg(long = "otel-traces-sampler", env = "OTEL_TRACES_SAMPLER")]
    sampler: Option<String>,
    /// The share that `traceidratio` takes, from 0 to 1 [default: 1]
    #[arg(long = "otel-traces-sampler-arg", env = "OTEL_TRACES_SAMPLER_ARG")]
    sampler_arg: Option<String>,
    /// What the shop is called in traces [default: stagedoor]
    #[arg(long = "otel-service-name", env = "OTEL_SERVICE_NAME")]
    service_name: Option<String>,
    /// What else is said of this process: `name=value`, with commas between
    #[arg(long = "otel-resource-attributes", env = "OTEL_RESOURCE_ATTRIBUTES")]
    resource_attributes: Option<String>,
    /// `true`: no traces, whatever else is set
    #[arg(long = "otel-sdk-disabled", env = "OTEL_SDK_DISABLED")]
    disabled: Option<String>,
}

impl TraceSettings {
    /// Checks them. None: nobody collects traces.
    pub(super) fn check(self, trust: &Trust) -> Result<Option<TracesConfig>, ConfigError> {
        let disabled = given(self.disabled);
        if disabled.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some(endpoint) = given(self.collector) else {
            return Ok(None);
        };
        if let Some(protocol) = given(self.collector_protocol)
            && protocol != "http/json"
        {
            return Err(wrong(
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                format!("\"{protocol}\" is not spoken here: http/json is, at port 4318 of most"),
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
                given(self.sampler).as_deref(),
                given(self.sampler_arg).as_deref(),
            )?,
            resource: check_resource(
                given(self.service_name),
                given(self.resource_attributes).as_deref(),
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
        let reason = format!("\"{endpoint}\" is no address like http://collector:4318");
        wrong("OTEL_EXPORTER_OTLP_ENDPOINT", reason)
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
        // Not shown: a key may be in it.
        let reason = "it is no list of headers like name=value,other=value";
        wrong("OTEL_EXPORTER_OTLP_HEADERS", reason)
    })
}

fn check_sampler(name: Option<&str>, share: Option<&str>) -> Result<Sampler, ConfigError> {
    let name = name.unwrap_or(DEFAULT_SAMPLER);
    Sampler::named(name, share).map_err(|not| match not {
        NotASampler::Name => wrong(
            "OTEL_TRACES_SAMPLER",
            format!(
                "\"{name}\" is none of always_on, always_off and traceidratio, nor one of them after parentbased_"
            ),
        ),
        NotASampler::Share => wrong(
            "OTEL_TRACES_SAMPLER_ARG",
            format!("\"{}\" is no number from 0 to 1", share.unwrap_or_default()),
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
        let reason = format!("\"{attributes}\" is no list like name=value,other=value");
        return Err(wrong("OTEL_RESOURCE_ATTRIBUTES", reason));
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

/// A list of `name=value`, in which `%2C` is a comma. None: it is not one.
fn pairs(text: &str) -> Option<Vec<(&str, String)>> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then_some(())?;
            Some((name, without_percents(value.trim())?))
        })
        .collect()
}

/// `%2C` is a comma.
fn without_percents(text: &str) -> Option<String> {
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
    fn what_is_set_is_heeded() {
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
    fn what_makes_no_sense_is_named() {
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
