//! `setup` and `cleanup` against real servers: no statement of the application ever fails by them, and nothing of them is left.

#[path = "../support/mod.rs"]
mod support;
mod trees;

use anyhow::{Context, Result};
use pgvigil::catalog;
use pgvigil::cluster::Cluster;
use pgvigil::commands::setup::SetupError;
use support::{Database, a_major, clean_up, cluster, set_up};

/// Tables with every kind of replica identity, a row in each.
const TABLES: &str = r#"
    CREATE TABLE keyed (id int PRIMARY KEY, note text);
    CREATE TABLE cascading (id int PRIMARY KEY, keyed int REFERENCES keyed ON DELETE CASCADE);
    CREATE TABLE keyless_child (keyed int REFERENCES keyed ON DELETE CASCADE);
    CREATE TABLE keyless (a int);
    CREATE TABLE with_index (a int NOT NULL, b int);
    CREATE UNIQUE INDEX "an index" ON with_index (a);
    CREATE UNIQUE INDEX nullable ON with_index (b);
    CREATE TABLE by_index (a int NOT NULL);
    CREATE UNIQUE INDEX by_index_a ON by_index (a);
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
    CREATE TABLE index_gone (a int NOT NULL);
    CREATE UNIQUE INDEX index_gone_a ON index_gone (a);
    ALTER TABLE index_gone REPLICA IDENTITY USING INDEX index_gone_a;
    DROP INDEX index_gone_a;
    CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
    CREATE TABLE nothing (id int PRIMARY KEY);
    ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE full_already (a int);
    ALTER TABLE full_already REPLICA IDENTITY FULL;
    CREATE TABLE generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE generated_key (id int, twice int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY);
    CREATE TABLE generated_keyless (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE generated_full (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
    ALTER TABLE generated_full REPLICA IDENTITY FULL;
    CREATE UNLOGGED TABLE unlogged (a int);
    CREATE TABLE inheriting () INHERITS (keyed);
    CREATE SCHEMA "Shop";
    CREATE TABLE "Shop"."Logs {role} {tables}" (day int, PRIMARY KEY (day)) PARTITION BY RANGE (day);
    CREATE TABLE "Shop".logs_1 PARTITION OF "Shop"."Logs {role} {tables}" FOR VALUES FROM (0) TO (10);
    CREATE TABLE "Shop".keyless_tree (day int) PARTITION BY RANGE (day);
    CREATE TABLE "Shop".keyless_leaf PARTITION OF "Shop".keyless_tree FOR VALUES FROM (0) TO (10);
    CREATE TABLE "Shop".keyed_leaf PARTITION OF "Shop".keyless_tree (PRIMARY KEY (day)) FOR VALUES FROM (10) TO (20);
    CREATE TABLE "a name
; CREATE TABLE injected (); --" (a int);
    INSERT INTO keyed VALUES (1), (2); INSERT INTO cascading VALUES (1, 1); INSERT INTO keyless_child VALUES (1);
    INSERT INTO keyless VALUES (1); INSERT INTO with_index VALUES (1); INSERT INTO by_index VALUES (1);
    INSERT INTO index_gone VALUES (1); INSERT INTO deferred VALUES (1); INSERT INTO nothing VALUES (1);
    INSERT INTO full_already VALUES (1); INSERT INTO generated VALUES (1); INSERT INTO generated_key VALUES (1);
    INSERT INTO generated_keyless VALUES (1); INSERT INTO generated_full VALUES (1); INSERT INTO unlogged VALUES (1);
    INSERT INTO inheriting VALUES (1); INSERT INTO "Shop"."Logs {role} {tables}" VALUES (1);
    INSERT INTO "Shop".keyless_tree VALUES (1), (11); INSERT INTO "a name
; CREATE TABLE injected (); --" VALUES (1);
"#;

/// The tables above that cannot be published as they are.
const UNSAFE: [&str; 10] = [
    "Shop.keyless_leaf",
    "public.a name\n; CREATE TABLE injected (); --",
    "public.deferred",
    "public.generated_keyless",
    "public.index_gone",
    "public.inheriting",
    "public.keyless",
    "public.keyless_child",
    "public.nothing",
    "public.with_index",
];

async fn app(cluster: &Cluster) -> Result<Database> {
    let database = Database::create(cluster, "app").await?;
    database.run(TABLES).await?;
    if cluster.binaries().major >= 18 {
        database
            .run(
                "CREATE TABLE virtual (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL); \
                 CREATE TABLE virtual_keyless (id int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL); \
                 CREATE TABLE virtual_full (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL); \
                 ALTER TABLE virtual_full REPLICA IDENTITY FULL; \
                 INSERT INTO virtual VALUES (1); INSERT INTO virtual_keyless VALUES (1); INSERT INTO virtual_full VALUES (1)",
            )
            .await?;
    }
    Ok(database)
}

/// The tables that are published, and those that could be.
async fn published(database: &mut Database) -> Result<(Vec<String>, Vec<String>)> {
    let catalog = catalog::read(database.client(), "pgvigil").await?;
    let tables = catalog.tables.iter().filter(|table| table.has_rows() && table.persistence == catalog::Persistence::Permanent);
    let (yes, no): (Vec<_>, Vec<_>) = tables.partition(|table| table.coverage == catalog::Coverage::Covered);
    let names = |tables: Vec<&catalog::Table>| tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
    Ok((names(yes), names(no)))
}

/// What the application does must go on working: every table, changed and emptied row by row, then put back.
async fn every_table_can_be_changed(database: &Database) -> Result<()> {
    let rows = database
        .rows(
            "SELECT a.attrelid::regclass::text, quote_ident(a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
              WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('public'::regnamespace, '\"Shop\"'::regnamespace) AND a.attnum = 1",
            &[],
        )
        .await?;
    assert!(rows.len() > 15);
    for row in rows {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let changed = database.run(&format!("BEGIN; UPDATE {table} SET {column} = {column}; DELETE FROM {table}")).await;
        database.run("ROLLBACK").await?;
        changed?;
    }
    Ok(())
}

/// Everything in the catalogs that setup could touch, in a form in which equal means equal.
pub(crate) async fn dump(database: &Database) -> Result<Vec<String>> {
    let acl = |column: &str, default: &str, owner: &str| {
        // Granting and revoking leaves the default written out where it was left open before.
        format!(
            "(SELECT string_agg(format('%s<%s:%s%s', grantee::regrole, grantor::regrole, privilege_type, is_grantable), ' ' \
               ORDER BY grantee::regrole::text, privilege_type) FROM aclexplode(coalesce({column}, acldefault('{default}', {owner}))))"
        )
    };
    let (database_acl, schema_acl, table_acl) =
        (acl("datacl", "d", "datdba"), acl("nspacl", "n", "nspowner"), acl("relacl", "r", "relowner"));
    let mut dump = Vec::new();
    for query in [
        "SELECT to_jsonb(r) - 'oid' FROM pg_roles r".to_owned(),
        "SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m".to_owned(),
        "SELECT to_jsonb(d) FROM pg_shdescription d".to_owned(),
        "SELECT to_jsonb(d) FROM pg_description d WHERE objoid >= 16384".to_owned(),
        format!("SELECT jsonb_build_array(datname, {database_acl}) FROM pg_database"),
        format!("SELECT jsonb_build_array(nspname, {schema_acl}) FROM pg_namespace"),
        format!(
            "SELECT jsonb_build_array(oid::regclass, relkind, relreplident, relowner, {table_acl}) FROM pg_class WHERE oid >= 16384 \
              AND relkind IN ('r', 'p', 'v', 'm', 'i')"
        ),
        "SELECT to_jsonb(p) FROM pg_proc p WHERE oid >= 16384".to_owned(),
        "SELECT to_jsonb(e) FROM pg_event_trigger e".to_owned(),
        "SELECT to_jsonb(p) FROM pg_publication p".to_owned(),
        "SELECT to_jsonb(p) FROM pg_publication_rel p".to_owned(),
        "SELECT to_jsonb(t) FROM pg_trigger t".to_owned(),
        "SELECT to_jsonb(s) FROM pg_db_role_setting s".to_owned(),
    ] {
        for row in database.rows(&format!("SELECT q::text FROM ({query}) AS q(q) ORDER BY 1"), &[]).await? {
            dump.push(row.get(0));
        }
    }
    Ok(dump)
}

/// The database is as it was, but for what is expected.
pub(crate) async fn assert_unchanged(before: &[String], database: &Database, context: &str) -> Result<()> {
    let after = dump(database).await?;
    let missing = |from: &[String], of: &[String]| from.iter().filter(|line| !of.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!(missing(before, &after), missing(&after, before), "{context}");
    Ok(())
}

support::on_every_major!(nothing_is_left_after_cleanup, no_statement_fails_by_it, cleanup_makes_no_statement_fail);

async fn nothing_is_left_after_cleanup(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = app(&cluster).await?;
    // REPLICA IDENTITY USING INDEX cannot be said again of an index that is gone.
    database.run("ALTER TABLE index_gone REPLICA IDENTITY DEFAULT").await?;
    let before = dump(&database).await?;

    for arguments in
        ["--full-identity", "--leave-out", "--leave-out --role Some\"One", "--leave-out --publication Other --tables keyed"]
    {
        let (printed, outcome) = set_up(&mut database, arguments).await;
        outcome?;
        assert_unchanged(&before, &database, &format!("{arguments}: only printed")).await?;
        let (applied, outcome) = set_up(&mut database, &format!("--apply {arguments}")).await;
        outcome.context(arguments)?;
        let told = |text: &str| text.split("\n\nBEGIN").count();
        assert_eq!(told(&applied), told(&printed));
        assert_ne!(dump(&database).await?, before);

        let (again, outcome) = set_up(&mut database, &format!("--apply {arguments}")).await;
        outcome?;
        assert!(again.contains("-- Nothing is missing.") && !again.contains("BEGIN"), "{arguments}: {again}");

        let names: Vec<_> =
            arguments.split_whitespace().skip_while(|word| !matches!(*word, "--role" | "--publication")).take(2).collect();
        let names = names.join(" ");
        clean_up(&mut database, &names).await?;
        assert_ne!(dump(&database).await?, before, "{arguments}: cleanup only printed");
        clean_up(&mut database, &format!("--apply {names}")).await?;
        assert_unchanged(&before, &database, arguments).await?;
    }
    let nothing = clean_up(&mut database, "--apply").await?;
    assert!(nothing.contains("-- Nothing that setup made is here."), "{nothing}");
    Ok(())
}

async fn no_statement_fails_by_it(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = app(&cluster).await?;
    let mut harmed: Vec<String> = UNSAFE.map(str::to_owned).to_vec();
    if major >= 18 {
        harmed.extend(["public.virtual_full".to_owned(), "public.virtual_keyless".to_owned()]);
    }
    harmed.sort();

    // Nobody has said what to do with the tables that have no identity: nothing is done.
    let before = dump(&database).await?;
    let (text, outcome) = set_up(&mut database, "--apply").await;
    assert!(matches!(outcome, Err(SetupError::Undecided { tables }) if tables == harmed.len()), "{outcome:?}");
    assert_unchanged(&before, &database, "").await?;
    assert!(text.contains("-- Left out:") && text.contains(r#"--   "public"."keyless" has no primary key"#), "{text}");
    assert!(text.contains(r#"ALTER TABLE "public"."with_index" REPLICA IDENTITY USING INDEX "an index";"#), "{text}");
    let (_, outcome) = set_up(&mut database, "--apply --all-tables --leave-out").await;
    assert!(matches!(outcome, Err(SetupError::NotAllSafe { .. })), "{outcome:?}");
    assert_unchanged(&before, &database, "").await?;

    set_up(&mut database, "--apply --leave-out").await.1?;
    assert_eq!(published(&mut database).await?.1, harmed);
    every_table_can_be_changed(&database).await?;
    assert_eq!(database.value::<Option<String>>("SELECT to_regclass('injected')::text").await?, None);

    // The same publication takes them in, once they are given an identity.
    set_up(&mut database, "--apply --full-identity").await.1?;
    let still_out: Vec<String> = harmed.iter().filter(|name| name.contains("virtual")).cloned().collect();
    assert_eq!(published(&mut database).await?.1, still_out);
    every_table_can_be_changed(&database).await?;

    // Whoever takes the key of a published table away is not helped; but setup, run again, stops publishing it.
    database.run("ALTER TABLE cascading DROP CONSTRAINT cascading_pkey").await?;
    assert!(every_table_can_be_changed(&database).await.is_err(), "the test would see a failing statement");
    set_up(&mut database, "--apply --leave-out").await.1?;
    every_table_can_be_changed(&database).await?;
    assert!(published(&mut database).await?.1.contains(&"public.cascading".to_owned()));

    clean_up(&mut database, "--apply").await?;
    database.run("DROP TABLE keyless_child, cascading, keyed, inheriting").await?;
    let (_, outcome) = set_up(&mut database, "--apply --all-tables --full-identity").await;
    if major >= 18 {
        assert!(matches!(outcome, Err(SetupError::NotAllSafe { tables: 2 })), "{outcome:?}");
    } else {
        outcome?;
        assert!(database.value::<bool>("SELECT puballtables FROM pg_publication").await?);
        every_table_can_be_changed(&database).await?;
        let (_, outcome) = set_up(&mut database, "--apply --leave-out").await;
        assert!(matches!(outcome, Err(SetupError::OtherForm { all_tables: true, .. })), "{outcome:?}");
    }
    Ok(())
}

/// What setup gave a table, somebody else may have come to rely on.
async fn cleanup_makes_no_statement_fail(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = app(&cluster).await?;
    set_up(&mut database, "--apply --full-identity").await.1?;
    database
        .run(
            "CREATE PUBLICATION theirs FOR TABLE keyless, ONLY keyed; CREATE PUBLICATION rooted FOR TABLE \"Shop\".keyless_tree \
               WITH (publish_via_partition_root = true); \
             CREATE PUBLICATION harmless FOR TABLE deferred WITH (publish = 'insert'); \
             CREATE PUBLICATION keyed FOR TABLE keyless_child; ALTER TABLE keyless_child ADD PRIMARY KEY (keyed)",
        )
        .await?;
    let text = clean_up(&mut database, "--apply").await?;
    for said in [
        r#"Table "public"."keyless" keeps REPLICA IDENTITY FULL, since publication "theirs" carries it"#,
        r#"Table "Shop"."keyless_leaf" keeps REPLICA IDENTITY FULL, since publication "rooted" carries it"#,
        r#"--   ALTER TABLE "public"."keyless" REPLICA IDENTITY DEFAULT;"#,
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let full = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relreplident = 'f'";
    assert!(database.value::<String>(full).await?.starts_with("full_already generated_full keyless keyless_leaf"));
    every_table_can_be_changed(&database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_can_do_what_is_needed_and_no_more() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = app(&cluster).await?;
    let database_only = "REVOKE CONNECT ON DATABASE app FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC";
    database.run(database_only).await?;
    set_up(&mut database, "--apply --leave-out").await.1?;
    let attributes = "SELECT rolcanlogin AND rolreplication AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls) \
                             AND rolpassword IS NULL FROM pg_authid WHERE rolname = 'pgvigil'";
    assert!(database.value::<bool>(attributes).await?);

    let mut watcher =
        Database::connect(&cluster.url("app").replace("postgres@", "pgvigil@").replace("user=postgres", "user=pgvigil")).await?;
    assert_eq!(watcher.value::<String>("SELECT current_user::text").await?, "pgvigil");
    let catalog = catalog::read(watcher.client(), "pgvigil").await?;
    assert!(catalog.told_by.is_some());
    let covered: Vec<_> =
        catalog.tables.iter().filter(|table| table.has_rows() && table.coverage == catalog::Coverage::Covered).collect();
    assert!(covered.len() > 5);
    for table in &covered {
        catalog::count(watcher.client(), table, None, |_| ()).await.with_context(|| table.name.clone())?;
    }
    assert!(watcher.count("keyless").await.is_err(), "what is not watched may not be read");
    assert!(watcher.run("DELETE FROM keyed").await.is_err());

    // One that was there before is left alone, and told what it needs.
    clean_up(&mut database, "--apply").await?;
    database.run("CREATE ROLE mine LOGIN").await?;
    let before = dump(&database).await?;
    let (text, outcome) = set_up(&mut database, "--apply --leave-out --role mine --tables keyed").await;
    outcome?;
    for needed in
        ["ALTER ROLE \"mine\" REPLICATION;", "GRANT CONNECT ON DATABASE", "GRANT USAGE ON SCHEMA", "GRANT SELECT ON TABLE"]
    {
        assert!(text.lines().any(|line| line.starts_with("-- ") && line.contains(needed)), "{needed}: {text}");
    }
    let text = clean_up(&mut database, "--apply --role mine").await?;
    assert!(text.contains("Role \"mine\" was not made by setup, so it stays."), "{text}");
    assert_unchanged(&before, &database, "").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_known_elsewhere_stays_until_the_last_cleanup() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut one = Database::create(&cluster, "one").await?;
    let mut two = Database::create(&cluster, "two").await?;
    let before = dump(&one).await?;
    // Where all tables are published, the role needs no right on any one of them.
    for (database, arguments) in [(&mut one, "--apply"), (&mut two, "--apply --all-tables")] {
        database.run("CREATE TABLE t (id int PRIMARY KEY)").await?;
        set_up(database, arguments).await.1?;
    }
    let text = clean_up(&mut one, "--apply").await?;
    assert!(text.contains("run cleanup there (two)"), "{text}");
    assert_eq!(one.value::<i64>("SELECT count(*) FROM pg_roles WHERE rolname = 'pgvigil'").await?, 1);
    clean_up(&mut two, "--apply").await?;
    one.run("DROP TABLE t").await?;
    assert_unchanged(&before, &one, "").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_superuser_it_says_what_is_missing() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    database.run("CREATE ROLE owner LOGIN; CREATE TABLE owned (id int PRIMARY KEY); ALTER TABLE owned OWNER TO owner").await?;
    let mut owner =
        Database::connect(&cluster.url("app").replace("postgres@", "owner@").replace("user=postgres", "user=owner")).await?;

    let (text, outcome) = set_up(&mut owner, "--apply").await;
    assert!(matches!(outcome, Err(SetupError::NotAllowed { .. })), "{outcome:?}");
    assert!(text.contains("GRANT CREATE ON DATABASE \"app\" TO \"owner\""), "{text}");

    database.run("GRANT CREATE ON DATABASE app TO owner").await?;
    let (text, outcome) = set_up(&mut owner, "--apply").await;
    outcome.context(text.clone())?;
    for said in
        ["Left out, since only their owner", "\"public\".\"keyed\"", "Role \"pgvigil\" is not made", "DDL messages are not made"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let published: Vec<String> =
        owner.rows("SELECT tablename::text FROM pg_publication_tables", &[]).await?.iter().map(|row| row.get(0)).collect();
    assert_eq!(published, ["owned"]);
    let (again, outcome) = set_up(&mut owner, "--apply").await;
    outcome?;
    assert!(again.contains("-- Nothing is missing."), "{again}");
    clean_up(&mut owner, "--apply").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_by_the_same_name_stays() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = app(&cluster).await?;
    database.run("CREATE PUBLICATION pgvigil FOR TABLE keyed; CREATE SCHEMA pgvigil").await?;
    let publication = "SELECT oid::bigint FROM pg_publication WHERE pubname = 'pgvigil'";
    let oid: i64 = database.value(publication).await?;
    let (text, outcome) = set_up(&mut database, "--apply --leave-out").await;
    outcome?;
    assert!(
        text.contains("Publication \"pgvigil\" is there already and was not made by setup, so it is left as it is."),
        "{text}"
    );
    // It cannot be made to be for all tables, so setup does not say that all are watched.
    let (text, outcome) = set_up(&mut database, "--apply --all-tables --full-identity").await;
    assert!(matches!(outcome, Err(SetupError::OtherForm { all_tables: false, ours: false, .. })), "{outcome:?}");
    assert!(
        !text.contains("All tables are watched") && !text.contains("BEGIN"),
        "what is refused is not shown as to be run: {text}"
    );
    let (text, _) = set_up(&mut database, "--all-tables --full-identity").await;
    assert!(text.contains("-- This cannot be applied: publication \"pgvigil\" is not for all tables"), "{text}");
    let text = clean_up(&mut database, "--apply").await?;
    assert!(text.contains("Publication \"pgvigil\" was not made by setup, so it stays."), "{text}");
    assert_eq!(database.value::<i64>(publication).await?, oid);
    Ok(())
}

/// The names are in the encoding of the database, and what setup sends besides them is in every encoding.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_any_encoding_can_be_set_up() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let maintenance = Database::connect(&cluster.url("postgres")).await?;
    maintenance.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await?;
    let mut database = Database::connect(&cluster.url("latin")).await?;
    database.run("CREATE TABLE \"caf\u{e9}\" (id int PRIMARY KEY); CREATE TABLE keyless (a int)").await?;
    let before = dump(&database).await?;
    set_up(&mut database, "--apply --full-identity").await.1?;
    assert_eq!(published(&mut database).await?.1, Vec::<String>::new());
    clean_up(&mut database, "--apply").await?;
    assert_unchanged(&before, &database, "").await
}

/// Whoever may create a schema must not get hold of code that a superuser will run.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_into_the_hands_of_another() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE ROLE sly LOGIN; GRANT CREATE ON DATABASE app TO sly; CREATE TABLE keyless (a int)").await?;
    let sly = Database::connect(&cluster.url("app").replace("postgres@", "sly@").replace("user=postgres", "user=sly")).await?;
    sly.run(
        "CREATE SCHEMA pgvigil; CREATE TABLE pgvigil.trap (a int); \
         CREATE FUNCTION pgvigil.spring() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pgvigil.trap VALUES (1); RETURN 1; END $$; \
         CREATE VIEW pgvigil.replica_identity_before AS SELECT 'pg_class'::regclass AS relation, 'd'::\"char\" AS identity \
           WHERE pgvigil.spring() = 1",
    )
    .await?;
    let before = dump(&database).await?;
    for arguments in ["--apply --full-identity", "--apply --leave-out"] {
        let (_, outcome) = set_up(&mut database, arguments).await;
        assert!(matches!(&outcome, Err(SetupError::SchemaOfAnother { owner }) if owner == "sly"), "{outcome:?}");
    }
    clean_up(&mut database, "--apply").await?;
    assert_eq!(database.count("pgvigil.trap").await?, 0, "the trap was not sprung");
    assert_unchanged(&before, &database, "").await
}

/// `pg_dump` locks and reads every table of the database, and fails if it may not do so with one.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_database_can_still_dump_it() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE ROLE owner LOGIN; ALTER DATABASE app OWNER TO owner; CREATE TABLE keyless (a int)").await?;
    database.run("ALTER TABLE keyless OWNER TO owner").await?;
    set_up(&mut database, "--apply --full-identity").await.1?;
    let owner =
        Database::connect(&cluster.url("app").replace("postgres@", "owner@").replace("user=postgres", "user=owner")).await?;
    let dump = "DO $$ DECLARE name regclass; BEGIN
                  FOR name IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND relnamespace NOT IN
                                (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
                  LOOP
                    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', name);
                    EXECUTE format('SELECT count(x) FROM %s x', name);
                  END LOOP;
                END $$";
    owner.run(dump).await?;

    // Also after what was set up by an earlier version.
    database.run("REVOKE ALL ON SCHEMA pgvigil FROM PUBLIC; REVOKE ALL ON pgvigil.replica_identity_before FROM PUBLIC").await?;
    assert!(owner.run(dump).await.is_err(), "the test would see it");
    set_up(&mut database, "--apply --leave-out").await.1?;
    owner.run(dump).await?;
    let (text, _) = set_up(&mut database, "--leave-out").await;
    assert!(text.contains("-- Nothing is missing."), "{text}");
    Ok(())
}

/// What is printed can be run by hand, and does the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_is_run() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = app(&cluster).await?;
    database.run("ALTER TABLE index_gone REPLICA IDENTITY DEFAULT").await?;
    let before = dump(&database).await?;
    let (text, _) = set_up(&mut database, "--full-identity").await;
    database.run(&text).await?;
    let by_hand = published(&mut database).await?;
    let (again, _) = set_up(&mut database, "--full-identity").await;
    assert!(again.contains("-- Nothing is missing."), "{again}");
    let text = clean_up(&mut database, "").await?;
    database.run(&text).await?;
    assert_unchanged(&before, &database, "").await?;

    set_up(&mut database, "--apply --full-identity").await.1?;
    assert_eq!(published(&mut database).await?, by_hand);
    Ok(())
}
