//! Keeps the state: a file of JSON lines, each the newest version of one object. What is written
//! has reached the operating system before a call is answered, so it survives `kill -9`.

use crate::model::Record;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::PathBuf,
};

const FILE: &str = "stripe-double.jsonl";

/// Where objects are kept; nowhere, if there is no folder.
pub struct Store(Option<File>);

impl Store {
    /// Opens the file and hands out what it holds, oldest first. A line that a crash cut short is
    /// dropped: its call was never answered.
    pub fn open(folder: Option<PathBuf>) -> std::io::Result<(Self, Vec<Record>)> {
        let Some(folder) = folder else {
            return Ok((Self(None), Vec::new()));
        };
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(FILE);
        let mut records = Vec::new();
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines() {
                if let Ok(record) = serde_json::from_str(&line?) {
                    records.push(record);
                }
            }
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        // Ends a line that was cut short, so that the next one stands on its own.
        writeln!(file)?;
        Ok((Self(Some(file)), records))
    }

    /// Writes one object down.
    pub fn write(&mut self, record: &Record) {
        let Some(file) = &mut self.0 else { return };
        let line = serde_json::to_string(record).unwrap_or_default();
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "the Stripe double could not write its state");
        }
    }
}
