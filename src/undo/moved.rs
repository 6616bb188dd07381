//! Rows that may have been moved to another partition by an `UPDATE`: the log tells that one went and another one came. Where the one that
//! went does not come back, the other one stays, or the row would be lost.

use super::coverage::Reason;
use super::judge::Judged;
use super::later::Standing;
use super::net::TableEffect;
use super::plan::Kind;
use super::rows::Effect;
use super::schema::Schema;
use crate::lsn::Oid;

/// Finds them in each tree of partitions, of which those `aside` were changed as well and are not brought back.
pub(super) fn mark(effects: &[TableEffect<'_, '_>], judged: &mut [Vec<Judged<'_, '_>>], schema: &Schema, aside: &[Oid]) {
    // Which tree it was in is not known any more.
    let dropped = effects.iter().any(|effect| effect.table.is_none() && effect.deletes);
    for (effect, judged) in effects.iter().zip(judged) {
        if !schema.roots.iter().any(|(leaf, root)| leaf != root && *root == effect.oid) {
            continue;
        }
        let went = |row: &&Effect<'_>| row.before().is_some() && row.after().is_none();
        let mut away: Vec<_> = effect.unwanted.iter().filter(went).map(Effect::leaf).collect();
        away.extend(judged.iter().filter(|judged| stays_away(judged)).map(|judged| judged.row.leaf()));
        away.extend(aside.iter().filter(|leaf| schema.roots.get(leaf) == Some(&effect.oid)));
        away.sort_unstable();
        away.dedup();
        let came = judged.iter_mut().filter(|judged| judged.kind == Kind::Delete);
        came.filter(|judged| dropped || away.iter().any(|leaf| *leaf != judged.row.leaf()))
            .for_each(|judged| judged.leave(Reason::MayHaveMoved));
    }
}

fn stays_away(Judged { kind, verdict, is_done, .. }: &Judged<'_, '_>) -> bool {
    *kind == Kind::Insert && !(verdict.standing == Standing::Restored || *is_done && verdict.standing == Standing::AsLeft)
}
