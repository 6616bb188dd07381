//! Connection strings, read into libpq's parameters: both the URL form and the keyword/value form.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>. No error here repeats a piece of the text: a
//! mistyped connection string is exactly where a password turns up in an unexpected place.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::settings::TargetError;

/// libpq's parameters by name, as text. Names are not checked here.
pub(super) type Parameters = BTreeMap<String, String>;

/// Reads a connection string of either form.
pub(super) fn parse(text: &str) -> Result<Parameters, TargetError> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(url) => parse_url(url),
        None => parse_keywords(text),
    }
}

/// `[user[:password]@][host[:port][,…]][/database][?name=value[&…]]`
fn parse_url(url: &str) -> Result<Parameters, TargetError> {
    let mut parameters = Parameters::new();
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            parameters.insert(name.to_owned(), value);
        }
    };
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    set("user", decode(user)?);
    set("password", decode(password)?);
    set("dbname", decode(database)?);

    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = split_port(host)?;
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    set("host", names.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        set("port", ports.join(","));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(TargetError::Syntax("a parameter of the URL has no '='"))?;
        match (decode(name)?.as_str(), decode(value)?.as_str()) {
            // What JDBC's users write; libpq understands it too.
            ("ssl", "true") => set("sslmode", "require".to_owned()),
            (name, value) => set(name, value.to_owned()),
        }
    }
    Ok(parameters)
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`
fn split_port(host: &str) -> Result<(&str, &str), TargetError> {
    let Some(bracketed) = host.strip_prefix('[') else {
        return Ok(host.split_once(':').unwrap_or((host, "")));
    };
    let (address, rest) = bracketed.split_once(']').ok_or(TargetError::Syntax("an address of the URL lacks its ']'"))?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((address, port)),
        None if rest.is_empty() => Ok((address, "")),
        None => Err(TargetError::Syntax("only a port may follow the ']' of an address")),
    }
}

fn decode(text: &str) -> Result<String, TargetError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| TargetError::Syntax("a percent-encoded part of the URL is not UTF-8"))
}

/// `name = value name = 'quoted \' value'`
fn parse_keywords(text: &str) -> Result<Parameters, TargetError> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').ok_or(TargetError::Syntax("neither a postgresql:// URL nor a list of name=value"))?;
        let (value, after) = keyword_value(after.trim_start())?;
        parameters.insert(name.trim_end().to_owned(), value);
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// One value and what follows it.
fn keyword_value(text: &str) -> Result<(String, &str), TargetError> {
    let (quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, body.get(at + 1..).unwrap_or_default())),
            space if !quoted && space.is_whitespace() => return Ok((value, body.get(at..).unwrap_or_default())),
            plain => value.push(plain),
        }
    }
    if quoted { Err(TargetError::Syntax("a quoted value lacks its closing quote")) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("postgres://", &[][..]),
            ("postgresql:///db", &[("dbname", "db")]),
            ("postgresql://localhost", &[("host", "localhost")]),
            ("postgres://u@h:1/d", &[("dbname", "d"), ("host", "h"), ("port", "1"), ("user", "u")]),
            ("postgres://u:p%40ss@h", &[("host", "h"), ("password", "p@ss"), ("user", "u")]),
            ("postgres://u:p@ss@h", &[("host", "h"), ("password", "p@ss"), ("user", "u")]),
            ("postgres://h1:1,h2,[::1]:3/d", &[("dbname", "d"), ("host", "h1,h2,::1"), ("port", "1,,3")]),
            (
                "postgres://%2Frun%2Fpg/d?sslmode=disable&ssl=true",
                &[("dbname", "d"), ("host", "/run/pg"), ("sslmode", "require")],
            ),
            ("postgres:///d?host=/tmp&port=6", &[("dbname", "d"), ("host", "/tmp"), ("port", "6")]),
        ] {
            assert_eq!(parsed(url), pairs(expected), "{url}");
        }
    }

    #[test]
    fn keywords() {
        for (text, expected) in [
            ("", &[][..]),
            ("host=a port = 5", &[("host", "a"), ("port", "5")]),
            (r"password='it\'s \\ here' user=b", &[("password", r"it's \ here"), ("user", "b")]),
            (r"password=a\ b dbname=''", &[("dbname", ""), ("password", "a b")]),
        ] {
            assert_eq!(parsed(text), pairs(expected), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_without_repeating_it() {
        for text in
            ["secret", "a='secret", "postgres://[secret", "postgres://[::1]secret", "postgres://h?secret", "postgres://%ff"]
        {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, TargetError::Syntax(_)) && !format!("{error} {error:?}").contains("secret"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (parse(&text), parse_url(&text));
        }

        #[test]
        fn any_value_survives_quoting(value: String) {
            let quoted = value.replace('\\', r"\\").replace('\'', r"\'");
            prop_assert_eq!(parsed(&format!("password='{quoted}' user=u")), pairs(&[("password", &value), ("user", "u")]));
        }
    }
}
