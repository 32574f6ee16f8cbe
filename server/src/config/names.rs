//! Names of settings: refuses unknown names, because a misspelt setting would otherwise have no effect.
//! Owns the list of names that begin like settings but are for other programs, such as the project's
//! scripts. Does not check values, except that of `RUST_LOG`.

use super::{ConfigError, Settings, invalid};
use clap::Args;
use platform::telemetry;
use std::collections::BTreeSet;

/// The prefixes of settings.
const PREFIXES: [&str; 2] = ["STAGEDOOR_", "STRIPE_"];
/// Names that scripts, tests or other programs read.
const OTHERS: [&str; 12] = [
    "STAGEDOOR_BIN",
    "STAGEDOOR_CACHE",
    "STAGEDOOR_CLUSTER_ROUNDS",
    "STAGEDOOR_CRASH_AT",
    "STAGEDOOR_CRASH_ROUNDS",
    "STAGEDOOR_DATABASE_PASSWORD",
    "STAGEDOOR_IMAGE",
    "STAGEDOOR_PROPTEST_CASES",
    "STAGEDOOR_SIM_SEEDS",
    "STRIPE_CLI_TELEMETRY_OPTOUT",
    "STRIPE_DEVICE_NAME",
    "STRIPE_PROJECT_NAME",
];
/// Prefixes of such names.
const OTHER_PREFIXES: [&str; 2] = ["STAGEDOOR_E2E_", "STAGEDOOR_TEST_"];
/// A name in `.env` with another prefix is taken for a misspelt setting if it has at most this many typos.
const TYPOS_MAX: usize = 2;
/// Names that are closer to another setting than to the one that is probably meant.
const MEANT: [(&str, &str); 3] = [
    ("STRIPE_API_KEY", "STRIPE_SECRET_KEY"),
    ("STRIPE_KEY", "STRIPE_SECRET_KEY"),
    ("STAGEDOOR_PORT", "STAGEDOOR_ADDR"),
];
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// Refuses unknown settings in the environment and in `.env`, and an invalid `RUST_LOG`. Errors: the
/// first of them, sorted by name.
pub(super) fn check() -> Result<(), ConfigError> {
    let known = known();
    let set: BTreeSet<(String, String)> = std::env::vars_os()
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        })
        .collect();
    for (name, value) in &set {
        check_name(name, value, &known)?;
        if name == RUST_LOG {
            check_levels(value)?;
        }
    }
    // A missing .env is not an error, and `main` has reported one that cannot be read.
    let lines = dotenvy::dotenv_iter().into_iter().flatten().flatten();
    for (name, _) in lines {
        check_line(&name, &known)?;
    }
    Ok(())
}

/// The names of all settings.
fn known() -> BTreeSet<String> {
    let command = Settings::augment_args(clap::Command::new("stagedoor"));
    command
        .get_arguments()
        .filter_map(|argument| argument.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .chain([RUST_LOG.to_owned()])
        .collect()
}

fn check_name(name: &str, value: &str, known: &BTreeSet<String>) -> Result<(), ConfigError> {
    let upper = name.to_ascii_uppercase();
    let is_ours = PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    let is_other = OTHERS.contains(&name)
        || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || is_of_kubernetes(name, value);
    if !is_ours || is_other || known.contains(name) {
        return Ok(());
    }
    let meant = MEANT.iter().find(|(wrong, _)| *wrong == upper);
    let meant = meant.map(|(_, meant)| *meant);
    Err(unknown(
        name,
        meant.or_else(|| nearest(&upper, known, usize::MAX)),
    ))
}

/// Refuses a name in `.env` that is a misspelt setting with another prefix.
fn check_line(name: &str, known: &BTreeSet<String>) -> Result<(), ConfigError> {
    let upper = name.to_ascii_uppercase();
    if known.contains(name) || PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) {
        return Ok(());
    }
    match nearest(&upper, known, TYPOS_MAX) {
        None => Ok(()),
        meant => Err(unknown(name, meant)),
    }
}

fn unknown(name: &str, meant: Option<&str>) -> ConfigError {
    let reason = match meant {
        Some(meant) => format!("there is no such setting; did you mean {meant}?"),
        None => "there is no such setting; `stagedoor --help` lists them".to_owned(),
    };
    invalid(name.to_owned(), reason)
}

/// The known name with the fewest typos, if these are at most `typos_max`.
fn nearest<'k>(name: &str, known: &'k BTreeSet<String>, typos_max: usize) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known.as_str()))
        .filter(|(typos, _)| *typos <= typos_max)
        .min()
        .map(|(_, known)| known)
}

/// Whether Kubernetes has set it. For a service called `stagedoor` it sets, in each pod,
/// `STAGEDOOR_SERVICE_HOST` and `STAGEDOOR_PORT=tcp://10.0.0.1:80`, for example.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT") && is_address)
        || [
            "_TCP_ADDR",
            "_TCP_PORT",
            "_TCP_PROTO",
            "_UDP_ADDR",
            "_UDP_PORT",
            "_UDP_PROTO",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Refuses single words that are not levels: a misspelt level would be taken for a module's name and
/// silence all others.
fn check_levels(text: &str) -> Result<(), ConfigError> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    if let Err(error) = telemetry::check_levels(text) {
        return Err(invalid(
            RUST_LOG,
            format!("\"{text}\" cannot be read: {error}"),
        ));
    }
    let parts = text.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty() && !text.contains('[')) {
        let is_level = LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
        let names_a_part =
            part.contains('=') || part.contains("::") || part.starts_with("stagedoor");
        if !is_level && !names_a_part && part.parse::<u8>().is_err() {
            let reason = format!(
                "\"{part}\" is not one of error, warn, info, debug, trace and off; for a module write {part}=debug"
            );
            return Err(invalid(RUST_LOG, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn a_misspelt_setting_is_refused_with_a_suggestion() {
        let known = known();
        for (name, meant) in [
            ("STAGEDOOR_HOLD_SECOND", "STAGEDOOR_HOLD_SECONDS"),
            ("STAGEDOOR_ADRESS", "STAGEDOOR_ADDR"),
            ("STAGEDOOR_RATE_LIMIT", "STAGEDOOR_RATE_LIMITS"),
            ("STRIPE_SECRET_KEYS", "STRIPE_SECRET_KEY"),
            ("STRIPE_SECRETKEY", "STRIPE_SECRET_KEY"),
            ("STAGEDOOR_PORT", "STAGEDOOR_ADDR"),
            ("STRIPE_API_KEY", "STRIPE_SECRET_KEY"),
        ] {
            let refused = check_name(name, "x", &known).unwrap_err().to_string();
            assert_eq!(
                refused,
                format!("{name}: there is no such setting; did you mean {meant}?")
            );
        }
        assert!(check_name("STAGEDOOR_COLOUR", "red", &known).is_err());
        assert!(check_name(&"STAGEDOOR_ADDR".to_lowercase(), "x", &known).is_err());
    }

    #[test]
    fn a_line_that_is_almost_a_setting_is_refused() {
        let known = known();
        for name in [
            "DATABSE_URL",
            "REDIS_URI",
            "SMTPURL",
            "RUSTLOG",
            "database_url",
        ] {
            assert!(check_line(name, &known).is_err(), "{name}");
        }
        for name in [
            "DATABASE_URL",
            "POSTGRES_PASSWORD",
            "HTTP_LISTEN",
            "PATH",
            "TZ",
        ] {
            assert!(check_line(name, &known).is_ok(), "{name}");
        }
    }

    #[test]
    fn variables_of_kubernetes_are_ignored() {
        let known = known();
        for (name, value) in [
            ("STAGEDOOR_SERVICE_HOST", "10.0.0.1"),
            ("STAGEDOOR_SERVICE_PORT_HTTP", "80"),
            ("STAGEDOOR_PORT", "tcp://10.0.0.1:80"),
            ("STAGEDOOR_WEB_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("STAGEDOOR_WEB_PORT_80_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(check_name(name, value, &known).is_ok(), "{name}");
        }
    }

    #[test]
    fn levels_that_would_silence_the_log_are_refused() {
        for levels in [
            "info",
            "INFO",
            "info,sqlx=warn,stagedoor=debug",
            "stagedoor::payments=trace",
            "stagedoor[request]=debug",
            "off",
            "",
        ] {
            assert!(check_levels(levels).is_ok(), "{levels}");
        }
        for levels in ["inof", "verbose", "stagedoor=loud", "info,sqlx", "a=b=c"] {
            let refused = check_levels(levels).unwrap_err().to_string();
            assert!(refused.starts_with("RUST_LOG: "), "{refused}");
        }
    }

    /// Variables that the project's scripts and tests set must not be refused.
    #[test]
    fn every_name_in_the_repository_is_known() {
        fn read(folder: &Path, names: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    if !path.ends_with("node_modules") && !path.ends_with("test-results") {
                        read(&path, names);
                    }
                } else if let Ok(text) = fs::read_to_string(&path) {
                    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                    let ours = words.filter(|word| word.starts_with("STAGEDOOR_"));
                    names.extend(ours.map(|word| word.trim_end_matches('_').to_owned()));
                }
            }
        }
        // A misspelt name in the test of check-deploy.sh.
        let wrong_on_purpose = format!("{}LOGS", PREFIXES[0]);
        let known = known();
        let mut names = BTreeSet::new();
        for folder in ["scripts", "end2end", "deploy"] {
            read(&Path::new("..").join(folder), &mut names);
        }
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let is_known = check_name(&name, "", &known).is_ok();
            let is_prefix = OTHER_PREFIXES.contains(&format!("{name}_").as_str());
            assert!(
                is_known || is_prefix || name == wrong_on_purpose,
                "{name} is not known"
            );
        }
    }
}
