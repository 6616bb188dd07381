//! What is done to rows of one mark, at random: everything that has to be undone.

use rand::Rng;
use rand::rngs::StdRng;

/// Values that are hard to get right, by column of `kinds`.
const VALUES: &[(&str, &[&str])] = &[
    ("c_bool", &["true", "false"]),
    ("c_int2", &["-32768", "7"]),
    ("c_int8", &["9223372036854775807", "-9007199254740993", "1"]),
    ("c_float4", &["'NaN'", "'1e20'", "'-0'", "0.1"]),
    ("c_float8", &["'Infinity'", "'-Infinity'", "'5e-324'", "0.1", "1e300"]),
    ("c_numeric", &["1.50", "'NaN'", "0.00000000000000000001", "12345678901234567890.50", "-0.0"]),
    ("c_money", &["12.34", "-1"]),
    ("c_text", &["''", r#"E'it''s \\ "q"\n\t\x01 ž🦄'"#, "'NULL'", "'-- no comment'", "' '", "'$pgvigil$'"]),
    ("c_varchar", &["'abc '", "'12345678901234567890'"]),
    ("c_char", &["'ab'", "'a''b'"]),
    ("\"c \"\"quoted\"\" char\"", &["'x'", "''''"]),
    ("c_name", &["'name'"]),
    ("c_bytea", &[r"'\x00ff5c27'", "''"]),
    ("c_bit", &["B'10101'"]),
    ("c_varbit", &["B'1'", "B''"]),
    ("c_date", &["'infinity'", "'0044-03-15 BC'", "'2026-11-22'"]),
    ("c_time", &["'24:00:00'", "'01:02:03.000004'"]),
    ("c_timetz", &["'12:00:00+05:30'"]),
    ("c_timestamp", &["'2026-11-22 14:02:11.204'", "'-infinity'"]),
    ("c_timestamptz", &["'2026-11-22 14:02:11.204113+00'", "'0044-03-15 12:00:00 BC'"]),
    ("c_interval", &["'1 year 2 mons -3 days +04:05:06.7'", "'-1 day +02:03'", "'0'"]),
    ("c_uuid", &["'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'"]),
    ("c_inet", &["'10.0.0.1/8'", "'::1'"]),
    ("c_cidr", &["'10.0.0.0/8'"]),
    ("c_macaddr", &["'08:00:2b:01:02:03'"]),
    (
        "c_json",
        &["'null'", "E'{\"b\":  1,\\r\\n\"a\" : 1.50, \"a\":null}'", r#"'"\ud800"'"#, "'[1e400]'", "'\"text\"'", "'[[1]]'"],
    ),
    ("c_jsonb", &["'null'", r#"'{"a": [1.50, null, "x"]}'"#, "'\"null\"'", "'[]'", "'7'"]),
    ("c_xml", &["'<a/>'"]),
    ("c_point", &["'(1.5,NaN)'"]),
    ("c_box", &["'(1,2),(0,0)'"]),
    ("c_path", &["'[(0,0),(1,1)]'"]),
    ("c_range", &["'[1,5)'", "'empty'", "'(,)'"]),
    ("c_tsrange", &["'[\"2026-01-01 00:00:00+00\",)'"]),
    ("c_floats", &["'[0.1,Infinity]'"]),
    ("c_multi", &["'{[1,3),[5,9)}'", "'{}'"]),
    ("c_mood", &["'so so'", "'it''s \"fine\"'", r"'back\slash'"]),
    ("c_pair", &[r#"'(1,"a \"\" , \\ b",x)'"#, "'(,,)'", "'(2,\"\",)'"]),
    ("c_age", &["7"]),
    ("c_document", &["'null'", "'{\"a\": \"x\"}'"]),
    ("c_ints", &["'{1,NULL,3}'", "'{}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"]),
    (
        "c_texts",
        &[r#"ARRAY['NULL', NULL, '', 'a,b', '{}', 'say "hi"', E'back\\slash', E'new\nline', 'it''s']"#, "'{{a,b},{c,NULL}}'"],
    ),
    ("c_jsons", &[r#"ARRAY['null', NULL, '[1, [2]]', '{"a":  1}']::json[]"#, r#"ARRAY[['1','2'],['3','null']]::json[]"#]),
    ("c_jsonbs", &[r#"ARRAY['null', NULL, '[1, [2]]', '"x"']::jsonb[]"#, "'{}'"]),
    ("c_bools", &["'{t,f,NULL}'"]),
    ("c_numerics", &["'{1.50,NaN,NULL,12345678901234567890.10}'"]),
    ("c_boxes", &["'{(1,2),(0,0);(3,4),(1,1)}'"]),
    ("c_moods", &[r#"'{"so so",NULL,"back\\slash"}'"#]),
    ("c_pairs", &[r#"ARRAY['(1,"a \"\" b",x)', NULL]::"Mixed Case".pair[]"#]),
    ("c_citext", &["'Mixed'", "'mixed'"]),
    ("c_tsvector", &["'''it''''s'':1A quick:2'"]),
    ("c_big", &["(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)", "'small'"]),
    ("c_ages", &["'{1,2}'"]),
    ("c_bytes", &[r"'{\\x00ff,NULL}'", r"ARRAY['\x5c27'::bytea]"]),
    ("c_floats8", &["'{0.1,NaN,-Infinity,1e300}'"]),
];

/// Something that is done to rows of this mark.
type Act = fn(&mut StdRng, u32) -> String;

/// All that can be done.
pub(crate) const ACTS: &[Act] = &[
    // Goes down through authors and answers, and leaves bosses and editors without.
    |rng, mark| format!(r#"DELETE FROM "Mixed Case"."User" WHERE mark = {mark} AND "Id" % 7 = {}"#, rng.random_range(0..7)),
    |rng, mark| {
        format!(
            r#"INSERT INTO "Mixed Case"."User" (mark, "E-mail", boss) SELECT {mark}, 'new ' || nextval('remark_id_seq'), (SELECT min("Id") FROM "Mixed Case"."User" WHERE mark = {mark}) FROM generate_series(1, {})"#,
            rng.random_range(1..4)
        )
    },
    |rng, mark| {
        format!(
            r#"UPDATE "Mixed Case"."User" u SET boss = (SELECT max("Id") FROM "Mixed Case"."User" WHERE mark = {mark} AND "Id" % 3 = {}) WHERE mark = {mark} AND "Id" % 5 = {}"#,
            rng.random_range(0..3),
            rng.random_range(0..5)
        )
    },
    // An address that goes from one to another.
    |rng, mark| {
        format!(
            r#"WITH a AS (SELECT "Id", "E-mail" FROM "Mixed Case"."User" WHERE mark = {mark} AND "E-mail" IS NOT NULL ORDER BY md5("Id"::text || '{}') LIMIT 1), b AS (UPDATE "Mixed Case"."User" u SET "E-mail" = u."E-mail" || '.old' FROM a WHERE u."Id" = a."Id" RETURNING a.*) INSERT INTO "Mixed Case"."User" (mark, "E-mail") SELECT {mark}, "E-mail" || '.new' FROM b"#,
            rng.random_range(0..9)
        )
    },
    |rng, mark| {
        let (a, b) = (rng.random_range(0..20), rng.random_range(0..20));
        format!(
            r#"DO $$ DECLARE a int := (SELECT "Id" FROM "Mixed Case"."User" WHERE mark = {mark} ORDER BY 1 OFFSET {a} LIMIT 1); b int := (SELECT "Id" FROM "Mixed Case"."User" WHERE mark = {mark} ORDER BY 1 OFFSET {b} LIMIT 1); mail text;
            BEGIN SELECT "E-mail" INTO mail FROM "Mixed Case"."User" WHERE "Id" = a; UPDATE "Mixed Case"."User" SET "E-mail" = 'taken ' || nextval('remark_id_seq') WHERE "Id" = a;
            IF a <> b THEN UPDATE "Mixed Case"."User" SET "E-mail" = mail WHERE "Id" = b; END IF; END $$"#
        )
    },
    // Gone, and another one in its place.
    |rng, mark| {
        format!(
            r#"WITH gone AS (DELETE FROM "Mixed Case"."User" WHERE "Id" = (SELECT "Id" FROM "Mixed Case"."User" WHERE mark = {mark} ORDER BY 1 OFFSET {} LIMIT 1) RETURNING *) SELECT count(*) FROM gone"#,
            rng.random_range(0..20)
        )
    },
    |rng, mark| {
        format!(
            "INSERT INTO post (mark, author, answers, body) SELECT {mark}, author, id, 'an answer' FROM post WHERE mark = {mark} AND id % 11 = {}",
            rng.random_range(0..11)
        )
    },
    |rng, mark| {
        format!("UPDATE post SET body = body || '!', editor = author WHERE mark = {mark} AND id % 5 = {}", rng.random_range(0..5))
    },
    |rng, mark| {
        format!(
            r#"UPDATE post SET author = (SELECT max("Id") FROM "Mixed Case"."User" WHERE mark = {mark}) WHERE mark = {mark} AND id % 7 = {}"#,
            rng.random_range(0..7)
        )
    },
    |rng, mark| format!("DELETE FROM post WHERE mark = {mark} AND id % 9 = {}", rng.random_range(0..9)),
    |rng, mark| {
        format!(
            "UPDATE account SET code = code || '{}' WHERE mark = {mark} AND part <> 1 AND hashtext(code) % 3 = 0",
            rng.random_range(0..9)
        )
    },
    |rng, mark| {
        format!(
            "UPDATE account SET code = code || 'x' WHERE mark = {mark} AND part = 1; UPDATE remark r SET code = r.code || 'x' WHERE mark = {mark} AND part = 1 -- {}",
            rng.random_range(0..9)
        )
    },
    |rng, mark| {
        format!(
            "DELETE FROM remark WHERE mark = {mark} AND part = 1; DELETE FROM account WHERE mark = {mark} AND part = {}",
            rng.random_range(0..3)
        )
    },
    |rng, mark| format!("INSERT INTO account VALUES ('more ' || nextval('remark_id_seq'), {}, {mark})", rng.random_range(0..3)),
    |rng, mark| {
        format!(
            "UPDATE booking SET amount = amount * 1.10, line = line + 10 WHERE mark = {mark} AND line % 4 = {}",
            rng.random_range(0..4)
        )
    },
    |rng, mark| format!("DELETE FROM team WHERE mark = {mark} AND id % 5 = {}", rng.random_range(0..5)),
    |_, mark| {
        format!(
            "WITH new AS (SELECT nextval('remark_id_seq')::int + 100000 AS n), t AS (INSERT INTO team SELECT n, {mark}, n * 10 FROM new) INSERT INTO player SELECT n * 10 + i, {mark}, n, i FROM new, generate_series(0, 2) i"
        )
    },
    |rng, mark| {
        format!(
            "UPDATE team t SET captain = (SELECT max(p.id) FROM player p WHERE p.team = t.id) WHERE mark = {mark} AND id % 3 = {}",
            rng.random_range(0..3)
        )
    },
    |rng, mark| format!("UPDATE player SET shirt = shirt + {} WHERE mark = {mark}", rng.random_range(1..9)),
    |_, mark| {
        format!(
            "UPDATE queue SET place = (SELECT min(place) + max(place) FROM queue WHERE mark = {mark}) - place WHERE mark = {mark}"
        )
    },
    |rng, mark| format!("DELETE FROM queue WHERE mark = {mark} AND id % 6 = {}", rng.random_range(0..6)),
    // Every row takes the number that the next one had.
    |_, mark| {
        format!(
            "DO $$ DECLARE s int; BEGIN FOR s IN SELECT number FROM seat WHERE mark = {mark} ORDER BY number DESC LOOP UPDATE seat SET number = number + 2 WHERE number = s; END LOOP; END $$"
        )
    },
    |rng, mark| {
        format!(
            "WITH gone AS (DELETE FROM seat WHERE mark = {mark} AND number % 5 = {} RETURNING *) SELECT count(*) FROM gone",
            rng.random_range(0..5)
        )
    },
    |rng, mark| {
        format!(
            "DO $$ DECLARE s seat; BEGIN FOR s IN SELECT * FROM seat WHERE mark = {mark} AND number % 4 = {} LOOP DELETE FROM seat WHERE number = s.number; INSERT INTO seat VALUES (s.number, {mark}, 'another'); END LOOP; END $$",
            rng.random_range(0..4)
        )
    },
    |rng, mark| {
        format!(
            "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE mark = {mark} LIMIT {})",
            rng.random_range(1..7)
        )
    },
    |rng, mark| {
        format!(
            "UPDATE keyless SET n = n + 1, p = '(3,NaN)' WHERE ctid IN (SELECT ctid FROM keyless WHERE mark = {mark} AND n < 9 LIMIT {})",
            rng.random_range(1..7)
        )
    },
    |rng, mark| format!("INSERT INTO keyless SELECT {mark}, i, 'null' FROM generate_series(1, {}) i", rng.random_range(1..4)),
    |rng, mark| {
        format!(
            "UPDATE tree SET k = {} WHERE mark = {mark} AND id % 4 = {} AND NOT EXISTS (SELECT FROM leaf_note n WHERE n.k = tree.k AND n.tree = tree.id)",
            rng.random_range(0..4),
            rng.random_range(0..4)
        )
    },
    |rng, mark| format!("UPDATE tree SET v = v || '!' WHERE mark = {mark} AND id % 4 = {}", rng.random_range(0..4)),
    |rng, mark| format!("DELETE FROM tree WHERE mark = {mark} AND id % 7 = {}", rng.random_range(0..7)),
    |rng, mark| {
        format!("INSERT INTO tree (k, mark, v) SELECT {}, {mark}, 'new' FROM generate_series(1, 3)", rng.random_range(0..5))
    },
    |rng, mark| {
        format!("UPDATE tag SET name = upper(name::text) || '-{}' WHERE mark = {mark} AND weight < 6", rng.random_range(0..9))
    },
    |rng, mark| format!("UPDATE tag SET name = upper(name::text) WHERE mark = {mark} AND weight > {}", rng.random_range(3..9)),
    |rng, mark| format!("DELETE FROM tag WHERE mark = {mark} AND weight::int % 4 = {}", rng.random_range(0..4)),
    |rng, mark| format!("DELETE FROM ONLY parent_only WHERE mark = {mark} AND id % 4 = {}", rng.random_range(0..4)),
    |rng, mark| format!("DELETE FROM child_of_it WHERE mark = {mark} AND id % 4 = {}", rng.random_range(0..4)),
    |_, mark| format!("UPDATE parent_only SET id = id + 100 WHERE mark = {mark}"),
    |rng, mark| kinds(rng, mark),
    |rng, mark| kinds(rng, mark),
    |rng, mark| set_kinds(rng, mark),
    |rng, mark| set_kinds(rng, mark),
    |rng, mark| set_kinds(rng, mark),
    |rng, mark| format!("DELETE FROM kinds WHERE mark = {mark} AND id % 4 = {}", rng.random_range(0..4)),
];

fn value(rng: &mut StdRng, values: &[&str]) -> String {
    if rng.random_ratio(1, 6) { "NULL".to_owned() } else { values[rng.random_range(0..values.len())].to_owned() }
}

/// A row with a value of every type.
pub(crate) fn kinds(rng: &mut StdRng, mark: u32) -> String {
    let (columns, values): (Vec<_>, Vec<_>) = VALUES.iter().map(|(column, values)| (*column, value(rng, values))).unzip();
    format!("INSERT INTO kinds (mark, {}) VALUES ({mark}, {})", columns.join(", "), values.join(", "))
}

fn set_kinds(rng: &mut StdRng, mark: u32) -> String {
    let mut set = Vec::new();
    for (column, values) in VALUES {
        if rng.random_ratio(1, 5) {
            set.push(format!("{column} = {}", value(rng, values)));
        }
    }
    set.push("mark = mark".to_owned());
    format!("UPDATE kinds SET {} WHERE mark = {mark} AND id % 3 = {}", set.join(", "), rng.random_range(0..3))
}
