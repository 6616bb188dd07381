//! What the encoder needs of a table, prepared once for each `Relation` message of the stream.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::block::TableName;
use super::json;
use super::value::Form;
use crate::encoding::Encoding;
use crate::lsn::Oid;
use crate::pgoutput::{self, ReplicaIdentity, Text};

/// A table as it is at one place in the stream, with every piece of JSON that does not depend on the row.
#[derive(Clone, Debug)]
pub struct Relation {
    table: Arc<TableName>,
    identity: ReplicaIdentity,
    columns: Box<[Column]>,
    /// Indices of the columns that name a row.
    key: Vec<usize>,
    /// From the table's schema to its oid.
    pub(super) naming: Box<[u8]>,
}

/// A published column.
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    in_identity: bool,
    type_oid: Oid,
    pub(super) form: Form,
    /// A comma, then the name and its colon.
    pub(super) member: Box<[u8]>,
}

impl Relation {
    /// The table that `message` describes, whose names are in the server's `encoding`.
    pub fn new(message: &pgoutput::Relation<'_>, encoding: &Encoding) -> Self {
        let schema = match message.schema {
            Text(b"") => "pg_catalog".to_owned(),
            Text(schema) => encoding.decode(schema).0.into_owned(),
        };
        let table = TableName { oid: message.oid, schema, name: encoding.decode(message.name.0).0.into_owned() };
        let columns: Box<[Column]> = message.columns.iter().map(|column| Column::new(&column, encoding)).collect();
        let key = match message.identity {
            // The protocol flags every column then: no key is known from it.
            ReplicaIdentity::Full => Vec::new(),
            _ => columns.iter().enumerate().filter(|(_, column)| column.in_identity).map(|(index, _)| index).collect(),
        };
        let mut naming = b",\"schema\":".to_vec();
        json::string(&mut naming, &table.schema);
        naming.extend_from_slice(b",\"table\":");
        json::string(&mut naming, &table.name);
        naming.extend_from_slice(b",\"oid\":");
        json::integer(&mut naming, table.oid.0);
        Self { table: Arc::new(table), identity: message.identity, columns, key, naming: naming.into() }
    }

    /// The same with the values of domains written as those of their base types.
    pub fn with_domains(mut self, domains: &Domains) -> Self {
        for column in &mut self.columns {
            if let Some(form) = domains.0.get(&column.type_oid) {
                column.form = *form;
            }
        }
        self
    }

    /// Tells the columns of the primary key, in its order, where the stream does not: with `REPLICA IDENTITY FULL` or `NOTHING`.
    /// With any other identity its columns are the key, since old rows carry no others. A key with a column that is not published
    /// names no row, and counts as none.
    pub fn set_primary_key(&mut self, names: &[impl AsRef<str>]) {
        if matches!(self.identity, ReplicaIdentity::Full | ReplicaIdentity::Nothing) {
            let index = |name: &str| self.columns.iter().position(|column| column.name == name);
            self.key = names.iter().map(|name| index(name.as_ref())).collect::<Option<_>>().unwrap_or_default();
        }
    }

    /// Its oid and name.
    pub fn table(&self) -> &Arc<TableName> {
        &self.table
    }

    /// What old rows carry.
    pub fn identity(&self) -> ReplicaIdentity {
        self.identity
    }

    /// The published columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns that name a row, each with its index; none if there is no key.
    pub(super) fn key(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.key.iter().copied()
    }
}

impl Column {
    fn new(column: &pgoutput::Column<'_>, encoding: &Encoding) -> Self {
        let name = encoding.decode(column.name.0).0.into_owned();
        let mut member = b",".to_vec();
        json::string(&mut member, &name);
        member.push(b':');
        Self { name, in_identity: column.key, type_oid: column.type_oid, form: Form::of(column.type_oid), member: member.into() }
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the replica identity has it; with `FULL` every column.
    pub fn in_identity(&self) -> bool {
        self.in_identity
    }

    /// Type.
    pub fn type_oid(&self) -> Oid {
        self.type_oid
    }
}

/// The base types of domains, as far as they matter: learnt from the `Type` messages in front of the relations that use them.
#[derive(Clone, Debug, Default)]
pub struct Domains(FxHashMap<Oid, Form>);

impl Domains {
    /// Remembers a type. An enum or a composite teaches nothing.
    pub fn learn(&mut self, message: &pgoutput::Type<'_>) {
        // The message names the base type of a domain; its schema is empty for pg_catalog.
        let form = match (message.schema, std::str::from_utf8(message.name.0)) {
            (Text(b""), Ok(name)) => Form::of_base_type(name),
            _ => None,
        };
        match form {
            Some(form) => self.0.insert(message.oid, form),
            None => self.0.remove(&message.oid),
        };
    }
}
