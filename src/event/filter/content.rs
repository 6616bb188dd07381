//! What a filter asks of the values of an event: the key of its row, and texts that stand somewhere in it.
//!
//! A key compares with the JSON as our own encoder wrote it, as text, exactly: `id=7` finds the row whose key has column `id` with the value
//! `7`, number or not. That is what the [`Traces`](crate::event::Traces) of a block remember. A text is found whatever the case of its ASCII letters,
//! in values only, never in the name of a column; and however it is escaped, since documents stand in events as somebody wrote them. Pieces
//! of it, and of what events tell, are [`grams`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use memchr::{memchr, memchr2_iter, memmem};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{Problem, shown};
use crate::event::block::{Block, Kind};
use crate::event::gram::Gram;
use crate::event::json;
use crate::event::trace::{Trace, Traces};

/// A column of a key and its value. Its `Debug` hides the value: it may be someone's data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyValue {
    column: String,
    /// As it stands in JSON, without quotes.
    value: Box<[u8]>,
}

/// A text to be found. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(Box<[u8]>);

/// Columns of a row and their values.
type Row<'a> = HashMap<String, &'a RawValue>;

impl KeyValue {
    /// Reads `column=value`.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let named = text.split_once('=').filter(|(column, _)| !column.is_empty());
        let (column, value) = named.ok_or_else(|| Problem::NotAKey { given: shown(text) })?;
        Ok(Self { column: column.to_owned(), value: escaped(value) })
    }

    /// Whether it may be among these: a number, or a text.
    pub(super) fn may_be_in(&self, traces: &Traces) -> bool {
        let mut member = Vec::new();
        json::string(&mut member, &self.column);
        member.push(b':');
        [&b""[..], b"\""].into_iter().any(|quote| traces.may_hold(Trace::key(&[&member, quote, &self.value, quote].concat())))
    }

    fn is_in(&self, row: &Row<'_>) -> bool {
        row.get(&self.column).is_some_and(|value| {
            let json = value.get().as_bytes();
            json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(json) == &*self.value
        })
    }
}

/// Whether a change is about the row with these values in its key, as that is now, or as it was.
pub(super) fn has_key(asked: &[KeyValue], change: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Keys<'a> {
        #[serde(borrow)]
        key: Option<Row<'a>>,
        #[serde(borrow)]
        old: Option<Row<'a>>,
    }
    let Ok(Keys { key: Some(key), old }) = serde_json::from_slice(change) else { return false };
    // Of the row before only those columns that are its key.
    let was = old.map(|old| old.into_iter().filter(|(column, _)| key.contains_key(column)).collect::<Row<'_>>());
    [Some(key), was].into_iter().flatten().any(|row| asked.iter().all(|asked| asked.is_in(&row)))
}

impl Text {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() { Err(Problem::NoText) } else { Ok(Self(text.as_bytes().into())) }
    }

    /// Its grams.
    pub(super) fn grams(&self, tell: impl FnMut(Gram)) {
        Gram::each(&self.0, tell);
    }

    /// Whether it stands in one of the values of an event: in the rows of a change, in what else tells of itself in words.
    pub(super) fn is_in_event(&self, kind: Kind, json: &[u8]) -> bool {
        // Most events have it nowhere, and nothing in them is escaped.
        (self.is_in(json) || memchr(b'\\', json).is_some()) && self.is_in_values(kind, json).unwrap_or_default()
    }

    fn is_in_values(&self, kind: Kind, json: &[u8]) -> Option<bool> {
        let event: HashMap<&str, &RawValue> = serde_json::from_slice(json).ok()?;
        // Members that are looked at, and how deep names of columns, or of ours, stand there: those are no values.
        let members: &[(&str, usize)] = match kind {
            Kind::Change => &[("key", 1), ("old", 1), ("new", 1), ("old_rows", 2), ("exact", 3)],
            Kind::Commit => &[("tx", 0)],
            Kind::Ddl => &[("command", 0), ("object", 0), ("sql", 0)],
            Kind::Message => &[("prefix", 0), ("content", 0)],
            Kind::Gap => return Some(true),
        };
        let found = |(member, names): &(&str, usize)| {
            let Some(value) = event.get(member) else { return false };
            if kind == Kind::Commit {
                let tx: Result<HashMap<&str, &RawValue>, _> = serde_json::from_str(value.get());
                return tx.is_ok_and(|tx| tx.get("actor").is_some_and(|actor| self.is_in_scalars(actor.get().as_bytes(), 1)));
            }
            self.is_in_scalars(value.get().as_bytes(), *names)
        };
        Some(members.iter().any(found))
    }

    /// Whether it stands in a text, number or the like of this JSON. Names of members are none, down to the depth of `names`.
    fn is_in_scalars(&self, json: &[u8], names: usize) -> bool {
        let (mut rest, mut depth) = (json, 0_usize);
        while let Some((first, behind)) = rest.split_first() {
            match first {
                b'"' => {
                    let length = text_length(behind);
                    let (text, after) = behind.split_at_checked(length).unwrap_or((behind, &[]));
                    let after = after.get(1..).unwrap_or_default();
                    let is_name = after.first() == Some(&b':') && depth <= names;
                    if !is_name && self.is_in(&unescaped(text)) {
                        return true;
                    }
                    rest = after;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => {
                    let length = rest.iter().position(|byte| b",:{}[]\" ".contains(byte)).unwrap_or(rest.len());
                    let (scalar, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    if self.is_in(scalar) {
                        return true;
                    }
                    rest = after;
                    continue;
                }
            }
            rest = behind;
        }
        false
    }

    fn is_in(&self, json: &[u8]) -> bool {
        let Some(first) = self.0.first() else { return true };
        let at = |at: usize| json.get(at..at + self.0.len()).is_some_and(|here| here.eq_ignore_ascii_case(&self.0));
        memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), json).any(at)
    }
}

/// Tells the grams of a block: those of every text that may be found in it, and others. A gap is found whatever is asked for.
pub fn grams(block: &Block, mut tell: impl FnMut(Gram)) {
    let first = First::default();
    for head in block.heads() {
        let json = first.looked_into(head.kind, block.bytes(head));
        Gram::each(json, &mut tell);
        if memchr(b'\\', json).is_some() {
            texts(json).map(unescaped).for_each(|text| Gram::each(&text, &mut tell));
        }
    }
}

/// What stands between quotes in JSON, names and values.
fn texts(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let behind = rest.get(memchr(b'"', rest)? + 1..)?;
        let (text, after) = behind.split_at_checked(text_length(behind))?;
        rest = after.get(1..).unwrap_or_default();
        Some(text)
    })
}

/// What is meant by what stands between quotes. What means nothing stays as it is.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let read = serde_json::from_slice::<String>(&[b"\"", text, b"\""].concat());
    read.map_or(Cow::Borrowed(text), |read| Cow::Owned(read.into_bytes()))
}

/// Finds the first member of an event with values of somebody's.
struct First([(Kind, memmem::Finder<'static>); 4]);

impl Default for First {
    fn default() -> Self {
        let first = [
            (Kind::Change, "\"key\":"),
            (Kind::Commit, "\"actor\":"),
            (Kind::Ddl, "\"command\":"),
            (Kind::Message, "\"prefix\":"),
        ];
        Self(first.map(|(kind, member)| (kind, memmem::Finder::new(member))))
    }
}

impl First {
    /// The part of an event that texts are looked for in: from that member to the end. Of a gap all is.
    fn looked_into<'a>(&self, kind: Kind, json: &'a [u8]) -> &'a [u8] {
        let finder = self.0.iter().find(|(of, _)| *of == kind).map(|(_, finder)| finder);
        let from = finder.and_then(|finder| finder.find(json)).unwrap_or_default();
        json.get(from..).unwrap_or_default()
    }
}

/// Bytes up to the quote that closes a text.
fn text_length(json: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    json.len()
}

/// A text as it stands within quotes in JSON.
fn escaped(text: &str) -> Box<[u8]> {
    let mut written = Vec::new();
    json::string(&mut written, text);
    written.get(1..written.len().saturating_sub(1)).unwrap_or_default().into()
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} = {} bytes)", self.column, self.value.len())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::fixture;

    fn keys(texts: &[&str]) -> Vec<KeyValue> {
        texts.iter().map(|text| KeyValue::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_row_is_found_by_its_key_as_it_is_and_as_it_was() {
        let change =
            br#"{"type":"change","key":{"id":7,"of":"a\"b"},"old":{"id":6,"of":"a\"b","n":3},"new":{"id":7,"of":"a\"b","n":3}}"#;
        for (asked, expected) in [
            (&["id=7"][..], true),
            (&["id=6"], true),
            (&["id=7", "of=a\"b"], true),
            (&["id=6", "of=a\"b"], true),
            (&["id=07"], false),
            (&["id=5"], false),
            (&["of=a"], false),
            (&["n=3"], false),
        ] {
            assert_eq!(has_key(&keys(asked), change), expected, "{asked:?}");
        }
        assert!(!has_key(&keys(&["id=7"]), br#"{"key":null,"old":null,"new":{"id":7}}"#));
        assert!(KeyValue::parse("7").is_err() && KeyValue::parse("=7").is_err());
    }

    #[test]
    fn a_text_is_found_in_values_and_nowhere_else() {
        let change = br#"{"type":"change","op":"delete","table":"Person","key":{"id":4711},"old":{"id":4711,"email":"Ann@Example.org","doc":{"colour":["red",null,true]},"note":"a\"b\\"},"new":null}"#;
        for (text, expected) in [
            ("ann@example", true),
            ("ANN@", true),
            ("471", true),
            ("colour", true),
            ("red", true),
            ("a\"b\\", true),
            ("email", false),
            ("delete", false),
            ("Person", false),
            ("old", false),
            ("}", false),
        ] {
            assert_eq!(Text::parse(text).unwrap().is_in_event(Kind::Change, change), expected, "{text:?}");
        }
        let commit = br#"{"type":"commit","id":"k3.0-1.2","tx":{"xid":771,"actor":{"session_user":"bob","query":"DELETE FROM \"User\""}},"tables":[{"schema":"public","name":"User","count":22}]}"#;
        for (text, expected) in [("delete from \"user\"", true), ("bob", true), ("22", false), ("771", false), ("query", false)] {
            assert_eq!(Text::parse(text).unwrap().is_in_event(Kind::Commit, commit), expected, "{text:?}");
        }
        let ddl =
            br#"{"type":"ddl","id":"x","command":"ALTER TABLE","object":"public.User","sql":"ALTER TABLE \"User\" ADD age int"}"#;
        assert!(Text::parse("add age").unwrap().is_in_event(Kind::Ddl, ddl));
        assert!(Text::parse("").is_err());
    }

    #[test]
    fn a_text_is_found_however_it_is_escaped_and_not_where_it_is_only_spelled() {
        let change = br#"{"type":"change","key":{"id":1},"old":null,"new":{"id":1,"doc":{"url":"http:\/\/php.example\/path","name":"Ren\u00e9e Dupont","emoji":"\ud83d\ude00 laughs","odd":"\ud800 alone"},"note":"bar\nbarbaz","b":"\u00197"}}"#;
        let mut there = BTreeSet::new();
        let json = First::default().looked_into(Kind::Change, change);
        texts(json).map(unescaped).for_each(|text| Gram::each(&text, |gram| there.extend([gram])));
        for (text, expected) in [
            ("http://php.example/path", true),
            ("ren\u{e9}e dupont", true),
            ("\u{1f600} laughs", true),
            (" alone", true),
            ("bar\nbarbaz", true),
            ("http:\\/\\/php", false),
            ("nbarbaz", false),
            ("00197", false),
            ("u00e9", false),
        ] {
            let text = Text::parse(text).unwrap();
            assert_eq!(text.is_in_event(Kind::Change, change), expected, "{:?}", String::from_utf8_lossy(&text.0));
            if expected {
                text.grams(|gram| assert!(there.contains(&gram), "{:?}", String::from_utf8_lossy(&text.0)));
            }
        }
    }

    #[test]
    fn the_grams_of_a_block_are_those_of_its_events() {
        let (block, first) = (fixture::every_shape(), First::default());
        let (mut told, mut there) = (BTreeSet::new(), BTreeSet::new());
        grams(&block, |gram| told.extend([gram]));
        for head in block.heads() {
            let json = first.looked_into(head.kind, block.bytes(head));
            let is_escaped = json.contains(&b'\\');
            let unescaped = texts(json).filter(|_| is_escaped).map(unescaped);
            [Cow::Borrowed(json)].into_iter().chain(unescaped).for_each(|text| Gram::each(&text, |gram| there.extend([gram])));
        }
        assert_eq!(told, there);
    }

    #[test]
    fn what_is_found_in_an_event_has_its_grams_there() {
        let block = fixture::every_shape();
        let mut all = BTreeSet::new();
        grams(&block, |gram| all.extend([gram]));
        let mut found = 0;
        for head in block.heads() {
            for text in block.bytes(head).windows(6).map(|bytes| Text(bytes.into())) {
                if text.is_in_event(head.kind, block.bytes(head)) {
                    found += 1;
                    text.grams(|gram| assert!(all.contains(&gram), "{:?}", String::from_utf8_lossy(&text.0)));
                }
            }
        }
        assert!(found > 50, "{found}");
    }
}
