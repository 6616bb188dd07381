//! To whom a URL leads.

use hyper::Uri;

/// The host of a URL, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// With TLS.
    pub secure: bool,
    /// Its name or address, without brackets.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Name and port as the `Host` header has them.
    pub(super) authority: String,
}

impl Host {
    /// The host of `http://…` or `https://…`; nobody's, if there is a user name or a password in it.
    pub fn of(uri: &Uri) -> Option<Self> {
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        Some(Self {
            secure,
            name: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_its_host_alone() {
        let of = |text: &str| Host::of(&text.parse().unwrap()).map(|host| (host.secure, host.name, host.port, host.authority));
        let host = |secure, name: &str, port, authority: &str| Some((secure, name.to_owned(), port, authority.to_owned()));
        assert_eq!(of("https://hooks.example.org/a?b"), host(true, "hooks.example.org", 443, "hooks.example.org"));
        assert_eq!(of("http://[::1]:7777"), host(false, "::1", 7777, "[::1]:7777"));
        for text in ["ftp://example.org/", "http://me:secret@example.org/", "/path"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
