//! What a running pgvigil is asked, over HTTP.

use std::time::Duration;

use bytes::Bytes;
use hyper::http::uri::InvalidUri;
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::commands::tail::Server;
use crate::http::{self, Client, Host};
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
        let (json, undone) = ask(server, &format!("/api/v1/undo?{query}")).await?;
        Ok(Answer { undone, json })
    }

    /// Which database it is about.
    pub(super) async fn database(&self, server: &Server) -> Result<Watched, AskError> {
        #[derive(Deserialize)]
        struct Status {
            database: Watched,
        }
        let (_, Status { database }) = ask(server, "/api/v1/status").await?;
        Ok(database)
    }
}

async fn ask<T: DeserializeOwned>(server: &Server, path: &str) -> Result<(String, T), AskError> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let unreachable = |reason: String| AskError::Unreachable { server: server.clone(), reason };
    let strange = |reason: String| AskError::NotPgvigil { server: server.clone(), reason };
    let uri: Uri = format!("{server}{path}").parse().map_err(|error: InvalidUri| strange(error.to_string()))?;
    let host = Host::of(&uri).ok_or_else(|| strange("it is no URL".to_owned()))?;
    let client = Client::new(host).map_err(|error| unreachable(error.to_string()))?;
    let answered = timeout(PATIENCE, fetch(&client, &uri)).await;
    let answered = answered.map_err(|_| unreachable(format!("no answer within {PATIENCE:?}")))?;
    let (status, body) = answered.map_err(|error| unreachable(reason(&error)))?;
    if status.is_success() {
        let text = String::from_utf8(body.into()).map_err(|error| strange(error.to_string()))?;
        let read = serde_json::from_str(&text).map_err(|error| strange(error.to_string()))?;
        return Ok((text, read));
    }
    Err(match serde_json::from_slice(&body) {
        Ok(Problem { detail }) => AskError::Refused { server: server.clone(), detail },
        Err(_) => strange(format!("HTTP status {status}")),
    })
}

async fn fetch(client: &Client, uri: &Uri) -> Result<(StatusCode, Bytes), http::Error> {
    let path = uri.path_and_query().map(|path| path.clone().into()).unwrap_or_default();
    let answer = client.send(client.request(Method::GET, path, Bytes::new())).await?;
    Ok((answer.status(), answer.body().await?))
}

/// The innermost cause says most.
fn reason(error: &http::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
