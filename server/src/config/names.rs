//! Names of settings: what is set under a name that nobody reads is refused, since it would
//! otherwise look as if it had been heeded. Owns the list of names that begin like settings and are
//! none, such as those of the project's own scripts. What a value means is not decided here.

use super::{ConfigError, Settings, wrong};
use clap::Args;
use platform::telemetry;
use std::collections::BTreeSet;

/// What names begin with that are ours.
const PREFIXES: [&str; 2] = ["STAGEDOOR_", "STRIPE_"];
/// Read by scripts, tests or other programs, and set for whatever they run.
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
/// The same, whatever follows.
const OTHER_PREFIXES: [&str; 2] = ["STAGEDOOR_E2E_", "STAGEDOOR_TEST_"];
/// A name in `.env` that does not begin like ours is taken for a setting if at most so many letters
/// are wrong.
const TYPOS_MAX: usize = 2;
/// Names that are further from what is meant by them than from another setting.
const MEANT: [(&str, &str); 3] = [
    ("STRIPE_API_KEY", "STRIPE_SECRET_KEY"),
    ("STRIPE_KEY", "STRIPE_SECRET_KEY"),
    ("STAGEDOOR_PORT", "STAGEDOOR_ADDR"),
];
const RUST_LOG: &str = "RUST_LOG";

/// Refuses names of the environment and of `.env` that are taken for settings and are none, and a
/// `RUST_LOG` that cannot be read. Errors: the first of them, in the order of names.
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
    // A missing .env is no error, and one that cannot be read has been told of before.
    let lines = dotenvy::dotenv_iter().into_iter().flatten().flatten();
    for (name, _) in lines {
        check_line(&name, &known)?;
    }
    Ok(())
}

/// All settings by their names.
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

/// A line of `.env` whose name is almost that of a setting, whatever it begins with.
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
    wrong(name.to_owned(), reason)
}

/// The known name with the fewest wrong letters, if they are not more than `typos_max`.
fn nearest<'k>(name: &str, known: &'k BTreeSet<String>, typos_max: usize) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known.as_str()))
        .filter(|(typos, _)| *typos <= typos_max)
        .min()
        .map(|(_, known)| known)
}

/// Whether Kubernetes has set it, as it does in each pod for each service: one that is called
/// `stagedoor` gives its pods `STAGEDOOR_SERVICE_HOST` and `STAGEDOOR_PORT=tcp://10.0.0.1:80`.
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

/// A word alone is a level: as the name of a part of the program it would silence all others.
fn check_levels(text: &str) -> Result<(), ConfigError> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    if let Err(error) = telemetry::check_levels(text) {
        return Err(wrong(
            RUST_LOG,
            format!("\"{text}\" cannot be read: {error}"),
        ));
    }
    let parts = text.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty() && !text.contains('[')) {
        let is_level = LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
        let names_a_part = part.contains('=') || part.contains("::") || part == "stagedoor";
        if !is_level && !names_a_part && part.parse::<u8>().is_err() {
            let reason = format!(
                "\"{part}\" is none of error, warn, info, debug, trace and off; for a part of the program write {part}=debug"
            );
            return Err(wrong(RUST_LOG, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn a_misspelt_setting_is_refused_with_what_was_meant() {
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
    fn what_kubernetes_sets_is_no_setting() {
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

    /// What the project's own scripts and tests set must not keep a server from starting.
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
        // A name that the test of check-deploy.sh breaks on purpose.
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
