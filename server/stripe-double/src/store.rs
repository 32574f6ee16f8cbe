//! The file of the state: one line per step, a JSON array of the newest versions of all changed objects.
//!
//! A line is written by one append before its step is answered, so it survives `kill -9`. An incomplete
//! last line, left by a crash before the answer, is ignored. So an intent and its event, or a change and the
//! answer for its key, are kept together or not at all. Not synced, so it does not survive a power failure.

use crate::model::Record;
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

const FILE: &str = "stripe-double.jsonl";

/// The file of steps; does nothing without a folder.
pub(crate) struct Store(Option<Opened>);

struct Opened {
    file: File,
    /// Length of all complete lines.
    length: u64,
}

impl Store {
    /// Opens the file and returns its records, oldest first. Truncates an incomplete last line.
    pub(crate) fn open(folder: Option<PathBuf>) -> std::io::Result<(Self, Vec<Record>)> {
        let Some(folder) = folder else {
            return Ok((Self(None), Vec::new()));
        };
        std::fs::create_dir_all(&folder)?;
        let (records, length, is_torn) = match read(&folder) {
            Ok(read) => (read.records, read.length, read.is_torn),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), 0, false),
            Err(error) => return Err(error),
        };
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // It contains client secrets.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(folder.join(FILE))?;
        if is_torn {
            file.set_len(length)?;
        }
        Ok((Self(Some(Opened { file, length })), records))
    }

    /// Appends one step. After an error, the file contains nothing of it.
    pub(crate) fn append(&mut self, step: &[Record]) -> std::io::Result<()> {
        let Some(Opened { file, length }) = &mut self.0 else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(step)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            // Remove a part that may have been written (full disk).
            file.set_len(*length)?;
            return Err(error);
        }
        *length += line.len() as u64;
        Ok(())
    }
}

/// The contents of the file.
pub(crate) struct Read {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Length of all complete lines.
    length: u64,
    /// Whether an incomplete line follows.
    is_torn: bool,
}

/// Reads the file without changing it, so a double may be writing it.
pub(crate) fn read(folder: &Path) -> std::io::Result<Read> {
    let bytes = std::fs::read(folder.join(FILE))?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let mut records = Vec::new();
    for line in bytes[..whole].split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(Line::Step(step)) => records.extend(step),
            Ok(Line::Record(record)) => records.push(*record),
            // Older versions terminated an incomplete line and continued after it.
            Err(error) => {
                tracing::warn!(%error, "a line of the Stripe double's state makes no sense");
            }
        }
    }
    Ok(Read {
        records,
        length: whole as u64,
        is_torn: whole < bytes.len(),
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Step(Vec<Record>),
    /// A line of an older version.
    Record(Box<Record>),
}
