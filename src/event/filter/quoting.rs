//! Lists and names in parameters: commas and dots separate, double quotes protect.

use std::borrow::Cow;
use std::fmt;

use super::error::{Problem, shown};

/// A table by its two names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QualifiedName {
    schema: String,
    name: String,
}

impl QualifiedName {
    /// Reads `schema.name`, `name`, or either with quoted parts.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::NotATable { given: shown(text) };
        let (first, rest) = identifier(text).ok_or_else(refused)?;
        let (schema, name) = match rest.strip_prefix('.') {
            None => (Cow::Borrowed("public"), first),
            Some(rest) => match identifier(rest) {
                Some((name, "")) => (first, name),
                _ => return Err(refused()),
            },
        };
        // Without a dot nothing may follow the name.
        if !rest.is_empty() && !rest.starts_with('.') {
            return Err(refused());
        }
        Ok(Self { schema: schema.into_owned(), name: name.into_owned() })
    }

    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }
}

impl fmt::Debug for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{:?}", self.schema, self.name)
    }
}

/// The name at the start of `text`, quoted or up to the next dot, and what follows it.
pub(super) fn identifier(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if text.starts_with('"') {
        let (name, rest) = quoted(text)?;
        return (!name.is_empty()).then_some((name, rest));
    }
    let end = text.find('.').unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (!name.is_empty() && !name.contains('"')).then_some((Cow::Borrowed(name), rest))
}

/// The text between the double quotes at the start of `text`, where `""` stands for one, and what follows the closing one.
pub(super) fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut from = 0;
    loop {
        let quote = from + inner.get(from..)?.find('"')?;
        let rest = inner.get(quote + 1..)?;
        if rest.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let name = inner.get(..quote)?;
        let name = if name.contains('"') { Cow::Owned(name.replace("\"\"", "\"")) } else { Cow::Borrowed(name) };
        return Some((name, rest));
    }
}

/// The pieces of a list: separated by commas that stand outside of double quotes and of parentheses.
pub(super) fn split_list(text: &str) -> Result<Vec<&str>, Problem> {
    let (mut within_quotes, mut depth, mut start) = (false, 0usize, 0usize);
    let mut pieces = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '"' => within_quotes = !within_quotes,
            '(' if !within_quotes => depth += 1,
            ')' if !within_quotes => depth = depth.saturating_sub(1),
            ',' if !within_quotes && depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if within_quotes || depth > 0 {
        return Err(Problem::NotClosed { given: shown(text) });
    }
    pieces.push(text.get(start..).unwrap_or_default());
    Ok(pieces)
}

/// A value as it is meant: without its quotes, if it stands in some.
pub(super) fn unquoted(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.starts_with('"') {
        return Ok(Cow::Borrowed(text));
    }
    match quoted(text) {
        Some((value, "")) => Ok(value),
        _ => Err(Problem::NotClosed { given: shown(text) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn quoted_names_of_any_kind_are_read_back(names in prop::collection::vec((".{1,8}", ".{1,8}"), 1..4)) {
            let list: Vec<_> = names.iter().map(|(schema, name)| format!("{}.{}", quote(schema), quote(name))).collect();
            let list = list.join(",");
            let read: Result<Vec<_>, _> = split_list(&list).unwrap().into_iter().map(QualifiedName::parse).collect();
            let read = read.unwrap();
            let read: Vec<_> = read.iter().map(QualifiedName::parts).collect();
            let names: Vec<_> = names.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).collect();
            prop_assert_eq!(read, names);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\"(),.a]{0,12}") {
            for piece in split_list(&text).unwrap_or_default() {
                let _ = (QualifiedName::parse(piece), identifier(piece), unquoted(piece));
            }
        }
    }

    #[test]
    fn names_are_taken_as_they_are() {
        let parse = |text| QualifiedName::parse(text).map(|name| format!("{name:?}"));
        assert_eq!(parse("public.User").unwrap(), r#""public"."User""#);
        assert_eq!(parse("User").unwrap(), r#""public"."User""#);
        assert_eq!(parse(r#""My.Schema".plain"#).unwrap(), r#""My.Schema"."plain""#);
        assert_eq!(parse(r#""My.Table""#).unwrap(), r#""public"."My.Table""#);
        for text in ["", ".", "a.", ".a", "a.b.c", r#""a"#, r#""a"b"#, r#"a"b"#, r#""""#, r#""a"."b".c"#, r#"a."b"c"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn commas_within_quotes_and_parentheses_do_not_separate() {
        let list = r#"a.in.(1,"x)",2),b.eq."c,d",e"#;
        assert_eq!(split_list(list).unwrap(), [r#"a.in.(1,"x)",2)"#, r#"b.eq."c,d""#, "e"]);
        for text in ["(", "\"", "a,(b"] {
            assert!(matches!(split_list(text), Err(Problem::NotClosed { .. })), "{text}");
        }
    }
}
