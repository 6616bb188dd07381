//! Scenes, each in a database of its own.

use anyhow::Result;

pub(crate) async fn play(_major: u32) -> Result<()> {
    Ok(())
}
