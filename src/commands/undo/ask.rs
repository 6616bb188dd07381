//! What a running pgvigil is asked, over HTTP.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::commands::tail::Server;
use crate::undo::Undo;

/// A server that has not answered after this long will not. It may have to go through all of its history first.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody there.
    #[error("no pgvigil answers at {server}: {reason}. Start one with `pgvigil serve`, or say with --url where it is")]
    Unreachable { server: Server, reason: String },
    /// It does not want to.
    #[error("{detail} (asked {server})")]
    Refused { server: Server, detail: String },
    /// Something else is there.
    #[error("what answers at {server} is not a pgvigil that can undo: {reason}. Is --url right?")]
    NotPgvigil { server: Server, reason: String },
}

/// What it says.
pub(super) struct Answer {
    pub(super) undone: Undo,
    /// The same, as it came.
    pub(super) json: String,
    client: reqwest::Client,
}

/// The database that is watched, as far as it takes to tell it from any other.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) oid: u32,
    pub(super) system_identifier: String,
}

impl Answer {
    /// Asks for what `query` says.
    pub(super) async fn get(server: &Server, query: &str) -> Result<Self, AskError> {
        let unreachable = |error: reqwest::Error| AskError::Unreachable { server: server.clone(), reason: reason(&error) };
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(unreachable)?;
        let (json, undone) = ask(&client, server, &format!("/api/v1/undo?{query}")).await?;
        Ok(Answer { undone, json, client })
    }

    /// Which database it is about.
    pub(super) async fn database(&self, server: &Server) -> Result<Watched, AskError> {
        #[derive(Deserialize)]
        struct Status {
            database: Watched,
        }
        let (_, Status { database }) = ask(&self.client, server, "/api/v1/status").await?;
        Ok(database)
    }
}

async fn ask<T: DeserializeOwned>(client: &reqwest::Client, server: &Server, path: &str) -> Result<(String, T), AskError> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let unreachable = |error: reqwest::Error| AskError::Unreachable { server: server.clone(), reason: reason(&error) };
    let answer = client.get(format!("{server}{path}")).send().await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    let strange = |reason: String| AskError::NotPgvigil { server: server.clone(), reason };
    if status.is_success() {
        let read = serde_json::from_str(&text).map_err(|error| strange(error.to_string()))?;
        return Ok((text, read));
    }
    Err(match serde_json::from_str(&text) {
        Ok(Problem { detail }) => AskError::Refused { server: server.clone(), detail },
        Err(_) => strange(format!("HTTP status {status}")),
    })
}

/// The innermost cause says most.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
