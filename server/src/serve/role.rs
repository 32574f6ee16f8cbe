//! Which part of the work a process does.

use clap::ValueEnum;

/// A part of the work.
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
    /// As the flag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }
}
