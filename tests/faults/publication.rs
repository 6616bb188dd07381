//! The publication vanishes while it is read. Up to 17 the server ends the stream at the next change; from 18 on it says nothing but a
//! notice, and leaves every change out.

use anyhow::{Result, ensure};

use crate::scene::{AT_ONCE, Scene};
use crate::support::{on_every_major, options};

on_every_major!(dropped_and_made_again, renamed_and_back);

async fn dropped_and_made_again(major: u32) -> Result<()> {
    let scene = Scene::live_on(major, options()).await?;
    scene.database.run("DROP PUBLICATION pgvigil").await?;
    scene.change().await?;
    let status = scene.is_shown_as("resyncing", AT_ONCE).await?;
    let reason = status["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("pgvigil setup --publication pgvigil --apply "), "no way out is told: {status}");
    scene.change().await?;
    scene.database.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    scene.is_well(1).await
}

async fn renamed_and_back(major: u32) -> Result<()> {
    let scene = Scene::live_on(major, options()).await?;
    // Within one transaction of others': nobody but the stream can see it.
    scene.database.run("ALTER PUBLICATION pgvigil RENAME TO other").await?;
    scene.change().await?;
    scene.database.run("ALTER PUBLICATION other RENAME TO pgvigil").await?;
    scene.change().await?;
    // Noticed by the stream, or by a look at the catalog, or by neither when nothing was missed.
    let gaps = crate::support::wait_for("all to be well", std::time::Duration::from_secs(60), async || {
        let gaps = scene.bystander.gaps("slot_lost")?;
        scene.is_well(gaps).await?;
        Ok(Some(gaps))
    });
    ensure!(gaps.await? <= 2, "it was interrupted more often than the publication was");
    Ok(())
}
