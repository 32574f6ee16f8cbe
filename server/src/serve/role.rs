//! The role of a process.

use clap::ValueEnum;

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Pages, REST and jobs.
    All,
    /// Pages and REST.
    Web,
    /// Jobs.
    Worker,
}

impl Role {
    /// The value of the flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }
}
