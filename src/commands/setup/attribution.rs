//! Who changed rows, and by which statement: what of the triggers that tell it is there, and what is missing.
//!
//! The triggers are put on every table that is published and on those above it, partitioned or inherited from, since a statement fires
//! those of the table that it names. What is asked for is what there will be: the triggers of a table that is left out now are removed, and what is
//! not asked for stays as it was set up before.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use tokio_postgres::Client;

use super::SetupOptions;
use super::candidates::Candidate;
use super::selection::Selection;
use crate::commands::script::{Script, fill};

/// The function that the triggers call.
const TELL_ACTOR: &str = include_str!("../../../sql/setup/attribution.sql");
/// The event trigger that puts them on tables to come.
const TO_COME: &str = include_str!("../../../sql/setup/attribution_to_come.sql");

/// What an application does to rows that is to be told of, with who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Attribute {
    Insert,
    Update,
    Delete,
    Truncate,
    /// Nothing at all
    None,
}

impl Attribute {
    const ALL: [Attribute; 4] = [Attribute::Insert, Attribute::Update, Attribute::Delete, Attribute::Truncate];

    fn keyword(self) -> &'static str {
        match self {
            Attribute::Insert => "INSERT",
            Attribute::Update => "UPDATE",
            Attribute::Delete => "DELETE",
            Attribute::Truncate => "TRUNCATE",
            Attribute::None => "",
        }
    }

    /// Its bit in `pg_trigger.tgtype`.
    fn bit(self) -> i16 {
        match self {
            Attribute::Insert => 1 << 2,
            Attribute::Delete => 1 << 3,
            Attribute::Update => 1 << 4,
            Attribute::Truncate => 1 << 5,
            Attribute::None => 0,
        }
    }
}

/// How many characters of a statement are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryText(u32);

impl QueryText {
    /// More would be a burden for every session, which keeps the text that it told last.
    const MOST: u32 = 10_000;
}

impl Default for QueryText {
    fn default() -> Self {
        QueryText(500)
    }
}

/// It is neither `off` nor a number that would do.
#[derive(Debug, thiserror::Error)]
#[error("give off, or a number of characters up to {}", QueryText::MOST)]
pub struct ParseQueryTextError;

impl FromStr for QueryText {
    type Err = ParseQueryTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(QueryText(0)),
            number => number.parse().ok().filter(|length| *length <= Self::MOST).map(QueryText).ok_or(ParseQueryTextError),
        }
    }
}

/// What is to be told, on which tables, and what there is of it.
pub(super) struct Attribution<'a> {
    operations: BTreeSet<Attribute>,
    query: QueryText,
    /// Tables that lack the trigger, or have one for other operations.
    lacking: Vec<&'a Candidate>,
    /// Tables that have it and should not.
    excess: Vec<&'a Candidate>,
    function: Function,
    /// The event trigger is there.
    has_event_trigger: bool,
    /// It is as it should be.
    sees_to_new: bool,
}

/// What of the function that the triggers call is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// It is as it should be.
    Ready,
    /// It is to be made, or replaced.
    Missing,
    /// It is in the hands of another role.
    OutOfReach,
}

impl<'a> Attribution<'a> {
    /// What the options ask for, beside what is there.
    pub(super) async fn choose(
        client: &Client,
        options: &SetupOptions,
        selection: &Selection<'a>,
    ) -> Result<Self, tokio_postgres::Error> {
        let there = client.query_one(include_str!("../../../sql/setup/attribution_is.sql"), &[]).await?;
        let (tell_actor, attribute_new): (Option<&str>, Option<&str>) =
            (there.try_get("tell_actor")?, there.try_get("attribute_new")?);
        let (operations, query) = settings(options, tell_actor);
        let covered = if operations.is_empty() { BTreeSet::new() } else { covered(selection) };
        let kind = |table: &Candidate| Some(fired_by(&operations, table.partitioned).map(Attribute::bit).sum());
        let owned = |table: &&Candidate| table.owned;
        let lacks = |table: &&Candidate| covered.contains(&table.oid) && table.attributed != kind(table);
        let exceeds = |table: &&Candidate| table.attributed.is_some() && !covered.contains(&table.oid);
        let (lacking, excess) = (
            selection.all.iter().filter(lacks).filter(owned).collect(),
            selection.all.iter().filter(exceeds).filter(owned).collect(),
        );
        let mut attribution = Attribution {
            operations,
            query,
            lacking,
            excess,
            function: Function::OutOfReach,
            has_event_trigger: there.try_get("to_come")?,
            sees_to_new: false,
        };
        let is_wanted = there.try_get("trusted")? && tell_actor == Some(&*body(&attribution.filled(TELL_ACTOR)));
        if is_wanted && there.try_get("may_use")? {
            attribution.function = Function::Ready;
        } else if !is_wanted && there.try_get("may_make")? {
            attribution.function = Function::Missing;
        }
        attribution.sees_to_new = attribution.has_event_trigger && attribute_new == Some(&*body(&attribution.filled(TO_COME)));
        Ok(attribution)
    }

    /// Whether something is put into the schema `pgvigil`.
    pub(super) fn puts_code(&self) -> bool {
        self.function == Function::Missing
    }

    /// What makes it so.
    pub(super) fn script(&self, superuser: bool) -> Script {
        let mut script = Script::default();
        if self.operations.is_empty() {
            if superuser && self.has_event_trigger {
                script.sql("DROP EVENT TRIGGER pgvigil_new;\nDROP FUNCTION pgvigil.attribute_new();", &[]);
            }
            if self.function == Function::Missing {
                script.remark("Who changes rows is not told. The function for it is there all the same, to remember that.");
                script.sql(&self.filled(TELL_ACTOR), &[]);
            }
        } else if self.function == Function::OutOfReach {
            if !self.lacking.is_empty() {
                script.remark(
                    "Who changes rows is not told of every table: the function for it may not be made or used in schema pgvigil by \
                     this role. Let the schema's owner, or a superuser, run setup.",
                );
            }
        } else {
            self.install(&mut script, superuser);
        }
        if !self.excess.is_empty() {
            let triggers: Vec<String> =
                self.excess.iter().map(|table| format!("DROP TRIGGER pgvigil_actor ON {};", table.sql_name())).collect();
            script.sql(include_str!("../../../sql/setup/attribution_drop.sql"), &[("triggers", &triggers.join("\n"))]);
        }
        script
    }

    fn install(&self, script: &mut Script, superuser: bool) {
        if self.function == Function::Missing {
            script.sql(&self.filled(TELL_ACTOR), &[]);
        }
        if superuser && !self.sees_to_new {
            script.sql(&self.filled(TO_COME), &[]);
        } else if !self.has_event_trigger {
            script.remark(
                "Who changes rows is not told of tables and partitions that are made from now on, since event triggers take a \
                 superuser. Run setup again once they are made.",
            );
        }
        // Last, for the sake of those who wait for these tables.
        if !self.lacking.is_empty() {
            let triggers: Vec<String> = self.lacking.iter().map(|table| self.trigger(table)).collect();
            script.sql(include_str!("../../../sql/setup/attribution_triggers.sql"), &[("triggers", &triggers.join("\n"))]);
        }
    }

    fn trigger(&self, table: &Candidate) -> String {
        let (name, events) = (table.sql_name(), self.events(table.partitioned));
        format!(
            "CREATE OR REPLACE TRIGGER pgvigil_actor AFTER {events} ON {name}\n  FOR EACH STATEMENT EXECUTE FUNCTION pgvigil.tell_actor();\n\
             ALTER TABLE ONLY {name} ENABLE ALWAYS TRIGGER pgvigil_actor;"
        )
    }

    fn events(&self, partitioned: bool) -> String {
        fired_by(&self.operations, partitioned).map(Attribute::keyword).collect::<Vec<_>>().join(" OR ")
    }

    fn filled(&self, template: &str) -> String {
        let names: Vec<_> = self.operations.iter().map(|operation| operation.keyword().to_lowercase()).collect();
        let (operations, length) = (names.join(","), self.query.0.to_string());
        let [events, of_partitioned] = [false, true].map(|partitioned| self.events(partitioned));
        let values =
            [("operations", &operations), ("events", &events), ("of_partitioned", &of_partitioned), ("query_length", &length)];
        fill(template, &values.map(|(name, value)| (name, value.as_str())))
    }
}

/// What fires the trigger of a table. An UPDATE of a partitioned one may take rows from partition to partition, and so deletes them.
fn fired_by(operations: &BTreeSet<Attribute>, partitioned: bool) -> impl Iterator<Item = Attribute> {
    let moves =
        move |operation: &Attribute| partitioned && *operation == Attribute::Update && operations.contains(&Attribute::Delete);
    Attribute::ALL.into_iter().filter(move |operation| operations.contains(operation) || moves(operation))
}

/// What is asked for; where nothing is said, what was asked for before.
fn settings(options: &SetupOptions, tell_actor: Option<&str>) -> (BTreeSet<Attribute>, QueryText) {
    let said = |before: &str, after: &str| {
        let (_, rest) = tell_actor?.split_once(before)?;
        Some(rest.split_once(after)?.0)
    };
    let operations = if !options.attribute.is_empty() {
        Attribute::ALL.into_iter().filter(|operation| options.attribute.contains(operation)).collect()
    } else if let Some(operations) = said("operations CONSTANT text := '", "';") {
        let named = |operation: &Attribute| operations.split(',').any(|name| name.eq_ignore_ascii_case(operation.keyword()));
        Attribute::ALL.into_iter().filter(named).collect()
    } else {
        BTreeSet::from([Attribute::Delete, Attribute::Truncate])
    };
    let query = said("query_length CONSTANT integer := ", ";").and_then(|length| length.parse().ok());
    (operations, options.attribute_query.or(query).unwrap_or_default())
}

/// The tables that are read, and those above them.
fn covered(selection: &Selection<'_>) -> BTreeSet<u32> {
    let above: HashMap<u32, &[u32]> = selection.all.iter().map(|table| (table.oid, &*table.above)).collect();
    let mut covered = BTreeSet::new();
    let mut next: Vec<u32> = selection.read.iter().map(|table| table.oid).collect();
    while let Some(oid) = next.pop() {
        if covered.insert(oid) {
            next.extend(above.get(&oid).copied().unwrap_or_default());
        }
    }
    covered
}

/// The body of the function that a statement makes, as `pg_proc.prosrc` has it.
fn body(sql: &str) -> String {
    sql.split("$$").nth(1).unwrap_or_default().to_owned()
}
