//! Which tables and whose transactions a rule is about.

use std::sync::Arc;

use super::fact::{Actor, Relation};
use crate::event::filter::{Filter, FilterError};

/// Tables by name, as in the stream's `table=`; actors by any of their names.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    tables: Option<Arc<Filter>>,
    except_tables: Option<Arc<Filter>>,
    partitions: bool,
    actors: Vec<String>,
    except_actors: Vec<String>,
}

/// How a selection is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) tables: Vec<String>,
    pub(super) except_tables: Vec<String>,
    pub(super) partitions: bool,
    pub(super) actors: Vec<String>,
    pub(super) except_actors: Vec<String>,
}

impl Selection {
    pub(super) fn new(names: Names) -> Result<Self, FilterError> {
        let filter = |tables: &[String]| match tables {
            [] => Ok(None),
            tables => Filter::parse(tables.iter().map(|table| ("table", table.as_str()))).map(|filter| Some(Arc::new(filter))),
        };
        Ok(Self {
            tables: filter(&names.tables)?,
            except_tables: filter(&names.except_tables)?,
            partitions: names.partitions,
            actors: names.actors,
            except_actors: names.except_actors,
        })
    }

    /// Whether it is about this table. A partition is meant only by name, or where partitions are asked for: else what happens to it
    /// is judged by the table that it is a part of.
    pub fn has_table(&self, schema: &str, name: &str, relation: Relation) -> bool {
        let named = self.names_table(schema, name);
        let any = self.tables.is_none() && (self.partitions || relation == Relation::Table);
        let excepted = self.except_tables.as_ref().is_some_and(|tables| tables.passes_table(schema, name));
        (named || any) && !excepted
    }

    /// Whether it is about this table by name.
    pub fn names_table(&self, schema: &str, name: &str) -> bool {
        self.tables.as_ref().is_some_and(|tables| tables.passes_table(schema, name))
    }

    /// The tables that it is about by name.
    pub fn named_tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.iter().flat_map(|filter| filter.tables())
    }

    /// Whether it is about what this actor does. Somebody unknown is nobody in particular.
    pub fn has_actor(&self, actor: Option<&Actor>) -> bool {
        let is_one_of = |names: &[String]| actor.is_some_and(|actor| names.iter().any(|name| actor.is_called(name)));
        (self.actors.is_empty() || is_one_of(&self.actors)) && !is_one_of(&self.except_actors)
    }
}
