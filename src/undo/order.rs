//! In which order it is done, so that no constraint stands in the way at any time.
//!
//! Three rules, each an edge of a graph:
//!
//! - a referenced row is there before a row that references it;
//! - nothing references a row any more when it goes;
//! - a value that must be unique is free before it is taken.
//!
//! First the graph of whole groups, by what their tables' constraints say; it mostly has no circle, and then each group is one statement.
//! Where it has one, the graph of the rows in it, by their values. Rows that are still in a circle go into *one statement* together: foreign
//! keys are judged at its end, also those that are not deferrable. Only values that must be unique at every moment cannot go in a circle.
//! Such a statement is done whole or not at all, so rows that others changed since, as is known, are not among its rows.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::FxHashMap;

use super::plan::{Group, Kind};
use super::rows::Effect;
use super::schema::{Action, ForeignKey, Schema, Table};
use super::told::{Row, value_of};

/// What is done next: one group, or several.
pub(super) struct Step<'p, 'a> {
    pub(super) groups: Vec<Group<'p, 'a>>,
    /// By one statement, since its rows depend on each other.
    pub(super) together: bool,
}

impl<'p, 'a> Step<'p, 'a> {
    fn of(group: Group<'p, 'a>) -> Self {
        // Values that are judged at the end of a statement may pass from row to row until then.
        let is_late = |table: &Table| {
            table.has_other_deferrable() || table.keys.iter().any(|key| key.is_deferrable && group.touches(&key.columns))
        };
        let together = group.kind == Kind::Update && is_late(group.table);
        Step { groups: vec![group], together }
    }
}

/// The steps, and the rows for which there is no order.
pub(super) fn steps<'p, 'a>(groups: &[Group<'p, 'a>], schema: &Schema) -> (Vec<Step<'p, 'a>>, Vec<Group<'p, 'a>>) {
    let (mut steps, mut impossible) = (Vec::new(), Vec::new());
    let mut edges = Vec::new();
    for (before, a) in groups.iter().enumerate() {
        for (after, b) in groups.iter().enumerate() {
            if precedes(a, b, before == after, schema) {
                edges.push((before, after));
            }
        }
    }
    for Component { members, circular, .. } in components(groups.len(), &edges) {
        let members: Vec<&Group<'p, 'a>> = members.iter().filter_map(|member| groups.get(*member)).collect();
        if circular {
            by_row(&members, schema, &mut steps, &mut impossible);
        } else {
            steps.extend(members.into_iter().cloned().map(Step::of));
        }
    }
    (steps, impossible)
}

/// Whether something in `a` may have to be done before something in `b`.
fn precedes(a: &Group<'_, '_>, b: &Group<'_, '_>, same: bool, schema: &Schema) -> bool {
    let by_reference = schema.foreign_keys.iter().any(|key| {
        let link = Link(key);
        // Rows that come and reference each other come in turn: whether one found its place is known only when it is done.
        let provides = !(same && a.kind == Kind::Update) && link.provides(a) && link.needs(b);
        provides || link.releases(a) && link.removes(b)
    });
    let unique = || {
        a.place == b.place
            && a.kind != Kind::Insert
            && b.kind != Kind::Delete
            && !(same && a.kind == Kind::Delete)
            && (!a.table.other_uniques.is_empty() && !same
                || a.table
                    .keys
                    .iter()
                    .any(|key| a.touches(&key.columns) && b.touches(&key.columns) && !(same && key.is_deferrable)))
    };
    by_reference || unique()
}

/// A foreign key, and what a group has to do with it.
pub(super) struct Link<'s>(pub(super) &'s ForeignKey);

impl Link<'_> {
    /// Rows come that can be referenced.
    pub(super) fn provides(&self, group: &Group<'_, '_>) -> bool {
        group.table.oid == self.0.references && group.kind != Kind::Delete && group.touches(&self.0.referenced)
    }

    /// Rows go that could be. Where references follow a key that changes, nothing has to be done before.
    fn removes(&self, group: &Group<'_, '_>) -> bool {
        let follows = group.kind == Kind::Update && self.0.on_update == Action::Cascade;
        group.table.oid == self.0.references && group.kind != Kind::Insert && !follows && group.touches(&self.0.referenced)
    }

    /// References come.
    pub(super) fn needs(&self, group: &Group<'_, '_>) -> bool {
        group.table.oid == self.0.table && group.kind != Kind::Delete && group.touches(&self.0.columns)
    }

    /// References go.
    fn releases(&self, group: &Group<'_, '_>) -> bool {
        group.table.oid == self.0.table && group.kind != Kind::Insert && group.touches(&self.0.columns)
    }
}

/// The same for the single rows of groups that are in a circle.
fn by_row<'p, 'a>(
    groups: &[&Group<'p, 'a>],
    schema: &Schema,
    steps: &mut Vec<Step<'p, 'a>>,
    impossible: &mut Vec<Group<'p, 'a>>,
) {
    let nodes: Vec<Node<'_, 'p, 'a>> =
        groups.iter().enumerate().flat_map(|(of, group)| group.rows.iter().map(move |row| Node { of, group, row })).collect();
    let mut edges = Edges { nodes: &nodes, found: Vec::new(), unique: Vec::new() };
    for key in &schema.foreign_keys {
        edges.of_reference(&Link(key));
    }
    for group in groups.iter().filter(|group| group.kind != Kind::Delete) {
        for key in &group.table.keys {
            edges.of_unique(group.place, &key.columns, key.is_deferrable);
        }
    }
    let Edges { found, unique, .. } = edges;

    let all: Vec<usize> = (0..nodes.len()).collect();
    Circles { nodes: &nodes, found: &found, unique: &unique, steps, impossible }.order(&all);
}

/// Puts rows in order, also those in circles.
struct Circles<'n, 'p, 'a> {
    nodes: &'n [Node<'n, 'p, 'a>],
    found: &'n [(usize, usize)],
    /// Those of them between updates that must not meet at any moment.
    unique: &'n [(usize, usize)],
    steps: &'n mut Vec<Step<'p, 'a>>,
    impossible: &'n mut Vec<Group<'p, 'a>>,
}

impl<'p, 'a> Circles<'_, 'p, 'a> {
    /// Appends the steps of some of the nodes.
    fn order(&mut self, which: &[usize]) {
        let places: FxHashMap<usize, usize> = which.iter().enumerate().map(|(place, node)| (*node, place)).collect();
        let within = |edge: &(usize, usize)| Some((*places.get(&edge.0)?, *places.get(&edge.1)?));
        let edges: Vec<(usize, usize)> = self.found.iter().filter_map(within).collect();
        // Rows of one group that have nothing to wait for but the same go together.
        let mut level = None;
        let mut together: Vec<usize> = Vec::new();
        for component in components(which.len(), &edges) {
            let members: Vec<usize> = component.members.iter().filter_map(|member| which.get(*member).copied()).collect();
            if level != Some(component.level) {
                self.each(&std::mem::take(&mut together));
                level = Some(component.level);
            }
            if component.circular { self.circle(&members) } else { together.extend(members) }
        }
        self.each(&together);
    }

    /// Nodes of which none waits for another one.
    fn each(&mut self, which: &[usize]) {
        self.steps.extend(collect(self.nodes, which).into_iter().map(Step::of));
    }

    /// Nodes that wait for each other.
    fn circle(&mut self, which: &[usize]) {
        let is_expected = |node: &usize| self.nodes.get(*node).is_some_and(|node| node.group.is_expected);
        let (expected, others): (Vec<usize>, Vec<usize>) = which.iter().partition(|node| is_expected(node));
        let groups = collect(self.nodes, which);
        if !expected.is_empty() && !others.is_empty() {
            self.order(&others);
            self.order(&expected);
        } else if self.unique.iter().any(|(before, after)| which.contains(before) && which.contains(after)) {
            self.impossible.extend(groups);
        } else {
            self.steps.push(Step { groups, together: true });
        }
    }
}

/// A row of a group.
struct Node<'g, 'p, 'a> {
    of: usize,
    group: &'g Group<'p, 'a>,
    row: &'p Effect<'a>,
}

/// The groups of some of the nodes, in the order of their kinds.
fn collect<'p, 'a>(nodes: &[Node<'_, 'p, 'a>], which: &[usize]) -> Vec<Group<'p, 'a>> {
    let mut groups: Vec<(usize, Group<'p, 'a>)> = Vec::new();
    let mut places = FxHashMap::default();
    for node in which.iter().filter_map(|node| nodes.get(*node)) {
        let place = *places.entry(node.of).or_insert_with(|| {
            groups.push((node.of, node.group.with_rows(Vec::new())));
            groups.len() - 1
        });
        if let Some((_, group)) = groups.get_mut(place) {
            group.rows.push(node.row);
        }
    }
    groups.sort_by_key(|(of, group)| (group.kind, *of));
    groups.into_iter().map(|(_, group)| group).collect()
}

struct Edges<'n, 'g, 'p, 'a> {
    nodes: &'n [Node<'g, 'p, 'a>],
    found: Vec<(usize, usize)>,
    /// Those of them between updates that must not meet at any moment.
    unique: Vec<(usize, usize)>,
}

impl<'a> Edges<'_, '_, '_, 'a> {
    /// The nodes of which this holds, by the values of these columns in the one row or the other.
    fn by_value(
        &self,
        which: impl Fn(&Group<'_, '_>) -> bool,
        row: for<'e> fn(&'e Effect<'a>) -> Option<&'e Row<'a>>,
        columns: &[usize],
    ) -> Vec<(String, usize)> {
        let chosen = self.nodes.iter().enumerate().filter(|(_, node)| which(node.group));
        chosen.filter_map(|(place, node)| Some((value_of(row(node.row)?, columns, node.group.table)?, place))).collect()
    }

    fn of_reference(&mut self, link: &Link<'_>) {
        let ForeignKey { columns, referenced, is_temporal, .. } = link.0;
        // Which period lies within which is not told by their texts.
        let told = columns.len().saturating_sub(usize::from(*is_temporal));
        let (columns, referenced) = (columns.get(..told).unwrap_or_default(), referenced.get(..told).unwrap_or_default());
        let by_text = |nodes: Vec<(String, usize)>| {
            let mut by_text = FxHashMap::<String, Vec<usize>>::default();
            nodes.into_iter().for_each(|(text, node)| by_text.entry(text).or_default().push(node));
            by_text
        };
        let provided = by_text(self.by_value(|g| link.provides(g), Effect::before, referenced));
        let removed = by_text(self.by_value(|g| link.removes(g), Effect::after, referenced));
        for (value, node) in self.by_value(|g| link.needs(g), Effect::before, columns) {
            self.found.extend(provided.get(&value).into_iter().flatten().map(|provider| (*provider, node)));
        }
        for (value, node) in self.by_value(|g| link.releases(g), Effect::after, columns) {
            self.found.extend(removed.get(&value).into_iter().flatten().map(|remover| (node, *remover)));
        }
        self.found.retain(|(before, after)| before != after);
    }

    fn of_unique(&mut self, place: usize, columns: &[usize], deferrable: bool) {
        let of = |kind: Kind| move |group: &Group<'_, '_>| group.place == place && group.kind != kind && group.touches(columns);
        let freed: FxHashMap<_, _> = self.by_value(of(Kind::Insert), Effect::after, columns).into_iter().collect();
        for (value, taker) in self.by_value(of(Kind::Delete), Effect::before, columns) {
            let Some(freer) = freed.get(&value).copied().filter(|freer| *freer != taker) else { continue };
            self.found.push((freer, taker));
            let update = |node: usize| self.nodes.get(node).is_some_and(|node| node.group.kind == Kind::Update);
            if !deferrable && update(freer) && update(taker) {
                self.unique.push((freer, taker));
            }
        }
    }
}

/// Nodes that depend on each other, or one that does not.
struct Component {
    /// All that it waits for is on lower ones.
    level: usize,
    members: Vec<usize>,
    /// Its members wait for each other, or the one for itself.
    circular: bool,
}

/// In an order in which no component waits for a later one.
fn components(count: usize, edges: &[(usize, usize)]) -> Vec<Component> {
    let mut graph = DiGraph::<(), ()>::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    for (before, after) in edges {
        graph.add_edge(NodeIndex::new(*before), NodeIndex::new(*after), ());
    }
    let mut levels = vec![0usize; count];
    let mut found = Vec::new();
    // They come in the order of those that nothing waits for first.
    for nodes in kosaraju_scc(&graph).into_iter().rev() {
        let level = nodes.iter().filter_map(|node| levels.get(node.index())).copied().max().unwrap_or_default();
        let mut circular = nodes.len() > 1;
        for node in &nodes {
            for after in graph.neighbors(*node) {
                circular |= after == *node;
                if let Some(later) = levels.get_mut(after.index()) {
                    *later = (*later).max(level + 1);
                }
            }
        }
        let mut members: Vec<usize> = nodes.into_iter().map(NodeIndex::index).collect();
        members.sort_unstable();
        found.push(Component { level, members, circular });
    }
    found.sort_by_key(|component| (component.level, component.members.first().copied()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_come_in_order() {
        let found = components(6, &[(2, 0), (0, 1), (1, 0), (4, 4), (1, 5)]);
        let shown: Vec<_> = found.iter().map(|component| (component.members.clone(), component.circular)).collect();
        assert_eq!(shown, [(vec![2], false), (vec![3], false), (vec![4], true), (vec![0, 1], true), (vec![5], false)]);
    }
}
