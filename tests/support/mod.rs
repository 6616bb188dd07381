//! What the integration tests stand on: real PostgreSQL servers of every major version, the real `pgvigil` binary, a proxy that
//! breaks connections, and clients of the stream. Nothing here is a mock.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(unused_imports, reason = "each test binary uses its own part of it")]

mod audit;
mod chronicle;
mod installed;
mod postgres;
mod process;
mod proxy;
#[cfg(target_os = "linux")]
mod resources;
mod stage;
mod stream;
mod wait;
mod watched;
mod witness;

pub(crate) use audit::{Audit, audit};
pub(crate) use chronicle::{Chronicle, Effect};
pub(crate) use installed::{clean_up, set_up};
pub(crate) use postgres::{Database, MAJORS, a_major, binaries, cluster, cluster_with, majors, on_major, options};
pub(crate) use process::{Pgvigil, signal};
pub(crate) use proxy::{Direction, Flow, Proxy};
#[cfg(target_os = "linux")]
pub(crate) use resources::Resources;
pub(crate) use stage::{DDL_MESSAGES, Stage, attribution, play_all};
pub(crate) use stream::{EventSource, ServerSentEvent, UPGRADE, WebSocket};
pub(crate) use wait::{PATIENCE, wait_for};
pub(crate) use watched::{Agreement, Table, Watched, tables};
pub(crate) use witness::{Witness, mark};

/// Makes one test per major version of each `async fn name(major: u32) -> anyhow::Result<()>`: `name::pg14` to `name::pg18`.
#[allow(unused_macros, reason = "each test binary uses its own part of it")]
macro_rules! on_every_major {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            $crate::support::on_every_major!(@one $test pg14 14);
            $crate::support::on_every_major!(@one $test pg15 15);
            $crate::support::on_every_major!(@one $test pg16 16);
            $crate::support::on_every_major!(@one $test pg17 17);
            $crate::support::on_every_major!(@one $test pg18 18);
        })+
    };
    (@one $test:ident $name:ident $major:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> anyhow::Result<()> {
            $crate::support::on_major($major, super::$test).await
        }
    };
}
#[allow(unused_imports, reason = "each test binary uses its own part of it")]
pub(crate) use on_every_major;
