//! Which trace something is part of: as W3C's `traceparent` says it, and whether it is recorded.
//! <https://www.w3.org/TR/trace-context/>

/// A span of a trace, here or at whoever sent us the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`. None: it is not one, and a new trace begins.
    pub(crate) fn read(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        // What comes after version 00 may say more, and means the same so far.
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

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    heeds_parent: bool,
    /// How many of 2^63 traces.
    bound: u64,
}

const ALL: u64 = 1 << 63;

impl Sampler {
    /// As `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` name it.
    pub fn named(name: &str, share: Option<&str>) -> Result<Self, NotASampler> {
        let (heeds_parent, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let bound = match kind {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => part(share.unwrap_or("1")).ok_or(NotASampler::Share)?,
            _ => return Err(NotASampler::Name),
        };
        Ok(Self {
            heeds_parent,
            bound,
        })
    }

    /// Whether a trace that begins here is recorded; `parent`: whether whoever it comes from does.
    pub(crate) fn takes(self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.heeds_parent => sampled,
            // By its last half, as others do, so that all along the way say the same.
            _ => lower_half(trace) >> 1 < self.bound,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of it is what is wanted"
)]
fn lower_half(trace: u128) -> u64 {
    trace as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to 2^63, give or take a few traces"
)]
fn part(share: &str) -> Option<u64> {
    let share: f64 = share.trim().parse().ok()?;
    let bound = (share * ALL as f64) as u64;
    (0.0..=1.0).contains(&share).then_some(bound)
}

/// Why there is no such sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotASampler {
    /// None is called that.
    Name,
    /// It takes no such share.
    Share,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_defined() {
        let read =
            Context::read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(read.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((read.span, read.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!Context::read(unsampled).unwrap().sampled);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later";
        assert!(Context::read(later).is_some());
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
            assert_eq!(Context::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_sampler_takes_what_its_name_says() {
        let low = 1_u128;
        let high = u128::from(u64::MAX);
        for (name, share, takes_low, takes_high, heeds) in [
            ("always_on", None, true, true, false),
            ("always_off", None, false, false, false),
            ("traceidratio", Some("0.5"), true, false, false),
            ("parentbased_always_on", None, true, true, true),
            ("parentbased_always_off", None, false, false, true),
            ("parentbased_traceidratio", Some("0.25"), true, false, true),
            ("traceidratio", None, true, true, false),
            ("traceidratio", Some("0"), false, false, false),
        ] {
            let sampler = Sampler::named(name, share).unwrap();
            assert_eq!(sampler.takes(low, None), takes_low, "{name}");
            assert_eq!(sampler.takes(high, None), takes_high, "{name}");
            let said = sampler.takes(high, Some(!takes_high));
            assert_eq!(said != takes_high, heeds, "{name}");
        }
        assert_eq!(Sampler::named("sometimes", None), Err(NotASampler::Name));
        for share in ["1.5", "-0.1", "half", "NaN"] {
            let named = Sampler::named("traceidratio", Some(share));
            assert_eq!(named, Err(NotASampler::Share), "{share}");
        }
    }
}
