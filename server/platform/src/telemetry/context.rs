//! The context of a span (its trace, its id, whether it is recorded), read from W3C's `traceparent`
//! <https://www.w3.org/TR/trace-context/>, and the sampler.

/// The context of a span of this process or of the sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace id; never 0.
    pub trace: u128,
    /// The span id; never 0.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Context {
    /// Parses a `traceparent`. `None` if it is not valid.
    pub(crate) fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        // Later versions may append fields.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
        (trace != 0 && span != 0).then_some(Self {
            trace,
            span: u64::try_from(span).ok()?,
            sampled: flags & 1 == 1,
        })
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Decides which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    is_parent_based: bool,
    /// The sampled share of traces, as a number from 0 to 2^63.
    bound: u64,
}

const ALL: u64 = 1 << 63;

impl Sampler {
    /// Parses the values of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub fn parse(name: &str, ratio: Option<&str>) -> Result<Self, SamplerError> {
        let (is_parent_based, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let bound = match kind {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => parse_ratio(ratio.unwrap_or("1")).ok_or(SamplerError::Ratio)?,
            _ => return Err(SamplerError::Name),
        };
        Ok(Self {
            is_parent_based,
            bound,
        })
    }

    /// Whether to record a trace that begins in this process; `parent` is whether the sender of the request
    /// records it.
    pub(crate) fn samples(self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.is_parent_based => sampled,
            // By the lower half of the id, like other implementations, so that all decide alike.
            _ => lower_half(trace) >> 1 < self.bound,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "truncates on purpose")]
fn lower_half(trace: u128) -> u64 {
    trace as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to 2^63; precision does not matter"
)]
fn parse_ratio(ratio: &str) -> Option<u64> {
    let ratio: f64 = ratio.trim().parse().ok()?;
    let bound = (ratio * ALL as f64) as u64;
    (0.0..=1.0).contains(&ratio).then_some(bound)
}

/// Why a sampler could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplerError {
    /// The name is unknown.
    Name,
    /// The argument is not a number from 0 to 1.
    Ratio,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_parsed_as_defined() {
        let read =
            Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(read.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((read.span, read.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!Context::parse(unsampled).unwrap().sampled);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later";
        assert!(Context::parse(later).is_some());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_sampler_samples_as_its_name_says() {
        let low = 1_u128;
        let high = u128::from(u64::MAX);
        for (name, ratio, samples_low, samples_high, is_parent_based) in [
            ("always_on", None, true, true, false),
            ("always_off", None, false, false, false),
            ("traceidratio", Some("0.5"), true, false, false),
            ("parentbased_always_on", None, true, true, true),
            ("parentbased_always_off", None, false, false, true),
            ("parentbased_traceidratio", Some("0.25"), true, false, true),
            ("traceidratio", None, true, true, false),
            ("traceidratio", Some("0"), false, false, false),
        ] {
            let sampler = Sampler::parse(name, ratio).unwrap();
            assert_eq!(sampler.samples(low, None), samples_low, "{name}");
            assert_eq!(sampler.samples(high, None), samples_high, "{name}");
            let with_parent = sampler.samples(high, Some(!samples_high));
            assert_eq!(with_parent != samples_high, is_parent_based, "{name}");
        }
        assert_eq!(Sampler::parse("sometimes", None), Err(SamplerError::Name));
        for ratio in ["1.5", "-0.1", "half", "NaN"] {
            let parsed = Sampler::parse("traceidratio", Some(ratio));
            assert_eq!(parsed, Err(SamplerError::Ratio), "{ratio}");
        }
    }
}
