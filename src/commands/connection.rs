//! Which database a command works on.

use clap::Args;

use super::Failure;
use crate::connection::{Target, TargetError};

/// Which database.
#[derive(Args, Clone)]
pub struct ConnectionArgs {
    /// The database, as postgresql://user@host:port/database or "host=… dbname=…"; what it leaves out comes from PGHOST, PGUSER,
    /// PGPASSWORD, PGPASSFILE and so on. A password is better kept out of the command line
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
}

impl ConnectionArgs {
    /// Everything that is needed to connect.
    pub fn target(&self) -> Result<Target, Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        Target::resolve(self.database_url.as_deref(), environment).map_err(|error| {
            // The text itself may hold a password, so it is named and not shown.
            let hint = "--database-url or DATABASE_URL, such as postgresql://user@host:5432/database";
            Failure::other(match error {
                TargetError::Syntax(_) | TargetError::UnknownParameter(_) => format!("{error}. It comes from {hint}"),
                error => error.to_string(),
            })
        })
    }
}

impl std::fmt::Debug for ConnectionArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold a password.
        f.write_str("ConnectionArgs")
    }
}
