//! Names and values as SQL takes them, whatever they hold.

/// A name. Quoted always: which words are reserved differs from version to version.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table as a person reads it: quoted where SQL needs it.
pub fn table_name(schema: &str, name: &str) -> String {
    format!("{}.{}", where_needed(schema), where_needed(name))
}

/// A name, quoted where SQL would read another one without.
pub fn where_needed(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
    let starts_plain = name.bytes().next().is_some_and(|first| is_plain(first) && !first.is_ascii_digit());
    if starts_plain && name.bytes().all(is_plain) { name.to_owned() } else { identifier(name) }
}

/// A value, in the text form of its type. One with a backslash is written so that it means the same whatever
/// `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let mut sql = String::with_capacity(text.len() + 2);
    push_literal(&mut sql, text);
    sql
}

/// The same, appended.
pub(super) fn push_literal(sql: &mut String, text: &str) {
    let escapes = text.contains('\\');
    sql.push_str(if escapes { "E'" } else { "'" });
    let mut rest = text;
    while let Some((plain, after)) = rest.find(['\'', '\\']).and_then(|at| rest.split_at_checked(at + 1)) {
        sql.push_str(plain);
        // Either is doubled.
        sql.extend(plain.chars().next_back());
        rest = after;
    }
    sql.push_str(rest);
    sql.push('\'');
}

/// Remarks, a line each: a name may hold the end of a line, and what follows must not become a statement.
pub(super) fn comment(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| format!("-- {line}").trim_end().to_owned() + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_values_cannot_end_early() {
        assert_eq!(identifier("Order \"Items\"; DROP"), r#""Order ""Items""; DROP""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\x00'\"), r"E'\\x00''\\'");
        assert_eq!(comment("a\n; DROP TABLE x\r--"), "-- a\n-- ; DROP TABLE x\n-- --\n");
    }

    #[test]
    fn a_table_is_named_as_sql_would() {
        assert_eq!(table_name("public", "game_2"), "public.game_2");
        assert_eq!(table_name("We ird", "T"), r#""We ird"."T""#);
        assert_eq!(table_name("2nd", "a\"b"), "\"2nd\".\"a\"\"b\"");
    }

    proptest! {
        /// Read as PostgreSQL reads it.
        #[test]
        fn a_value_is_read_back(text in r#"['\\a\n"é]{0,12}"#) {
            let written = literal(&text);
            let (escapes, inner) = match written.strip_prefix('E') {
                Some(rest) => (true, rest),
                None => (false, written.as_str()),
            };
            let mut inner = inner.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap().chars();
            let mut read = String::new();
            while let Some(character) = inner.next() {
                match character {
                    '\'' => prop_assert_eq!(inner.next(), Some('\'')),
                    '\\' if escapes => prop_assert_eq!(inner.next(), Some('\\')),
                    '\\' => prop_assert!(false, "a backslash in a plain literal"),
                    _ => {}
                }
                read.push(character);
            }
            prop_assert_eq!(read, text);
        }
    }
}
