//! A database that was set up, an ordinary role that works in it, and someone who listens.

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use serde_json::Value;

use crate::support::{Database, Pgvigil, WebSocket, cluster_with, options, set_up};

/// Tables as an application has them. The last belongs to a role of its own.
const TABLES: &str = r#"
    CREATE ROLE ann LOGIN; CREATE ROLE clerk; CREATE ROLE owner; GRANT clerk TO ann;
    CREATE TABLE mark (id int PRIMARY KEY);
    CREATE TABLE item (id int PRIMARY KEY, note text);
    CREATE TABLE part (id int PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE);
    ALTER TABLE part OWNER TO owner; GRANT USAGE, CREATE ON SCHEMA public TO owner; GRANT SELECT ON item TO owner;
    CREATE TABLE tree (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE branch PARTITION OF tree FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
    CREATE TABLE leaf PARTITION OF branch FOR VALUES FROM (0) TO (10);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO ann, clerk;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ann;
    INSERT INTO item SELECT i, 'note ' || i FROM generate_series(1, 100) i;
    INSERT INTO part SELECT i, i FROM generate_series(1, 100) i;
    INSERT INTO tree SELECT generate_series(0, 9);
"#;

/// A scene with one actor on it.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    /// A superuser.
    pub(crate) database: Database,
    /// The role `ann`, who may change rows and nothing else.
    pub(crate) ann: Database,
    pub(crate) pgvigil: Pgvigil,
    socket: WebSocket,
    marks: u32,
}

/// A server on which transactions can be prepared.
pub(crate) async fn server(major: u32) -> Result<Cluster> {
    cluster_with(major, options().set("max_prepared_transactions", "5").set("logical_decoding_work_mem", "64kB")).await
}

/// The connection string of a role.
pub(crate) fn url_of(cluster: &Cluster, database: &str, role: &str) -> String {
    cluster.url(database).replace("postgres@", &format!("{role}@")).replace("user=postgres", &format!("user={role}"))
}

impl Scene {
    /// A database that was set up with these arguments.
    pub(crate) async fn set(major: u32, arguments: &str) -> Result<Self> {
        let cluster = server(major).await?;
        let mut database = Database::create(&cluster, "app").await?;
        database.run(TABLES).await?;
        set_up(&mut database, &format!("--apply {arguments}")).await.1?;
        let ann = Database::connect(&url_of(&cluster, "app", "ann")).await?;
        ann.run("SET application_name = 'the shop'").await?;
        let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
        pgvigil.wait_for_count("public.item", 100).await?;
        let socket = pgvigil.websocket("kinds=change,commit,ddl,message").await?;
        Ok(Scene { cluster, database, ann, pgvigil, socket, marks: 0 })
    }

    /// What is told of what has been done since the last call, by whomever.
    pub(crate) async fn told(&mut self) -> Result<Vec<Value>> {
        self.marks += 1;
        self.database.run(&format!("INSERT INTO mark VALUES ({})", self.marks)).await?;
        let marks = self.marks;
        let is_mark = |event: &Value| event["type"] == "change" && event["table"] == "mark" && event["new"]["id"] == marks;
        let mut told = self.socket.until("the mark", is_mark).await?;
        told.pop();
        told.retain(|event| event["type"] != "hello" && event["tables"][0]["name"] != "mark");
        Ok(told)
    }

    /// What is told of what `ann` does.
    pub(crate) async fn by_ann(&mut self, sql: &str) -> Result<Vec<Value>> {
        self.ann.run(sql).await?;
        self.told().await
    }

    /// Changes of `operation`, of which there must be some.
    pub(crate) fn changes<'a>(told: &'a [Value], operation: &str) -> Result<Vec<&'a Value>> {
        let changes: Vec<_> = told.iter().filter(|event| event["op"] == operation).collect();
        ensure!(!changes.is_empty(), "no {operation} was told: {told:#?}");
        Ok(changes)
    }

    /// The one commit.
    pub(crate) fn commit(told: &[Value]) -> Result<&Value> {
        let mut commits = told.iter().filter(|event| event["type"] == "commit");
        let commit = commits.next().context("no commit was told")?;
        ensure!(commits.next().is_none(), "two commits were told: {told:#?}");
        Ok(commit)
    }

    /// What `ann` does is told to be hers, change by change, with this statement on every delete and truncate.
    pub(crate) async fn is_told(&mut self, sql: &str, query: &str) -> Result<Vec<Value>> {
        let told = self.by_ann(sql).await?;
        Self::is_by(&told, "ann", query).with_context(|| sql.to_owned())?;
        Ok(told)
    }

    /// All of it is told to be of this user.
    pub(crate) fn is_by(told: &[Value], user: &str, query: &str) -> Result<()> {
        let commit = Self::commit(told)?;
        let actor = &commit["tx"]["actor"];
        ensure!(actor["session_user"] == user && actor["source"] == "trigger", "{commit}");
        let changes: Vec<_> = told.iter().filter(|event| event["type"] == "change").collect();
        ensure!(!changes.is_empty(), "no change was told: {told:#?}");
        for change in changes {
            let actor = &change["tx"]["actor"];
            ensure!(actor["session_user"] == user && actor["source"] == "trigger", "{change}");
            let known = ["delete", "truncate"].contains(&change["op"].as_str().unwrap_or_default());
            ensure!(if known { actor["query"] == query } else { actor["query"].is_null() }, "{change}");
        }
        Ok(())
    }
}
