//! The text around the statements: what it is about, and what it did.

use super::absent::Absent;
use super::coverage::Coverage;
use super::moved;
use super::order::Step;
use super::plan::Options;
use super::quoting::comment;
use super::schema::Schema;
use super::statement;

/// How every script that does something begins, behind the remarks.
///
/// In one snapshot, so that what somebody commits meanwhile is seen by all statements or none; where it touches the same rows, or refers to
/// one that is deleted, the server ends the script, and nothing is done.
///
/// No `search_path` is set: triggers of the application may depend on theirs. Every name here is qualified, operators on the columns' types
/// too; what is not is the server's, for exactly the types that it is used with. Only such settings are made that decide whether a text means
/// what was recorded, and whether two values have the same text.
const HEAD: &str = "\
BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL row_security = off;
SET LOCAL extra_float_digits = 3;
SET LOCAL array_nulls = on;
SET LOCAL xmloption = content;
SET LOCAL lock_timeout = '5s';
CREATE TEMPORARY TABLE pgvigil_undo (step int, part int, table_name text, action text, row_count bigint, done bigint, already bigint, altered bigint)
  ON COMMIT DROP;
CREATE TEMPORARY TABLE pgvigil_written (step int, part int, leaf oid, place tid, content bigint) ON COMMIT DROP;
";

/// What the rows set off, at once or late, may have changed some of them again.
const LOOK_AGAIN: &str = "\
-- Whatever waits for the end is judged now, and then the rows are looked at once more.
SET CONSTRAINTS ALL IMMEDIATE;
";

/// How it ends: [`COMMIT`] behind it.
const TAIL: &str = "\
-- What was done. A row that is not as recorded was changed by a trigger, or by a type that rounds. A row in conflict was left alone:
-- it, what it references or what must be unique was changed by somebody since, or a trigger kept it from being changed.
SELECT step, table_name AS \"table\", action, row_count AS rows, done, already AS already_so, altered AS not_as_recorded,
       row_count - done - already - altered AS in_conflict
FROM pg_temp.pgvigil_undo ORDER BY step;
DO $pgvigil$
DECLARE
  conflicts bigint := (SELECT sum(row_count - done - already - altered) FROM pg_temp.pgvigil_undo);
  others bigint := (SELECT sum(altered) FROM pg_temp.pgvigil_undo);
BEGIN
  IF others > 0 THEN
    RAISE WARNING 'pgvigil undo: rows that triggers or types made something else of than what was recorded: %', others;
  END IF;
  IF conflicts > 0 THEN
    RAISE WARNING 'pgvigil undo: rows in conflict with what was done since, and left alone: %', conflicts;
  END IF;
END
$pgvigil$;
";

/// The last line of a script that does something.
pub const COMMIT: &str = "COMMIT;\n";

pub(super) fn script(steps: &[Step<'_, '_>], schema: &Schema, options: &Options, coverage: &Coverage, title: &str) -> String {
    let mut sql = comment(&format!("pgvigil undo: {title}\n{}", coverage.to_string().trim_end()));
    if steps.is_empty() {
        sql.push_str(&comment("\nNothing to do."));
        return sql;
    }
    sql.push_str(&comment(
        "\nA row that was changed since is left alone, and counted. Sequences stay where they are.\n\
         One transaction: what it did is shown before COMMIT.\n",
    ));
    let absent = Absent::new(steps, schema);
    sql.push_str(HEAD);
    sql.push_str(&absent.tables(schema));
    sql.push('\n');
    let (mut number, mut again) = (1, LOOK_AGAIN.to_owned());
    for step in steps {
        let next = statement::write(&mut sql, step, schema, &absent, number);
        statement::look_again(&mut again, step, schema, &(number..next));
        number = next;
    }
    sql.push_str(&again);
    sql.push_str(&moved::guard(steps, schema, &options.moves));
    sql.push_str(TAIL);
    sql.push_str(COMMIT);
    sql
}
