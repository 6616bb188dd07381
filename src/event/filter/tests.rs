//! Filters against a naive one, over parsed JSON, and what their documentation says.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::event::block::{Block, BlockBuilder, NewEvent, TableName, Touched};
use crate::lsn::{Lsn, Oid, Place, Xid};
use crate::pgoutput::Timestamp;

/// The names of who did an event; none did the first.
const ACTORS: [&[&str]; 4] = [&[], &["ann", "psql"], &["a, \"b\"", "psql"], &["", "bob"]];

/// An event, and which of the above did it.
type Done = (Wanted, usize);

const TABLES: [(&str, &str); 3] = [("public", "User"), ("public", "a.b"), ("audit", "User")];

/// An event as a test wants it.
#[derive(Clone, Debug)]
enum Wanted {
    Change { table: usize, operation: Operation, old: Json, new: Json },
    Commit { touched: Vec<(usize, Vec<Operation>)> },
    Ddl { table: Option<usize> },
    Message,
    Gap,
}

fn block(events: &[Done]) -> Block {
    let mut builder = BlockBuilder::new("k3".parse().unwrap());
    let tables = TABLES.map(|(schema, name)| Arc::new(TableName { oid: Oid(1), schema: schema.into(), name: name.into() }));
    let actors = ACTORS.map(|names| Arc::new(Names::new(names.iter().map(|name| (*name).into()))));
    for (ordinal, (event, actor)) in (1..).zip(events) {
        let place = Place { commit_lsn: Lsn(16), ordinal };
        let actor = actors.get(*actor).filter(|_| *actor > 0).and_then(|names| builder.actor(names));
        let plain =
            NewEvent { kind: Kind::Gap, place, table: None, operation: None, actor, xid: Some(Xid(7)), time: Timestamp(0) };
        match event {
            Wanted::Change { table, operation, old, new } => {
                let table = builder.table(&tables[*table]);
                let event = NewEvent { kind: Kind::Change, table: Some(table), operation: Some(*operation), ..plain };
                let change = json!({"type": "change", "key": {"id": 7}, "old": old, "new": new, "count": 21});
                builder.push(event, |out| serde_json::to_writer(out, &change).unwrap());
            }
            Wanted::Commit { touched } => {
                let touched: Vec<_> = touched
                    .iter()
                    .map(|(table, done)| Touched {
                        table: builder.table(&tables[*table]),
                        operations: done.iter().copied().collect(),
                        count: None,
                    })
                    .collect();
                builder.push_commit(NewEvent { kind: Kind::Commit, ..plain }, touched, |out| out.extend_from_slice(b"{}"));
            }
            Wanted::Ddl { table } => {
                let table = table.map(|table| builder.table(&tables[table]));
                builder.push(NewEvent { kind: Kind::Ddl, table, ..plain }, |out| out.extend_from_slice(b"{}"));
            }
            Wanted::Message => builder.push(NewEvent { kind: Kind::Message, ..plain }, |out| out.extend_from_slice(b"{}")),
            Wanted::Gap => builder.push(plain, |out| out.extend_from_slice(b"{}")),
        }
    }
    builder.finish()
}

/// Of events that nobody is known to have done.
fn passing(filter: &Filter, events: &[Wanted]) -> Vec<bool> {
    passing_done(filter, &events.iter().map(|event| (event.clone(), 0)).collect::<Vec<_>>())
}

fn passing_done(filter: &Filter, events: &[Done]) -> Vec<bool> {
    let matches = filter.matches(&block(events));
    (0..events.len()).map(|index| matches.contains(index)).collect()
}

fn parse(parameters: &[(&str, &str)]) -> Filter {
    Filter::parse(parameters.iter().copied()).unwrap()
}

fn change(operation: Operation, old: Json, new: Json) -> Wanted {
    Wanted::Change { table: 0, operation, old, new }
}

/// What the test asks for, kept as it is instead of being parsed.
#[derive(Clone, Debug)]
struct Asked {
    kinds: Option<Vec<StreamKind>>,
    tables: Option<Vec<usize>>,
    operations: Vec<Operation>,
    conditions: Vec<(&'static str, bool, &'static str, &'static str)>,
    actors: Option<Vec<usize>>,
}

fn operation_name(operation: Operation) -> &'static str {
    ["insert", "update", "delete", "truncate"][operation as usize]
}

impl Asked {
    fn parsed(&self) -> Filter {
        let mut parameters = Vec::new();
        for kind in self.kinds.iter().flatten() {
            parameters.push(("kinds", kind.as_str().to_owned()));
        }
        for (schema, name) in self.tables.iter().flatten().map(|table| TABLES[*table]) {
            parameters.push(("table", format!("{schema}.\"{name}\"")));
        }
        let operations: Vec<_> = self.operations.iter().map(|operation| operation_name(*operation)).collect();
        if !operations.is_empty() {
            parameters.push(("op", operations.join(",")));
        }
        for (column, negated, operator, value) in &self.conditions {
            let not = if *negated { "not." } else { "" };
            let column = column.replace('"', "\"\"");
            parameters.push(("where", format!("\"{column}\".{not}{operator}.{value}")));
        }
        for name in self.actors.iter().flatten().flat_map(|actor| ACTORS[*actor]) {
            parameters.push(("actor", format!("\"{}\"", name.replace('"', "\"\""))));
        }
        Filter::parse(parameters.iter().map(|(name, value)| (*name, value.as_str()))).unwrap()
    }

    fn passes(&self, (event, actor): &Done) -> bool {
        let asked: Option<Vec<&str>> =
            self.actors.as_ref().map(|actors| actors.iter().flat_map(|actor| ACTORS[*actor]).copied().collect());
        let by = |asked: Vec<&str>| ACTORS[*actor].iter().any(|name| !name.is_empty() && asked.contains(name));
        asked.is_none_or(|asked| asked.is_empty() || by(asked) || matches!(event, Wanted::Gap)) && self.passes_by_anyone(event)
    }

    fn passes_by_anyone(&self, event: &Wanted) -> bool {
        let about_rows = !self.operations.is_empty() || !self.conditions.is_empty();
        let usual = |kind| kind != StreamKind::Message && !(kind == StreamKind::Ddl && about_rows);
        let wants = |kind| self.kinds.as_ref().map_or(usual(kind), |kinds| kinds.contains(&kind));
        let table_passes = |table: usize| self.tables.as_ref().is_none_or(|tables| tables.contains(&table));
        let operation_passes = |operation| self.operations.is_empty() || self.operations.contains(operation);
        match event {
            Wanted::Gap => true,
            Wanted::Message => wants(StreamKind::Message),
            Wanted::Ddl { table } => wants(StreamKind::Ddl) && table.map_or(self.tables.is_none(), table_passes),
            Wanted::Commit { touched } => {
                let everything = self.tables.is_none() && self.operations.is_empty();
                let touches = touched.iter().any(|(table, done)| table_passes(*table) && done.iter().any(operation_passes));
                wants(StreamKind::Commit) && (everything || touches)
            }
            Wanted::Change { table, operation, old, new } => {
                let old = if old.is_null() { json!({"id": 7}) } else { old.clone() };
                let rows = [new, &old];
                let row_passes = rows.iter().filter_map(|row| row.as_object()).any(|row| self.row_passes(row));
                let anyway = self.conditions.is_empty() || *operation == Operation::Truncate;
                wants(StreamKind::Change) && table_passes(*table) && operation_passes(operation) && (anyway || row_passes)
            }
        }
    }

    fn row_passes(&self, row: &Map<String, Json>) -> bool {
        self.conditions.iter().all(|(column, negated, operator, value)| {
            let Some(found) = row.get(*column) else { return false };
            truth(found, operator, value).is_some_and(|held| held != *negated)
        })
    }
}

/// The documented comparison, for the few values of this test.
fn truth(found: &Json, operator: &str, value: &str) -> Option<bool> {
    if operator == "is" {
        return Some(found.is_null() == (value == "null"));
    }
    if operator == "in" {
        let all: Option<Vec<_>> = value.trim_matches(['(', ')']).split(',').map(|value| truth(found, "eq", value)).collect();
        let any = value.trim_matches(['(', ')']).split(',').any(|value| truth(found, "eq", value) == Some(true));
        return if any { Some(true) } else { all.map(|_| false) };
    }
    let number = |text: &str| text.parse::<f64>().ok();
    let printed = |text: &str| number(text).filter(|n| n.to_string() == text);
    let ordering = match found {
        Json::Number(found) => found.as_f64()?.partial_cmp(&number(value)?)?,
        Json::Bool(found) => found.cmp(&value.parse().ok()?),
        Json::String(found) => match (printed(found), number(value)) {
            (Some(found), Some(value)) => found.partial_cmp(&value)?,
            _ => found.as_str().cmp(value),
        },
        _ => return None,
    };
    Some(match operator {
        "eq" => ordering.is_eq(),
        "neq" => ordering.is_ne(),
        "lt" => ordering.is_lt(),
        "gte" => ordering.is_ge(),
        _ => panic!("{operator}"),
    })
}

fn value() -> impl Strategy<Value = Json> {
    let scalar = [json!(null), json!(true), json!(1), json!(-1.5), json!("1"), json!("01"), json!("a"), json!("b\"\\é")];
    prop_oneof![8 => prop::sample::select(scalar.to_vec()), 1 => Just(json!([1])), 1 => Just(json!({"x": "y"}))]
}

fn row() -> impl Strategy<Value = Json> {
    let column = prop::sample::select(vec!["x", "y\"z", "id"]);
    let row = prop::collection::hash_map(column, value(), 0..3);
    prop_oneof![1 => Just(json!(null)), 4 => row.prop_map(|row| json!(row))]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(Operations::EACH.to_vec())
}

fn event() -> impl Strategy<Value = Wanted> {
    let table = 0..TABLES.len();
    let change = (table.clone(), operation(), row(), row()).prop_map(|(table, operation, old, new)| Wanted::Change {
        table,
        operation,
        old,
        new,
    });
    let touched = (table.clone(), prop::collection::vec(operation(), 1..3));
    prop_oneof![
        6 => change,
        2 => prop::collection::vec(touched, 0..3).prop_map(|touched| Wanted::Commit { touched }),
        1 => prop::option::of(table).prop_map(|table| Wanted::Ddl { table }),
        1 => Just(Wanted::Message),
        1 => Just(Wanted::Gap),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let column = prop::sample::select(vec!["x", "y\"z", "id", "none"]);
    let compared =
        (prop::sample::select(vec!["eq", "neq", "lt", "gte"]), prop::sample::select(vec!["1", "-1.50", "a", "true", "01"]));
    let listed = (Just("in"), prop::sample::select(vec!["(1,a)", "(true)", "(01,7)"]));
    let tested = (Just("is"), prop::sample::select(vec!["null", "not_null"]));
    let test = prop_oneof![3 => compared, 1 => listed, 1 => tested];
    let condition =
        (column, any::<bool>(), test).prop_map(|(column, negated, (operator, value))| (column, negated, operator, value));
    (
        prop::option::of(prop::collection::vec(prop::sample::select(StreamKind::EACH.to_vec()), 1..4)),
        prop::option::of(prop::collection::vec(0..TABLES.len(), 1..3)),
        prop::collection::vec(operation(), 0..3),
        prop::collection::vec(condition, 0..3),
        prop::option::of(prop::collection::vec(1..ACTORS.len(), 1..3)),
    )
        .prop_map(|(kinds, tables, operations, conditions, actors)| Asked { kinds, tables, operations, conditions, actors })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_filter_passes_what_the_naive_one_passes(asked in asked(), events in prop::collection::vec((event(), 0..ACTORS.len()), 0..80)) {
        let expected: Vec<_> = events.iter().map(|event| asked.passes(event)).collect();
        prop_assert_eq!(passing_done(&asked.parsed(), &events), expected);
    }

    #[test]
    fn asking_for_the_same_in_another_order_is_the_same_filter(asked in asked()) {
        let mut other = asked.clone();
        other.conditions.reverse();
        other.tables.iter_mut().for_each(|tables| tables.reverse());
        other.operations.reverse();
        other.actors.iter_mut().for_each(|actors| actors.reverse());
        prop_assert_eq!(asked.parsed(), other.parsed());
    }

    #[test]
    fn any_parameters_are_parsed_or_refused(pairs in prop::collection::vec((prop::sample::select(PARAMETERS.to_vec()), ".{0,40}"), 0..4)) {
        let _ = Filter::parse(pairs.iter().map(|(name, value)| (*name, value.as_str())));
    }
}

#[test]
fn without_parameters_all_but_messages_pass() {
    let row = json!({"id": 1});
    let events = [change(Operation::Insert, Json::Null, row), Wanted::Ddl { table: None }, Wanted::Message, Wanted::Gap];
    assert_eq!(passing(&Filter::default(), &events), [true, true, false, true]);
    assert_eq!(passing(&Filter::everything(), &events), [true; 4]);
    assert_eq!(Filter::default(), parse(&[("from", "live"), ("limit", "5")]), "others' parameters are left alone");
}

#[test]
fn who_asks_for_operations_or_rows_has_not_asked_for_ddl() {
    let ddl = [Wanted::Ddl { table: None }];
    let passes = |parameters: &[(&str, &str)]| passing(&parse(parameters), &ddl)[0];
    assert!(!passes(&[("op", "delete")]) && !passes(&[("where", "id.eq.7")]));
    assert!(passes(&[("op", "delete"), ("kinds", "change,ddl")]), "unless by name");
    let beside = [StreamKind::Counts, StreamKind::Status, StreamKind::Alert, StreamKind::Running];
    assert!(beside.into_iter().all(|kind| parse(&[("op", "delete")]).wants(kind)));
}

#[test]
fn an_update_passes_by_the_row_before_or_after() {
    let filter = parse(&[("where", "status.eq.open")]);
    let (open, shut) = (json!({"id": 7, "status": "open"}), json!({"id": 7, "status": "shut"}));
    let update = |old: &Json, new: &Json| change(Operation::Update, old.clone(), new.clone());
    let events = [update(&open, &shut), update(&shut, &open), update(&shut, &shut), update(&Json::Null, &open)];
    assert_eq!(passing(&filter, &events), [true, true, false, true]);
    // Not one condition by the old row and another by the new.
    let both = parse(&[("where", "status.eq.open,size.gt.5")]);
    let mixed = update(&json!({"status": "open", "size": 1}), &json!({"status": "shut", "size": 9}));
    assert_eq!(passing(&both, &[mixed]), [false]);
}

#[test]
fn a_delete_is_known_by_its_key_and_a_truncate_took_every_row() {
    let events = [change(Operation::Delete, Json::Null, Json::Null), change(Operation::Truncate, Json::Null, Json::Null)];
    assert_eq!(passing(&parse(&[("where", "id.eq.7")]), &events), [true, true]);
    assert_eq!(passing(&parse(&[("where", "id.eq.8")]), &events), [false, true]);
}

#[test]
fn refusals_name_the_parameter_and_what_is_accepted() {
    let refused = |name: &str, value: &str| Filter::parse([(name, value)]).unwrap_err().to_string();
    assert_eq!(refused("op", "drop"), "op: \"drop\" is no operation; accepted: insert, update, delete, truncate");
    assert_eq!(
        refused("kinds", "changes"),
        "kinds: \"changes\" is no kind of event; accepted: change, commit, counts, status, alert, ddl, message, running"
    );
    assert!(refused("table", "a.b.c").starts_with("table: \"a.b.c\" is no table; accepted: schema.name"));
    assert!(refused("where", "a").starts_with("where: \"a\" is no condition"));
    assert!(refused("actor", "\"ann").starts_with("actor: a quote or parenthesis is not closed"));
    assert!(refused("op", "").contains("\"\" is no operation"));
    let long = "x".repeat(MAX_BYTES + 1);
    assert!(refused("table", &long).contains("4096 bytes"));
    assert!(refused("table", &format!("a.b.{}", "x".repeat(200))).len() < 200, "what was given is cut");
    let many = vec!["a.eq.1"; MAX_CONDITIONS + 1].join(",");
    assert!(refused("where", &many).contains("16 conditions"));
    let listed = format!("a.in.({})", (0..=MAX_CONDITIONS).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    assert!(refused("where", &listed).contains("16 conditions"));
}

#[test]
fn equal_filters_are_one_for_as_long_as_someone_uses_it() {
    let filters = Filters::default();
    let first = filters.intern(parse(&[("table", "User"), ("op", "delete,insert")]));
    let second = filters.intern(parse(&[("op", "insert"), ("table", "public.User"), ("op", "delete")]));
    let other = filters.intern(parse(&[("table", "Game")]));
    assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
    assert_eq!(filters.len(), 2);
    drop((first, second, other));
    assert!(filters.is_empty());
}

#[test]
fn what_is_looked_for_is_not_shown() {
    let filter = parse(&[("where", "email.eq.ann@example.org,email.ilike.%secret%,id.in.(4711)")]);
    let shown = format!("{filter:?}");
    assert!(shown.contains("email") && !shown.contains("ann") && !shown.contains("secret") && !shown.contains("4711"), "{shown}");
}
