//! What is there, what is missing, and the script that makes the difference.

use std::collections::BTreeSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::attribution::Attribution;
use super::candidates::Candidate;
use super::selection::{Apart, Remedy, Selection};
use super::there::{DDL_MESSAGES, Existing, Role, Server};
use super::{SetupError, SetupOptions};
use crate::commands::script::Script;

/// What to run, and what keeps it from being run.
pub(super) struct Plan {
    pub(super) script: Script,
    pub(super) obstacle: Option<SetupError>,
    /// What is left for a person to do, once it was run.
    pub(super) next: Script,
    /// Its script makes the schema `pgvigil`.
    makes_schema: bool,
}

impl Plan {
    pub(super) async fn make(client: &Client, options: &SetupOptions) -> Result<Plan, SetupError> {
        let role = Role::read(client, &options.role).await?;
        let grantee = if role.is_some() { options.role.as_str() } else { "public" };
        let server = Server::read(client, grantee).await?;
        let existing = Existing::read(client, &options.publication).await?;
        let candidates = Candidate::read(client, grantee).await?;
        let selection = Selection::choose(&candidates, &options.tables, options.remedy(), server.superuser)?;

        let attribution = Attribution::choose(client, options, &selection).await?;

        let mut plan = Plan { script: Script::default(), obstacle: None, next: Script::default(), makes_schema: false };
        plan.introduce(&server);
        plan.explain_left_out(&selection, options);
        // Of a publication for all tables, or one that is left as it is, it makes no difference what would be named.
        if !options.all_tables && existing.as_ref().is_none_or(|existing| existing.ours) {
            plan.explain_apart(&selection);
        }
        plan.schema(&selection, &server, &attribution);
        plan.identities(&selection, &server);
        plan.publication(&selection, options, &server, existing.as_ref());
        plan.role(&selection, options, &server, role.as_ref());
        plan.attribution(&server, &attribution);
        plan.ddl_messages(&server);
        plan.conclude(options, &server, role.as_ref());
        Ok(plan)
    }

    fn introduce(&mut self, server: &Server) {
        let Server { database, me, version, wal_level, .. } = server;
        let major = version / 10_000;
        self.script.remark(format!("pgvigil setup, for database {database:?} on PostgreSQL {major}, as role {me:?}."));
        if wal_level != "logical" {
            self.script.remark(format!(
                "wal_level is {wal_level}: nothing can be streamed before it is logical. That takes a restart of the server:\n  \
                 ALTER SYSTEM SET wal_level = logical;"
            ));
        }
    }

    fn explain_left_out(&mut self, selection: &Selection<'_>, options: &SetupOptions) {
        let Selection { left_out, not_owned, .. } = selection;
        if !left_out.is_empty() {
            let mut text = format!(
                "Left out: {} table(s) whose rows nothing identifies. Once such a table is published, its UPDATE and DELETE fail.",
                left_out.len()
            );
            for (table, hazard) in left_out {
                text += &format!("\n  {} {hazard}. What would help:", table.sql_name());
                for cure in table.cures() {
                    text += &format!("\n      {cure}");
                }
            }
            text += "\nTo publish them all the same, with the whole old row in the log: --full-identity. To go on without them: --leave-out.";
            self.script.remark(text);
            let tables = left_out.len();
            if options.all_tables {
                self.obstacle = Some(SetupError::NotAllSafe { tables });
            } else if options.remedy() == Remedy::Undecided {
                self.obstacle = Some(SetupError::Undecided { tables });
            }
        }
        if !not_owned.is_empty() {
            let names: Vec<_> = not_owned.iter().map(|table| format!("\n  {}", table.sql_name())).collect();
            self.script.remark(format!("Left out, since only their owner or a superuser can publish them:{}", names.concat()));
        }
    }

    fn explain_apart(&mut self, selection: &Selection<'_>) {
        let apart = &selection.apart;
        if apart.is_empty() {
            return;
        }
        let mut text = format!(
            "Published partition by partition: {} partitioned table(s). A partition that is made or attached there later is not published \
             until\nsetup is run again; until then neither it nor the table as a whole has a count.",
            apart.len()
        );
        for (table, reason) in apart {
            text += &format!("\n  {} {reason}.", table.sql_name());
            if *reason == Apart::NoKey {
                text += &format!(
                    " What would help, before setup is run again:\n      ALTER TABLE {} ADD PRIMARY KEY (...);",
                    table.sql_name()
                );
            }
        }
        self.script.remark(text);
    }

    fn schema(&mut self, selection: &Selection<'_>, server: &Server, attribution: &Attribution<'_>) {
        if selection.full.is_empty() && !attribution.puts_code() && !server.lacks_ddl_messages() {
            return;
        }
        if let Some(owner) = &server.schema_of_another {
            self.obstacle = Some(SetupError::SchemaOfAnother { owner: owner.clone() });
        } else if !server.has_schema {
            self.makes_schema = true;
            self.script.sql(include_str!("../../../sql/setup/schema.sql"), &[]);
        }
    }

    fn identities(&mut self, selection: &Selection<'_>, server: &Server) {
        if !selection.full.is_empty() {
            let names: Vec<_> = selection.full.iter().map(|table| escape_literal(&table.sql_name())).collect();
            let alter: Vec<_> =
                selection.full.iter().map(|table| format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.sql_name())).collect();
            let (names, alter) = (names.join(",\n  "), alter.join("\n"));
            self.script.sql(include_str!("../../../sql/setup/identity.sql"), &[("names", &names), ("alter", &alter)]);
        }
        if !server.identities_shown.unwrap_or(selection.full.is_empty()) {
            self.script.sql(include_str!("../../../sql/setup/identity_shown.sql"), &[]);
        }
    }

    fn publication(&mut self, selection: &Selection<'_>, options: &SetupOptions, server: &Server, existing: Option<&Existing>) {
        let publication = escape_identifier(&options.publication);
        let needs_generated = server.version >= 180_000 && selection.needs_generated_columns();
        let generated = if needs_generated { ",\n      publish_generated_columns = stored" } else { "" };
        let Some(existing) = existing else {
            self.may_publish(options, server);
            let template = if options.all_tables {
                include_str!("../../../sql/setup/publication_all.sql")
            } else {
                include_str!("../../../sql/setup/publication.sql")
            };
            let tables =
                if selection.named.is_empty() { String::new() } else { format!(" FOR TABLE\n  {}", only(&selection.named)) };
            return self.script.sql(template, &[("publication", &publication), ("tables", &tables), ("generated", generated)]);
        };
        // What someone else made for all tables has what setup would name.
        if options.all_tables && !existing.all_tables || existing.ours && existing.all_tables != options.all_tables {
            let (publication, &Existing { all_tables, ours, .. }) = (options.publication.clone(), existing);
            self.obstacle = Some(SetupError::OtherForm { publication, all_tables, ours });
            return;
        }
        if !existing.ours {
            let name = &options.publication;
            return self
                .script
                .remark(format!("Publication {name:?} is there already and was not made by setup, so it is left as it is."));
        }
        if !options.all_tables {
            let added: Vec<_> = selection.named.iter().copied().filter(|table| !existing.tables.contains(&table.oid)).collect();
            let named: BTreeSet<u32> = selection.named.iter().map(|table| table.oid).collect();
            let dropped: Vec<_> = selection
                .all
                .iter()
                .filter(|table| existing.tables.contains(&table.oid) && !named.contains(&table.oid))
                .collect();
            for (tables, template) in [
                (added, include_str!("../../../sql/setup/publication_add.sql")),
                (dropped, include_str!("../../../sql/setup/publication_drop.sql")),
            ] {
                if !tables.is_empty() {
                    self.script.sql(template, &[("publication", &publication), ("tables", &only(&tables))]);
                }
            }
        }
        if !existing.whole || (needs_generated && !existing.generated) {
            let template = include_str!("../../../sql/setup/publication_options.sql");
            self.script.sql(template, &[("publication", &publication), ("generated", generated)]);
        }
    }

    fn may_publish(&mut self, options: &SetupOptions, server: &Server) {
        let Server { me, database, .. } = server;
        let remedy = if options.all_tables && !server.superuser {
            "A publication for all tables takes a superuser".to_owned()
        } else if !server.may_create {
            format!("It takes: GRANT CREATE ON DATABASE {} TO {};", escape_identifier(database), escape_identifier(me))
        } else {
            return;
        };
        self.script.remark(format!("Role {me:?} may not make a publication here. {remedy}"));
        self.obstacle = Some(SetupError::NotAllowed { role: me.clone(), remedy });
    }

    fn role(&mut self, selection: &Selection<'_>, options: &SetupOptions, server: &Server, role: Option<&Role>) {
        let name = &options.role;
        let quoted = escape_identifier(name);
        match role {
            Some(Role { superuser: true, .. }) => {
                return self
                    .script
                    .remark(format!("Role {name:?} is a superuser: it lacks nothing, and has more than pgvigil needs."));
            }
            Some(Role { ours: false, may_replicate, .. }) => {
                let mut lacks = self.grants(selection, options, server, role);
                if !may_replicate {
                    lacks.sql("ALTER ROLE {role} REPLICATION;", &[("role", &quoted)]);
                }
                if !lacks.is_empty() {
                    self.script.remark(format!(
                        "Role {name:?} was not made by setup, so it is left as it is. To watch with it, it needs:\n{}",
                        lacks.statements()
                    ));
                }
                return;
            }
            Some(Role { ours: true, .. }) => {}
            None if server.may_make_role() => self.script.sql(include_str!("../../../sql/setup/role.sql"), &[("role", &quoted)]),
            None => {
                return self.script.remark(format!(
                    "Role {name:?} is not made: that takes a superuser (from 16 on, a role with CREATEROLE and REPLICATION). Without it, \
                     pgvigil has to connect as a role that has REPLICATION, and may read the tables."
                ));
            }
        }
        let grants = self.grants(selection, options, server, role);
        self.script.append(grants);
    }

    /// What the role lacks to read what is watched.
    fn grants(&self, selection: &Selection<'_>, options: &SetupOptions, server: &Server, role: Option<&Role>) -> Script {
        let mut grants = Script::default();
        let role_name = escape_identifier(&options.role);
        if server.lacks_connect {
            let database = escape_identifier(&server.database);
            grants.sql(include_str!("../../../sql/setup/connect.sql"), &[("database", &database), ("role", &role_name)]);
        }
        if options.all_tables {
            if !role.is_some_and(|role| role.reads_all) {
                grants.sql(include_str!("../../../sql/setup/read_all.sql"), &[("role", &role_name)]);
            }
            if self.makes_schema {
                grants.sql(include_str!("../../../sql/setup/known.sql"), &[("role", &role_name)]);
            }
            return grants;
        }
        let schemas: BTreeSet<_> = selection.read.iter().filter(|table| table.lacks_usage).map(|table| &table.schema).collect();
        if !schemas.is_empty() {
            let schemas = schemas.into_iter().map(|schema| escape_identifier(schema)).collect::<Vec<_>>().join(",\n  ");
            grants.sql(include_str!("../../../sql/setup/usage.sql"), &[("schemas", &schemas), ("role", &role_name)]);
        }
        let tables: Vec<_> = selection.read.iter().filter(|table| table.lacks_select).map(|table| table.sql_name()).collect();
        if !tables.is_empty() {
            let tables = tables.join(",\n  ");
            grants.sql(include_str!("../../../sql/setup/select.sql"), &[("tables", &tables), ("role", &role_name)]);
        }
        grants
    }

    fn attribution(&mut self, server: &Server, attribution: &Attribution<'_>) {
        self.script.append(attribution.script(server.superuser));
    }

    fn ddl_messages(&mut self, server: &Server) {
        if server.lacks_ddl_messages() {
            self.script.sql(DDL_MESSAGES, &[]);
        } else if !server.tells_ddl {
            self.script.remark(
                "DDL messages are not made: event triggers take a superuser. Without them pgvigil learns of altered tables by looking at \
                 the system catalogs once a second, and the statements that altered them are not shown.",
            );
        }
    }

    fn conclude(&mut self, options: &SetupOptions, server: &Server, role: Option<&Role>) {
        let SetupOptions { role: name, publication, .. } = options;
        self.next.remark(if role.map_or_else(|| server.may_make_role(), |role| role.ours) {
            format!(
                "Next: give the role a password, if it has none: ALTER ROLE {} PASSWORD '...';\n\
                 Then, connecting as it: pgvigil serve --publication {publication}",
                escape_identifier(name)
            )
        } else {
            format!("Next: pgvigil serve --publication {publication}, as a role that has REPLICATION and may read the tables.")
        });
        if self.obstacle.is_some() {
            // What stands in the way is said in place of how to go on.
        } else if self.script.is_empty() {
            self.script.remark("Nothing is missing.");
        } else if !options.apply {
            self.script.remark("Nothing was run. To run it, all or nothing: pgvigil setup --apply, with the same options.");
        }
    }
}

/// Tables as a publication names them: ONLY, or tables that inherit from them would come along.
fn only(tables: &[&Candidate]) -> String {
    tables.iter().map(|table| format!("ONLY {}", table.sql_name())).collect::<Vec<_>>().join(",\n  ")
}
