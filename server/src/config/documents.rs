//! The documents that list the settings: the end of `stagedoor --help`, `.env.example` and docs/settings.md.
//!
//! All three are made from the arguments in [`Settings`], so a setting is described once, beside its definition.
//! `stagedoor settings` prints the last two; a test compares them with the files.

use super::{Settings, names::RUST_LOG};
use clap::Args;
use std::fmt::Write;

/// Columns of `--help`: the name, the default, the description, and the whole line.
const NAME_COLUMN: usize = 32;
const DEFAULT_COLUMN: usize = 20;
const HELP_WIDTH: usize = 112;
/// Width of a comment in `.env.example`.
const COMMENT_WIDTH: usize = 108;

const ENV_INTRODUCTION: &str = "\
Stagedoor's settings with their defaults, as `stagedoor settings` prints them. Copy to .env and uncomment what you \
change. Variables of the environment take precedence over .env, and flags over both. Other names that begin with \
STAGEDOOR_ or STRIPE_ are refused. No setting is needed to try it: `make run`.";

const MARKDOWN_INTRODUCTION: &str = "\
# Settings

Each setting is a variable of the environment, a line of the file `.env` in the working directory, or, except for
`RUST_LOG`, a flag: its name in lower case with hyphens and without `STAGEDOOR_` (`--hold-seconds 600`). Flags take
precedence over the environment, and the environment over `.env`. Stagedoor does not start with an unknown
`STAGEDOOR_…` or `STRIPE_…` variable or an invalid value; the error names it. This page is printed by
`stagedoor settings --format markdown`; [deploy.md](deploy.md) says which settings a shop needs.
";

/// One setting.
struct Setting {
    name: String,
    /// Empty if there is none, or if it depends on other settings: the description says so then.
    default: String,
    /// One sentence, or a phrase.
    summary: String,
    /// Further sentences; may be empty.
    details: String,
    group: String,
}

impl Setting {
    fn of(argument: &clap::Arg) -> Option<Self> {
        let name = argument.get_env()?.to_string_lossy().into_owned();
        let defaults = argument.get_default_values().iter();
        let default = defaults.map(|value| value.to_string_lossy()).collect();
        let text = |styled: Option<&clap::builder::StyledStr>| {
            styled.map(ToString::to_string).unwrap_or_default()
        };
        let summary = text(argument.get_help());
        let all = text(argument.get_long_help());
        let details = all.strip_prefix(&summary).unwrap_or_default().trim();
        Some(Self {
            name,
            default,
            details: details.to_owned(),
            summary,
            group: argument.get_help_heading().unwrap_or_default().to_owned(),
        })
    }

    /// The whole description, as sentences.
    fn description(&self) -> String {
        let mut text = format!("{}.", self.summary.trim_end_matches('.'));
        if !self.details.is_empty() {
            let _ = write!(text, " {}.", self.details.trim_end_matches('.'));
        }
        text
    }
}

/// All settings, in the order of their definition. `RUST_LOG` has no flag.
fn settings() -> Vec<Setting> {
    let command = Settings::augment_args(clap::Command::new("stagedoor"));
    let mut settings: Vec<Setting> = command.get_arguments().filter_map(Setting::of).collect();
    let first_trace = settings
        .iter()
        .position(|one| one.name.starts_with("OTEL_"));
    let levels = Setting {
        name: RUST_LOG.to_owned(),
        default: platform::telemetry::DEFAULT_LEVELS.to_owned(),
        summary: "The least level of log lines, for each module".to_owned(),
        details: "`info,stagedoor=debug` adds a line for each request".to_owned(),
        group: "Log and traces".to_owned(),
    };
    settings.insert(first_trace.unwrap_or(settings.len()), levels);
    settings
}

/// The table at the end of `stagedoor --help`: names, defaults and summaries.
pub fn help_table() -> String {
    let mut table =
        "Settings (environment; flags of the same name win; .env is read):\n".to_owned();
    for setting in settings() {
        let mut line = format!("  {:<NAME_COLUMN$}", setting.name);
        let mut column = NAME_COLUMN + 2;
        if setting.name.len() >= NAME_COLUMN {
            let _ = writeln!(table, "{}", line.trim_end());
            line = " ".repeat(column);
        }
        let _ = write!(line, "{:<DEFAULT_COLUMN$}", setting.default);
        column += DEFAULT_COLUMN;
        if setting.default.len() >= DEFAULT_COLUMN {
            let _ = writeln!(table, "{}", line.trim_end());
            line = " ".repeat(column);
        }
        let summary = setting.summary.replace('`', "");
        for (index, words) in wrap(&summary, HELP_WIDTH - column).iter().enumerate() {
            if index > 0 {
                line = " ".repeat(column);
            }
            let _ = writeln!(table, "{line}{words}");
        }
    }
    table
}

/// The file `.env.example`.
pub fn env_file() -> String {
    let mut file = comment(ENV_INTRODUCTION);
    let mut group = String::new();
    for setting in settings() {
        if setting.group != group {
            group.clone_from(&setting.group);
            let _ = write!(file, "\n# --- {group} ---\n");
        }
        let description = comment(&setting.description().replace('`', ""));
        let _ = write!(
            file,
            "\n{description}#{}={}\n",
            setting.name, setting.default
        );
    }
    file
}

/// The page docs/settings.md.
pub fn markdown() -> String {
    let mut page = MARKDOWN_INTRODUCTION.to_owned();
    let mut group = String::new();
    for setting in settings() {
        if setting.group != group {
            group.clone_from(&setting.group);
            let _ = write!(
                page,
                "\n## {group}\n\n| setting | default | |\n|---|---|---|\n"
            );
        }
        let default = match setting.default.as_str() {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let description = setting.description().replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {default} | {description} |", setting.name);
    }
    page
}

fn comment(text: &str) -> String {
    let lines = wrap(text, COMMENT_WIDTH).into_iter();
    lines
        .flat_map(|line| ["# ".to_owned(), line, "\n".to_owned()])
        .collect()
}

/// Lines of at most `width` characters, except for longer words. At least one.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn the_files_list_the_settings() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, expected, format) in [
            (".env.example", env_file(), "env"),
            ("docs/settings.md", markdown(), "markdown"),
        ] {
            assert_eq!(
                fs::read_to_string(root.join(file)).unwrap_or_default(),
                expected,
                "run `stagedoor settings --format {format} > {file}`"
            );
        }
    }

    #[test]
    fn every_setting_is_described() {
        for setting in settings() {
            assert!(setting.summary.len() > 10, "{}", setting.name);
            assert!(help_table().contains(&setting.name), "{}", setting.name);
        }
    }

    #[test]
    fn lines_are_as_long_as_allowed() {
        let text = "a bc def ghij";
        assert_eq!(wrap(text, 4), ["a bc", "def", "ghij"]);
        assert_eq!(wrap(text, 1), ["a", "bc", "def", "ghij"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
