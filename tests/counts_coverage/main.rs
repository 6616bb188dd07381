//! What makes counts unprovable: it is said, with the reason, and no number is shown, nor a wrong one afterwards.

#[path = "../support/mod.rs"]
mod support;

mod in_flight;
mod publications;
mod roles;
mod unlogged;

use anyhow::Result;
use support::{Stage, cluster_with, options, play_all};

use in_flight::*;
use publications::*;
use roles::*;
use unlogged::*;

support::on_every_major!(what_cannot_be_proven_is_said);

async fn what_cannot_be_proven_is_said(major: u32) -> Result<()> {
    let options = options().set("max_wal_senders", "50").set("max_replication_slots", "50");
    // A standby that is not there. Only who asks for it waits.
    let options = options.set("synchronous_standby_names", "nobody").set("synchronous_commit", "local");
    let cluster = cluster_with(major, options).await?;
    play_all!(
        cluster,
        major,
        [
            kinds_that_are_never_in_the_stream,
            unlogged_for_a_while_without_ddl_messages,
            unlogged_for_a_while_with_ddl_messages,
            unlogged_and_back_before_anyone_looks,
            row_security,
            no_privilege,
            row_filter,
            column_list,
            through_the_root,
            operations_left_out,
            operations_left_out_for_a_moment,
            table_left_out_for_a_moment,
            table_left_out_within_a_transaction,
            table_left_out_by_a_commit_that_waits,
            table_out_of_a_published_schema_for_a_moment,
            partition_detached_for_a_moment,
            publication_dropped,
            publication_dropped_for_a_moment,
            publication_renamed,
            deletes_in_flight_while_a_table_is_added,
            prepared_deletes_while_a_table_is_added,
            the_catalog_cannot_be_read_for_a_while,
            detach_that_came_to_no_end,
            restored_dump,
        ]
    )
}
