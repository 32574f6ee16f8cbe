//! The file that the state is kept in: one line for each step, a JSON array of the newest versions
//! of all that the step changed.
//!
//! A line is handed to the operating system, in one append, before its step is answered: it
//! survives `kill -9`. A line without its end was cut short by a crash; nobody was answered, and it
//! counts for nothing. So an intent and its event, or an effect and the answer saved for its key,
//! are there together or not at all. No power cut is survived: nothing is synced.

use crate::model::Record;
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

const FILE: &str = "stripe-double.jsonl";

/// Where steps are kept; nowhere, if there is no folder.
pub(crate) struct Store(Option<Opened>);

struct Opened {
    file: File,
    /// Up to where it holds whole lines.
    length: u64,
}

impl Store {
    /// Opens the file and hands out what it holds, oldest first. What a crash cut short is cut off,
    /// so that the next line stands on its own.
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
        // Client secrets are in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(folder.join(FILE))?;
        if is_torn {
            file.set_len(length)?;
        }
        Ok((Self(Some(Opened { file, length })), records))
    }

    /// Appends one step. If that fails, the file holds nothing of it.
    pub(crate) fn append(&mut self, step: &[Record]) -> std::io::Result<()> {
        let Some(Opened { file, length }) = &mut self.0 else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(step)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            // Part of it may be there (a full disk), and the next line must not follow that.
            file.set_len(*length)?;
            return Err(error);
        }
        *length += line.len() as u64;
        Ok(())
    }
}

/// What the folder's file holds.
pub(crate) struct Read {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Of its whole lines.
    length: u64,
    /// Something follows them.
    is_torn: bool,
}

/// Reads the folder's file. Changes nothing, so it may be done while a double is writing.
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
            // Older versions ended what a crash had cut short, and went on after it.
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
    /// Older versions wrote each object on a line of its own.
    Record(Box<Record>),
}
