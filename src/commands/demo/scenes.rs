//! The little transactions of a day: somebody logs in, joins a session, says something, votes, leaves.
//!
//! Each table has a size that it is drawn back to: what adds rows is played less often the more there are, and what removes them more
//! often, so the demo can go on for days.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use super::words;

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    SignUp,
    DeleteAccount,
    LogIn,
    EditProfile,
    Schedule,
    Join,
    GiveUpSeat,
    Chat,
    BeginSession,
    FinishSession,
    ArchiveSession,
    RequestGame,
    Vote,
    Decide,
    RetireGame,
    TidyChat,
    /// Part of the transaction is rolled back.
    ChangeOfMind,
    /// All of it is.
    Abandoned,
}

/// How many rows there are.
#[derive(Debug)]
pub(super) struct Sizes {
    users: i64,
    games: i64,
    requests: i64,
    sessions: i64,
    messages: i64,
}

impl Sizes {
    pub(super) async fn read(client: &Client) -> Result<Self, Error> {
        let sql = r#"SELECT (SELECT count(*) FROM "User"), (SELECT count(*) FROM "Game"), (SELECT count(*) FROM "GameRequest"),
                            (SELECT count(*) FROM "ScheduledSession"), (SELECT count(*) FROM "ChatMessage")"#;
        let row = client.query_one(sql, &[]).await?;
        Ok(Self { users: row.get(0), games: row.get(1), requests: row.get(2), sessions: row.get(3), messages: row.get(4) })
    }
}

impl Scene {
    const ALL: [Self; 18] = [
        Self::SignUp,
        Self::DeleteAccount,
        Self::LogIn,
        Self::EditProfile,
        Self::Schedule,
        Self::Join,
        Self::GiveUpSeat,
        Self::Chat,
        Self::BeginSession,
        Self::FinishSession,
        Self::ArchiveSession,
        Self::RequestGame,
        Self::Vote,
        Self::Decide,
        Self::RetireGame,
        Self::TidyChat,
        Self::ChangeOfMind,
        Self::Abandoned,
    ];

    /// One that is likely as things are.
    pub(super) fn choose(sizes: &Sizes, rng: &mut StdRng) -> Self {
        let chosen = Self::ALL.choose_weighted(rng, |scene| scene.weight(sizes));
        chosen.copied().unwrap_or(Self::LogIn)
    }

    fn weight(self, sizes: &Sizes) -> i64 {
        // The likelier, the further the number of rows is from the usual one.
        let under = |usual: i64, rows: i64| (usual - rows).clamp(0, 12);
        let over = |usual: i64, rows: i64| (rows - usual).clamp(0, 12);
        match self {
            Self::LogIn => 12,
            Self::Chat => 14,
            Self::Join => 8,
            Self::Vote => 7,
            Self::EditProfile => 4,
            Self::BeginSession | Self::FinishSession => 3,
            Self::GiveUpSeat | Self::Decide => 2,
            Self::ChangeOfMind | Self::Abandoned => 1,
            Self::SignUp => under(42, sizes.users),
            Self::DeleteAccount => over(36, sizes.users),
            Self::Schedule => under(28, sizes.sessions),
            Self::ArchiveSession => over(20, sizes.sessions),
            Self::RequestGame => under(18, sizes.requests),
            Self::RetireGame => over(22, sizes.games),
            Self::TidyChat => over(160, sizes.messages),
        }
    }

    /// Plays it in one transaction.
    pub(super) async fn play(self, client: &mut Client, rng: &mut StdRng) -> Result<(), Error> {
        let mut turn = Turn { transaction: client.transaction().await?, rng };
        match self {
            Self::SignUp => turn.sign_up().await?,
            Self::DeleteAccount => turn.delete_account().await?,
            Self::LogIn => turn.log_in().await?,
            Self::EditProfile => turn.edit_profile().await?,
            Self::Schedule => turn.schedule().await?,
            Self::Join => turn.join().await?,
            Self::GiveUpSeat => turn.give_up_seat().await?,
            Self::Chat => turn.chat().await?,
            Self::BeginSession => turn.begin_session().await?,
            Self::FinishSession => turn.finish_session().await?,
            Self::ArchiveSession => turn.archive_session().await?,
            Self::RequestGame => turn.request_game().await?,
            Self::Vote => turn.vote().await?,
            Self::Decide => turn.decide().await?,
            Self::RetireGame => turn.retire_game().await?,
            Self::TidyChat => turn.tidy_chat().await?,
            Self::ChangeOfMind => turn.change_of_mind().await?,
            Self::Abandoned => {
                turn.request_game().await?;
                return turn.transaction.rollback().await;
            }
        }
        turn.transaction.commit().await
    }
}

/// A transaction at work.
struct Turn<'t> {
    transaction: Transaction<'t>,
    rng: &'t mut StdRng,
}

impl Turn<'_> {
    async fn sign_up(&mut self) -> Result<(), Error> {
        let name = self.one_of(words::NAMES);
        let email = format!("{}.{}@example.org", name.to_lowercase(), self.rng.random_range(100..1000));
        let sql = r#"INSERT INTO "User" ("name", "email") VALUES ($1, $2) ON CONFLICT ("email") DO NOTHING RETURNING "id""#;
        let Some(row) = self.transaction.query_opt(sql, &[&name, &email]).await? else { return Ok(()) };
        let user: i32 = row.get(0);
        let (bio, timezone) = (self.one_of(words::BIOS), self.one_of(words::TIMEZONES));
        let genres: Vec<&str> = words::GENRES.choose_multiple(self.rng, 2).copied().collect();
        let sql = r#"INSERT INTO "UserProfile" ("userId", "bio", "timezone", "genres") VALUES ($1, $2, $3, $4)"#;
        self.run(sql, &[&user, &bio, &timezone, &genres]).await?;
        self.log(user, "sign_up").await
    }

    async fn delete_account(&mut self) -> Result<(), Error> {
        let Some(user) = self.pick("User", r#""role" = 'member'"#).await? else { return Ok(()) };
        self.run(r#"DELETE FROM "User" WHERE "id" = $1"#, &[&user]).await?;
        self.log(user, "delete_account").await
    }

    async fn log_in(&mut self) -> Result<(), Error> {
        let Some(user) = self.pick("User", "true").await? else { return Ok(()) };
        self.run(r#"UPDATE "User" SET "lastSeenAt" = now() WHERE "id" = $1"#, &[&user]).await?;
        self.log(user, "login").await
    }

    async fn edit_profile(&mut self) -> Result<(), Error> {
        let Some(user) = self.pick("User", "true").await? else { return Ok(()) };
        if self.rng.random() {
            let bio = self.one_of(words::BIOS);
            return self.run(r#"UPDATE "UserProfile" SET "bio" = $2 WHERE "userId" = $1"#, &[&user, &bio]).await;
        }
        let volume = self.rng.random_range(0..=20) * 5;
        let sql = r#"UPDATE "UserProfile" SET "preferences" = "preferences" || jsonb_build_object('volume', $2::int) WHERE "userId" = $1"#;
        self.run(sql, &[&user, &volume]).await
    }

    async fn schedule(&mut self) -> Result<(), Error> {
        let Some(game) = self.pick("Game", "true").await? else { return Ok(()) };
        let Some(host) = self.pick("User", "true").await? else { return Ok(()) };
        let (title, hours) = (self.one_of(words::SESSION_TITLES), self.rng.random_range(1..72));
        let sql = r#"INSERT INTO "ScheduledSession" ("gameId", "hostId", "title", "startsAt")
                     VALUES ($1, $2, $3, date_trunc('hour', now()) + make_interval(hours => $4)) RETURNING "id""#;
        let session: i32 = self.transaction.query_one(sql, &[&game, &host, &title, &hours]).await?.get(0);
        self.run(r#"INSERT INTO "SessionSeat" ("sessionId", "userId") VALUES ($1, $2)"#, &[&session, &host]).await?;
        self.log(host, "schedule").await
    }

    async fn join(&mut self) -> Result<(), Error> {
        let Some(session) = self.pick("ScheduledSession", r#""status" = 'planned'"#).await? else { return Ok(()) };
        let Some(user) = self.pick("User", "true").await? else { return Ok(()) };
        let sql = r#"INSERT INTO "SessionSeat" ("sessionId", "userId")
                     SELECT s."id", $2 FROM "ScheduledSession" s JOIN "Game" g ON g."id" = s."gameId"
                      WHERE s."id" = $1 AND g."maxPlayers" > (SELECT count(*) FROM "SessionSeat" WHERE "sessionId" = $1)
                     ON CONFLICT DO NOTHING"#;
        if self.transaction.execute(sql, &[&session, &user]).await? == 1 {
            self.log(user, "join").await?;
        }
        Ok(())
    }

    async fn give_up_seat(&mut self) -> Result<(), Error> {
        let Some(session) = self.pick("ScheduledSession", r#""status" = 'planned'"#).await? else { return Ok(()) };
        let sql = r#"DELETE FROM "SessionSeat" WHERE "sessionId" = $1 AND "userId" = (
                       SELECT "userId" FROM "SessionSeat" WHERE "sessionId" = $1 ORDER BY "joinedAt" DESC LIMIT 1)"#;
        self.run(sql, &[&session]).await
    }

    async fn chat(&mut self) -> Result<(), Error> {
        let Some(session) = self.pick("ScheduledSession", "true").await? else { return Ok(()) };
        for _ in 0..*[1, 1, 1, 2, 3].choose(self.rng).unwrap_or(&1) {
            let body = self.one_of(words::MESSAGES);
            let sql = r#"INSERT INTO "ChatMessage" ("sessionId", "authorId", "body")
                         SELECT "sessionId", "userId", $2 FROM "SessionSeat" WHERE "sessionId" = $1 ORDER BY random() LIMIT 1"#;
            self.run(sql, &[&session, &body]).await?;
        }
        Ok(())
    }

    async fn begin_session(&mut self) -> Result<(), Error> {
        let sql = r#"UPDATE "ScheduledSession" SET "status" = 'running', "startsAt" = now()
                      WHERE "id" = (SELECT "id" FROM "ScheduledSession" WHERE "status" = 'planned' ORDER BY "startsAt" LIMIT 1)"#;
        self.run(sql, &[]).await
    }

    async fn finish_session(&mut self) -> Result<(), Error> {
        let sql = r#"UPDATE "ScheduledSession" SET "status" = 'finished'
                      WHERE "id" = (SELECT "id" FROM "ScheduledSession" WHERE "status" = 'running' ORDER BY "startsAt" LIMIT 1)
                     RETURNING "gameId", "hostId""#;
        let Some(row) = self.transaction.query_opt(sql, &[]).await? else { return Ok(()) };
        let (game, host): (i32, i32) = (row.get(0), row.get(1));
        let tenths = self.rng.random_range(-3..=3);
        let sql = r#"UPDATE "Game" SET "rating" = least(9.9, greatest(1.0, "rating" + $2::int / 10.0)) WHERE "id" = $1"#;
        self.run(sql, &[&game, &tenths]).await?;
        self.log(host, "finish").await
    }

    /// The seats and the messages go with it.
    async fn archive_session(&mut self) -> Result<(), Error> {
        let sql = r#"DELETE FROM "ScheduledSession" WHERE "id" = (
                       SELECT "id" FROM "ScheduledSession" ORDER BY "status" NOT IN ('finished', 'cancelled'), "startsAt" LIMIT 1)"#;
        self.run(sql, &[]).await
    }

    async fn request_game(&mut self) -> Result<(), Error> {
        let Some(user) = self.pick("User", "true").await? else { return Ok(()) };
        let (title, reason) = (self.one_of(words::TITLES), self.one_of(words::REASONS));
        let sql = r#"INSERT INTO "GameRequest" ("userId", "title", "reason") VALUES ($1, $2, $3)"#;
        self.run(sql, &[&user, &title, &reason]).await?;
        self.log(user, "request_game").await
    }

    async fn vote(&mut self) -> Result<(), Error> {
        let Some(request) = self.pick("GameRequest", r#""status" = 'open'"#).await? else { return Ok(()) };
        self.run(r#"UPDATE "GameRequest" SET "votes" = "votes" + 1 WHERE "id" = $1"#, &[&request]).await
    }

    /// The oldest request is answered: what was planned is added, what was answered long ago goes.
    async fn decide(&mut self) -> Result<(), Error> {
        self.run(r#"DELETE FROM "GameRequest" WHERE "status" IN ('added', 'declined')"#, &[]).await?;
        let sql = r#"UPDATE "GameRequest" SET "status" = CASE "status" WHEN 'planned' THEN 'added' ELSE $1 END
                      WHERE "id" = (SELECT "id" FROM "GameRequest" ORDER BY "createdAt" LIMIT 1) RETURNING "title", "status""#;
        let answer = self.one_of(&["planned", "planned", "declined"]);
        let Some(row) = self.transaction.query_opt(sql, &[&answer]).await? else { return Ok(()) };
        if row.get::<_, &str>(1) == "added" {
            let (title, genre): (&str, _) = (row.get(0), self.one_of(words::GENRES));
            let sql = r#"INSERT INTO "Game" ("title", "genre", "minPlayers", "maxPlayers") VALUES ($1, $2, 1, 6)
                         ON CONFLICT ("title") DO NOTHING"#;
            self.run(sql, &[&title, &genre]).await?;
        }
        Ok(())
    }

    async fn retire_game(&mut self) -> Result<(), Error> {
        let sql = r#"DELETE FROM "Game" WHERE "id" = (SELECT "id" FROM "Game" ORDER BY "rating" LIMIT 1)"#;
        self.run(sql, &[]).await
    }

    async fn tidy_chat(&mut self) -> Result<(), Error> {
        let sql = r#"DELETE FROM "ChatMessage" WHERE "id" IN (SELECT "id" FROM "ChatMessage" ORDER BY "sentAt" LIMIT 12)"#;
        self.run(sql, &[]).await
    }

    /// Nothing of what is behind the savepoint is ever committed.
    async fn change_of_mind(&mut self) -> Result<(), Error> {
        self.log_in().await?;
        self.transaction.batch_execute("SAVEPOINT change_of_mind").await?;
        self.delete_account().await?;
        self.transaction.batch_execute("ROLLBACK TO SAVEPOINT change_of_mind").await?;
        self.edit_profile().await
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words.choose(self.rng).copied().unwrap_or_default()
    }

    /// The id of any row that fulfils the condition.
    async fn pick(&mut self, table: &str, condition: &str) -> Result<Option<i32>, Error> {
        let sql = format!(
            r#"SELECT "id" FROM "{table}" WHERE {condition} ORDER BY "id"
               OFFSET floor($1 * (SELECT count(*) FROM "{table}" WHERE {condition})::float8)::bigint LIMIT 1"#
        );
        let row = self.transaction.query_opt(&sql, &[&self.rng.random::<f64>()]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn log(&mut self, user: i32, action: &str) -> Result<(), Error> {
        let device = self.one_of(words::DEVICES);
        let sql =
            r#"INSERT INTO "ActivityLog" ("userId", "action", "detail") VALUES ($1, $2, jsonb_build_object('device', $3::text))"#;
        self.run(sql, &[&user, &action, &device]).await
    }

    async fn run(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        self.transaction.execute(sql, parameters).await.map(drop)
    }
}
