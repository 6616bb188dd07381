//! `pgvigil setup`: the SQL that prepares a database to be watched, printed, and run when asked to.
//!
//! What it makes, it marks with a comment in the database, and it leaves alone whatever has its name but not that mark. Run again, it adds
//! what is missing and nothing else. [`super::cleanup`] removes what is marked.

mod attribution;
mod candidates;
mod plan;
mod selection;
mod there;

use std::io::{self, Write};

use clap::Args;
use tokio_postgres::Client;

use super::Failure;
use super::connection::ConnectionArgs;
use super::script::{self, ScriptError};
pub use attribution::{Attribute, QueryText};

use plan::Plan;
use selection::{NoSuchTable, Remedy};

/// What `setup` is told.
#[derive(Args, Clone, Debug)]
pub struct SetupArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    options: SetupOptions,
}

/// What to make.
#[derive(Args, Clone, Debug)]
pub struct SetupOptions {
    /// Run the SQL, all or nothing. Without this it is only printed
    #[arg(long)]
    pub apply: bool,

    /// The publication to make
    #[arg(long, env = "PGVIGIL_PUBLICATION", default_value = "pgvigil", value_name = "NAME")]
    pub publication: String,

    /// The role to make, for pgvigil to connect as. It is made without a password
    #[arg(long, env = "PGVIGIL_ROLE", default_value = "pgvigil", value_name = "NAME")]
    pub role: String,

    /// Publish these tables, as schema.table, instead of every one that can be published without harm. Repeatable
    #[arg(long, env = "PGVIGIL_TABLES", value_delimiter = ',', value_name = "TABLE")]
    pub tables: Vec<String>,

    /// Publish all tables, also those made later. One made without a key will have its UPDATE and DELETE fail
    #[arg(long, conflicts_with = "tables")]
    pub all_tables: bool,

    /// Leave out the tables whose rows nothing identifies: published, their UPDATE and DELETE would fail
    #[arg(long)]
    pub leave_out: bool,

    /// Give these tables REPLICA IDENTITY FULL, and publish them
    #[arg(long, conflicts_with = "leave_out")]
    pub full_identity: bool,

    /// Have the database tell who does this to rows, and by which statement: delete and truncate, if nothing else is said or was before
    #[arg(long, env = "PGVIGIL_ATTRIBUTE", value_delimiter = ',', value_name = "OPERATION")]
    pub attribute: Vec<Attribute>,

    /// How much of the statement is told then, in characters: 500, if nothing else is said or was before. It may hold secrets
    #[arg(long, env = "PGVIGIL_ATTRIBUTE_QUERY", value_name = "off|N")]
    pub attribute_query: Option<QueryText>,
}

impl SetupOptions {
    /// To print what makes this publication, and nothing decided.
    pub fn for_publication(name: &str) -> Self {
        let (publication, role) = (name.to_owned(), "pgvigil".to_owned());
        let (apply, all_tables, leave_out, full_identity) = (false, false, false, false);
        let (tables, attribute, attribute_query) = (Vec::new(), Vec::new(), None);
        Self { apply, publication, role, tables, all_tables, leave_out, full_identity, attribute, attribute_query }
    }

    fn remedy(&self) -> Remedy {
        match (self.full_identity, self.leave_out) {
            (true, _) => Remedy::Full,
            (false, true) => Remedy::LeaveOut,
            (false, false) => Remedy::Undecided,
        }
    }
}

/// Why a database cannot be set up. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The system catalogs.
    #[error("the database cannot be looked at: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// A table was asked for that is not there.
    #[error(transparent)]
    NoSuchTable(#[from] NoSuchTable),
    /// Tables would be harmed or left out, and nobody said which.
    #[error(
        "{tables} table(s) cannot be published as they are, since their UPDATE and DELETE would fail. They are listed \
         above. Decide: --leave-out does not watch them, --full-identity gives them REPLICA IDENTITY FULL"
    )]
    Undecided {
        /// How many.
        tables: usize,
    },
    /// All tables were asked for, and some would be harmed.
    #[error(
        "with all tables published, UPDATE and DELETE would fail on {tables} of them. They are listed above. Give \
         them a key first, or use --full-identity, or publish tables one by one without --all-tables"
    )]
    NotAllSafe {
        /// How many.
        tables: usize,
    },
    /// The publication of that name is for all tables, or is not, and has to be made anew to be otherwise.
    #[error(
        "publication {publication:?} is {}for all tables, and that cannot be altered. {}",
        if *.all_tables { "" } else { "not " },
        if *.ours { "Remove it first: pgvigil cleanup --apply" } else {
            "It was not made by setup: run it without --all-tables, or have another one made with --publication"
        }
    )]
    OtherForm {
        /// Its name.
        publication: String,
        /// What it is now.
        all_tables: bool,
        /// It was made by setup.
        ours: bool,
    },
    /// The role that is connected may not make a publication.
    #[error("role {role:?} may not make a publication here. {remedy}")]
    NotAllowed {
        /// Who is connected.
        role: String,
        /// What to do.
        remedy: String,
    },
    /// The schema of pgvigil is there, in other hands.
    #[error(
        "schema pgvigil belongs to role {owner:?}, which could change what setup puts there. Let that role run pgvigil \
         cleanup --apply, or drop the schema"
    )]
    SchemaOfAnother {
        /// Whose it is.
        owner: String,
    },
    /// The server refused a part.
    #[error(transparent)]
    Refused(#[from] ScriptError),
    /// The text could not be written.
    #[error("the SQL could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// Connects, then does what [`setup`] does.
pub async fn run(args: SetupArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let target = args.connection.target()?;
    let mut client = target.sql("pgvigil setup").await.map_err(|error| Failure::advised(1, &error.advice()))?;
    setup(&mut client, &args.options, out)
        .await
        .map_err(|error| Failure::with_code(4, format_args!("nothing was changed: {error}")))
}

/// Prints the SQL to `out` and, if the options say so, runs it.
pub async fn setup(client: &mut Client, options: &SetupOptions, out: &mut dyn Write) -> Result<(), SetupError> {
    let looking = script::look(client).await?;
    let Plan { mut script, obstacle, next, .. } = Plan::make(looking.client(), options).await?;
    looking.rollback().await?;
    match obstacle {
        // SQL that was refused is not shown as if it were to be run.
        Some(obstacle) if options.apply => {
            write!(out, "{}", script.remarks())?;
            return Err(obstacle);
        }
        // The text is what was asked for, and says what stands in the way.
        Some(obstacle) => script.remark(format!("This cannot be applied: {obstacle}")),
        None => {}
    }
    write!(out, "{script}")?;
    if options.apply && !script.is_empty() {
        script.run(client).await?;
        write!(out, "-- Done.\n\n{next}")?;
    }
    Ok(())
}
