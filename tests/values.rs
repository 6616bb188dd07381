//! What a value looks like in JSON, judged by PostgreSQL itself: `to_jsonb` of the same row.

mod support;

use anyhow::{Context as _, Result, ensure};
use pgvigil::encoding::Encoding;
use pgvigil::event::{BlockBuilder, Domains, Encoder, Operation, Relation, TransactionHead};
use pgvigil::lsn::{Epoch, Lsn, Xid};
use pgvigil::pgoutput::{self, Context, Message, Timestamp};
use serde_json::Value;
use support::{Database, cluster, on_every_major};

/// Types for which the two agree to the letter, with values that are hard to get right.
const AGREEING: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["-32768", "32767"]),
    ("int4", &["-2147483648", "0"]),
    ("int8", &["9007199254740991", "-9007199254740991"]),
    ("float4", &["'1e20'", "'-0.1'", "'NaN'"]),
    ("float8", &["'1e300'", "'5e-324'", "'-Infinity'", "'0.1'"]),
    ("numeric", &["'0.1'", "'123456789012345'", "'-99999.99'", "'0.000001'", "'NaN'"]),
    ("text", &[r#"E'a "quoted" \\ line\nnext\ttab \x01'"#, "''", "'žluťoučký 🦄'"]),
    ("char(5)", &["'ab'"]),
    ("uuid", &["'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'"]),
    ("inet", &["'10.0.0.1/8'"]),
    ("date", &["'2026-11-22'", "'infinity'"]),
    ("bytea", &[r"'\x00ff'"]),
    ("json", &["E'{\n\"b\": 1,\r\n\"a\": [null]}'", r#"'"\u00e9"'"#]),
    ("jsonb", &[r#"'{"b": {"c": [1, 2.50, "x"]}, "a": null}'"#]),
    ("int4[]", &["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'"]),
    ("float8[]", &["'{0.1,NaN,1e300}'"]),
    ("bool[]", &["'{t,f,NULL}'"]),
    ("text[]", &[r#"ARRAY['NULL', NULL, '', 'a,b', '{}', 'say "hi"', E'back\\slash', E'new\nline']"#]),
    ("jsonb[]", &[r#"ARRAY['{"a": [1]}', NULL, '"x"']::jsonb[]"#]),
    ("uuid[]", &["'{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}'"]),
    ("numeric[]", &["'{1.5,NULL}'"]),
    ("mood", &["'so so'"]),
    ("age", &["7"]),
];

/// Types and values for which they differ, and what is promised instead.
const DIFFERING: &[(&str, &str, &str)] = &[
    ("int8", "9007199254740992", r#""9007199254740992""#),
    ("numeric", "'1234567890.1234567890'", r#""1234567890.1234567890""#),
    ("timestamptz", "'2026-11-22 14:02:11.204113+00'", r#""2026-11-22 14:02:11.204113+00""#),
    ("timestamp", "'0044-03-15 12:00 BC'", r#""0044-03-15 12:00:00 BC""#),
    ("int4[]", "'[0:1]={1,2}'", r#""[0:1]={1,2}""#),
    ("json", r#"'"\ud800"'"#, r#""\"\\ud800\"""#),
    ("json", "'[1e400]'", r#""[1e400]""#),
    ("point", "'(1,2)'", r#""(1,2)""#),
    ("int4range", "'[1,5)'", r#""[1,5)""#),
];

on_every_major!(values_are_what_postgresql_says_or_what_is_promised);

async fn values_are_what_postgresql_says_or_what_is_promised(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "values").await?;
    database
        .run(
            "SET timezone = 'UTC'; SET extra_float_digits = 3;
             CREATE TYPE mood AS ENUM ('so so'); CREATE DOMAIN age AS int4 CHECK (VALUE > 0);
             CREATE PUBLICATION everything FOR ALL TABLES",
        )
        .await?;
    database.rows("SELECT pg_create_logical_replication_slot('values', 'pgoutput')", &[]).await?;
    for (r#type, values) in AGREEING {
        let sent = sent(&database, r#type, values).await?;
        let said = database.rows("SELECT to_jsonb(v)::text FROM t", &[]).await?;
        let said = said.iter().map(|row| Ok(serde_json::from_str(row.get(0))?)).collect::<Result<Vec<Value>>>()?;
        ensure!(sent == said, "{type}: {sent:?} where to_jsonb says {said:?}");
    }
    for (r#type, value, promised) in DIFFERING {
        let sent = sent(&database, r#type, &[value]).await?;
        let promised: Value = serde_json::from_str(promised)?;
        ensure!(sent == [promised.clone()], "{type} {value}: {sent:?} where {promised} is promised");
    }
    Ok(())
}

/// Puts the values into a new table `t (v)` and gives what the encoder makes of them as they come out of the slot.
async fn sent(database: &Database, r#type: &str, values: &[&str]) -> Result<Vec<Value>> {
    let rows = values.iter().map(|value| format!("(CAST({value} AS {type}))")).collect::<Vec<_>>().join(", ");
    database.run(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (v {type}); INSERT INTO t VALUES {rows}")).await?;
    let changes = "SELECT data FROM pg_logical_slot_get_binary_changes('values', NULL, NULL,
                                                                       'proto_version', '1', 'publication_names', 'everything')";
    let epoch = Epoch::at_millis(0);
    let mut encoder = Encoder::new(Encoding::Utf8);
    let mut block = BlockBuilder::new(epoch.clone());
    let (mut domains, mut relation) = (Domains::default(), None);
    for message in database.rows(changes, &[]).await? {
        match pgoutput::decode(message.get(0), Context::Plain)? {
            Message::Begin(_) => {
                encoder.begin(&TransactionHead { epoch: epoch.clone(), xid: Xid(1), commit_lsn: Lsn(1), time: Timestamp(0) });
            }
            Message::Type(message) => domains.learn(&message),
            Message::Relation(message) => relation = Some(Relation::new(&message, &Encoding::Utf8).with_domains(&domains)),
            Message::Insert(insert) => {
                let relation = relation.as_ref().context("a row without its relation")?;
                encoder.change(&mut block, relation, Operation::Insert, None, Some(&insert.new), None);
            }
            _ => {}
        }
    }
    let block = block.finish();
    let value = |head| Ok(serde_json::from_slice::<Value>(&block.json(head))?["new"]["v"].take());
    block.heads().iter().map(value).collect()
}
