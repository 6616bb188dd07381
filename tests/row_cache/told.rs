//! What is told of old rows, held against what the database recorded of them in the same transaction.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// The columns of every table; some have more for a while.
const COLUMNS: [&str; 16] = ["id", "code", "a", "n", "f", "m", "d", "j", "r", "b", "arr", "t", "i", "c", "o", "large"];

/// Old rows of one transaction, by table and operation.
type Rows = BTreeMap<(String, String), Vec<String>>;

/// All that was told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    recorded: Rows,
    told: Rows,
    /// Changes that were told without their whole old row.
    untold: BTreeMap<(String, String), usize>,
    /// By operation: how many rows were told, and how many were not.
    totals: BTreeMap<String, (usize, usize)>,
    calm: bool,
    over: bool,
}

impl Told {
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn event(&mut self, event: Value) -> Result<()> {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        match (event["type"].as_str(), text("table").as_str(), text("op").as_str()) {
            (Some("change"), "truth", "insert") => {
                let new = &event["new"];
                match new["place"].as_str() {
                    Some("calm") => self.calm = true,
                    Some("over") => self.over = true,
                    Some("quiet") => {}
                    Some(place) => {
                        let of = (place.to_owned(), new["op"].as_str().context("op")?.to_owned());
                        self.recorded.entry(of).or_default().push(row(new, &event["exact"]["new"])?);
                    }
                    None => bail!("nothing recorded: {event}"),
                }
            }
            (Some("change"), table, "truncate") => {
                let of = (table.to_owned(), "truncate".to_owned());
                match event["old_rows"].as_array() {
                    Some(rows) => {
                        ensure!(event["rows_lost"] == rows.len(), "as many rows are lost as are told: {event}");
                        let none = Value::Null;
                        for (place, old) in rows.iter().enumerate() {
                            let exact = event["exact"]["old_rows"].get(place).unwrap_or(&none);
                            self.told.entry(of.clone()).or_default().push(row(old, exact)?);
                        }
                    }
                    None if event["rows_lost"] == 0 => {}
                    None => *self.untold.entry(of).or_default() += 1,
                }
            }
            (Some("change"), table, operation @ ("update" | "delete")) => {
                let of = (table.to_owned(), operation.to_owned());
                if event["old_complete"] == true {
                    self.told.entry(of).or_default().push(row(&event["old"], &event["exact"]["old"])?);
                } else {
                    ensure!(!self.calm, "all rows are known: {event}");
                    *self.untold.entry(of).or_default() += 1;
                }
            }
            (Some("commit"), ..) => self.commit().with_context(|| event["tx"].to_string())?,
            (Some("gap"), ..) => bail!("{event}"),
            _ => {}
        }
        Ok(())
    }

    /// Every row that was told was recorded, and every row that was recorded was told, or said not to be known.
    fn commit(&mut self) -> Result<()> {
        let (recorded, mut told, untold) =
            (std::mem::take(&mut self.recorded), std::mem::take(&mut self.told), std::mem::take(&mut self.untold));
        for (of, mut recorded) in recorded {
            let mut told = told.remove(&of).unwrap_or_default();
            let missing = untold.get(&of).copied().unwrap_or_default();
            let totals = self.totals.entry(of.1.clone()).or_default();
            totals.0 += told.len();
            totals.1 += recorded.len() - told.len().min(recorded.len());
            recorded.sort();
            told.sort();
            if of.1 == "truncate" && missing > 0 {
                // Truncated more than once, and told at least once: which rows were not told is not known.
                continue;
            }
            ensure!(
                of.1 == "truncate" || told.len() + missing == recorded.len(),
                "{of:?}: {} told, {missing} not, of {}",
                told.len(),
                recorded.len()
            );
            let mut left = recorded.iter();
            for row in &told {
                ensure!(left.any(|recorded| recorded == row), "{of:?}: told was {row}\nrecorded were {recorded:#?}");
            }
        }
        ensure!(told.is_empty(), "told, and never recorded: {told:?}");
        Ok(())
    }

    /// Not all was left unknown.
    pub(crate) fn suffices(&self) -> Result<()> {
        for operation in ["update", "delete", "truncate"] {
            let (told, untold) = self.totals.get(operation).copied().unwrap_or_default();
            // One truncate may take most rows of all, and at the wrong moment.
            ensure!(told > 50 && (operation == "truncate" || told * 2 > untold), "{self}");
        }
        Ok(())
    }
}

/// The columns that all tables have, each as PostgreSQL's own text where the JSON is not it.
fn row(row: &Value, exact: &Value) -> Result<String> {
    let value = |name: &&str| -> Result<(String, Value)> {
        let value = exact.get(*name).or_else(|| row.get(*name)).with_context(|| format!("no {name} in {row}"))?;
        Ok(((*name).to_owned(), value.clone()))
    };
    let columns: Map<String, Value> = COLUMNS.iter().map(value).collect::<Result<_>>()?;
    Ok(Value::Object(columns).to_string())
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operation, (told, untold)) in &self.totals {
            write!(f, "{operation}: {told} old rows told, {untold} not; ")?;
        }
        Ok(())
    }
}
