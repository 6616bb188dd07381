//! What a database sees on a bad day, and how it is put right again.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio_postgres::{Client, Error};

use super::players::Players;

/// Something that somebody did by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incident {
    /// A DELETE without its condition: all users, and by cascade nearly everything.
    MassDelete,
    /// TRUNCATE of the wrong table.
    TruncateRequests,
    /// TRUNCATE that cascades.
    TruncateSessions,
    /// A new column, filled in batches, with an index.
    AddDisplayName,
    /// A column of another type: the table is rewritten.
    WidenVotes,
}

/// What is done about it a little later.
#[derive(Debug)]
pub(super) enum Aftermath {
    /// What is missing comes back.
    Restore(Backup),
    /// The migration is taken back, so that it can come again.
    Run(&'static str),
}

impl Incident {
    const ALL: [Self; 5] =
        [Self::MassDelete, Self::AddDisplayName, Self::TruncateRequests, Self::WidenVotes, Self::TruncateSessions];

    /// Round after round of every incident once, the mass delete first.
    pub(super) fn rounds(seed: u64) -> impl Iterator<Item = Self> + Send {
        let mut rng = StdRng::seed_from_u64(seed);
        let round = move || {
            let mut round = Self::ALL;
            let [_, others @ ..] = &mut round;
            others.shuffle(&mut rng);
            round
        };
        std::iter::repeat_with(round).flatten()
    }

    pub(super) async fn happen(self, players: &Players) -> Result<Aftermath, Error> {
        let Players { application, jonas, migration } = players;
        let backup = Backup::take(application).await?;
        let (who, sql, aftermath) = match self {
            Self::MassDelete => (jonas, r#"DELETE FROM "User";"#, Aftermath::Restore(backup)),
            Self::TruncateRequests => (jonas, r#"TRUNCATE "GameRequest";"#, Aftermath::Restore(backup)),
            Self::TruncateSessions => (jonas, r#"TRUNCATE "ScheduledSession" CASCADE;"#, Aftermath::Restore(backup)),
            Self::AddDisplayName => (
                migration,
                include_str!("../../../sql/demo/display_name.sql"),
                Aftermath::Run(include_str!("../../../sql/demo/display_name_undo.sql")),
            ),
            Self::WidenVotes => (
                migration,
                include_str!("../../../sql/demo/votes.sql"),
                Aftermath::Run(include_str!("../../../sql/demo/votes_undo.sql")),
            ),
        };
        who.batch_execute(sql).await?;
        Ok(aftermath)
    }
}

impl Aftermath {
    pub(super) async fn happen(&self, players: &mut Players) -> Result<(), Error> {
        match self {
            Self::Restore(backup) => backup.restore(&mut players.application).await,
            Self::Run(sql) => players.migration.batch_execute(sql).await,
        }
    }
}

/// Parents first; each with what must be there for a row to come back.
const TABLES: [(&str, &str); 6] = [
    ("User", "true"),
    ("UserProfile", r#""userId" IN (SELECT "id" FROM "User")"#),
    ("GameRequest", r#""userId" IN (SELECT "id" FROM "User")"#),
    ("ScheduledSession", r#""hostId" IN (SELECT "id" FROM "User") AND "gameId" IN (SELECT "id" FROM "Game")"#),
    ("SessionSeat", r#""sessionId" IN (SELECT "id" FROM "ScheduledSession") AND "userId" IN (SELECT "id" FROM "User")"#),
    ("ChatMessage", r#""sessionId" IN (SELECT "id" FROM "ScheduledSession") AND "authorId" IN (SELECT "id" FROM "User")"#),
];

/// The tables that an incident can empty, as they were: a few hundred rows.
#[derive(Debug)]
pub(super) struct Backup(Vec<String>);

impl Backup {
    async fn take(client: &Client) -> Result<Self, Error> {
        let mut tables = Vec::with_capacity(TABLES.len());
        for (table, _) in TABLES {
            let sql = format!(r#"SELECT coalesce(json_agg(t), '[]')::text FROM "{table}" t"#);
            tables.push(client.query_one(&sql, &[]).await?.get(0));
        }
        Ok(Self(tables))
    }

    async fn restore(&self, client: &mut Client) -> Result<(), Error> {
        let transaction = client.transaction().await?;
        for ((table, possible), rows) in TABLES.into_iter().zip(&self.0) {
            let sql = format!(
                r#"INSERT INTO "{table}" SELECT * FROM json_populate_recordset(NULL::"{table}", $1::text::json)
                   WHERE {possible} ON CONFLICT DO NOTHING"#
            );
            transaction.execute(&sql, &[rows]).await?;
        }
        transaction.commit().await
    }
}
