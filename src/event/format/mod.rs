//! The stream's events in the forms that other tools, and people, read.
//!
//! Each takes an [`Event`] and gives lines. What a form has no word for is left out; but that something is *missing* is never left out:
//! where the form cannot say it, [`Output::Notice`] does, to be shown beside the lines.

mod cloudevents;
mod debezium;
mod pretty;
#[cfg(test)]
mod tests;
mod wal2json;

use std::fmt;
use std::str::FromStr;

use super::received::Event;

/// A form of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// The stream itself: every object as it is.
    #[default]
    Json,
    /// For a person at a terminal.
    Pretty,
    /// Debezium's envelope, without schemas.
    Debezium,
    /// wal2json, format version 2, with xid, lsn and timestamp and without types.
    Wal2json,
    /// CloudEvents 1.0, structured JSON.
    Cloudevents,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::Json, Self::Pretty, Self::Debezium, Self::Wal2json, Self::Cloudevents];

    /// As it is named on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Pretty => "pretty",
            Self::Debezium => "debezium",
            Self::Wal2json => "wal2json",
            Self::Cloudevents => "cloudevents",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of the forms'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a format; the formats are json, pretty, debezium, wal2json and cloudevents")]
pub struct UnknownFormat {
    /// What was given.
    pub name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let named = Self::ALL.into_iter().find(|format| format.as_str() == name);
        named.ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

/// What an event became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// One line or several, the last without its end.
    Lines(String),
    /// For a person, beside the lines: something is missing from them, or was refused.
    Notice(String),
    /// The form has no word for it.
    Nothing,
}

/// Turns the objects of one connection into a form, in their order.
#[derive(Debug)]
pub struct Formatter {
    format: Format,
    colour: bool,
    /// The watched database's name, which `hello` tells.
    database: String,
    /// The transaction whose beginning wal2json was told.
    begun: String,
}

impl Formatter {
    /// Into this form; `colour` is for [`Format::Pretty`].
    pub fn new(format: Format, colour: bool) -> Self {
        Self { format, colour, database: String::new(), begun: String::new() }
    }

    /// Formats one object of the stream.
    ///
    /// # Errors
    /// If it is not of the promised shape.
    pub fn format(&mut self, json: &str) -> Result<Output, serde_json::Error> {
        if self.format == Format::Json {
            return Ok(Output::Lines(json.to_owned()));
        }
        let event = Event::read(json)?;
        if let Event::Hello(hello) = &event {
            self.database = hello.database.as_ref().map_or_else(String::new, |database| database.name.clone());
        }
        let line = match self.format {
            Format::Json => Some(json.to_owned()),
            Format::Pretty => pretty::line(&event, self.colour),
            Format::Debezium => debezium::line(&event, &self.database)?,
            Format::Wal2json => wal2json::lines(&event, &mut self.begun)?,
            Format::Cloudevents => cloudevents::line(&event, json, &self.database)?,
        };
        Ok(match (line, &event) {
            (Some(line), _) => Output::Lines(line),
            (None, Event::Gap(_) | Event::Error(_)) => pretty::line(&event, false).map_or(Output::Nothing, Output::Notice),
            (None, Event::Hello(hello)) if !hello.no_such_table.is_empty() => {
                Output::Notice(format!("there is no table {} (now)", hello.no_such_table.join(", ")))
            }
            (None, _) => Output::Nothing,
        })
    }
}
