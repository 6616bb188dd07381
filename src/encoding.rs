//! From the server's encoding to UTF-8.
//!
//! Floor 1, pure. The replication session asks for no conversion (`client_encoding = SQL_ASCII`), because with any other setting a
//! single byte that cannot be converted ends the stream for ever. So text arrives in `server_encoding` and is converted here, where a
//! byte that means nothing becomes U+FFFD and is *said* to have done so.
//!
//! Names: <https://www.postgresql.org/docs/current/multibyte.html#CHARSET-TABLE>

use std::borrow::Cow;

use encoding_rs as rs;

/// The encoding of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `UTF8`
    Utf8,
    /// `SQL_ASCII`: bytes of no declared encoding. Read as UTF-8, which is what most such databases hold.
    SqlAscii,
    /// `LATIN1`, exactly: `encoding_rs` would read its control characters 80–9F as Windows does.
    Latin1,
    /// `LATIN5`: Latin-1 but for six Turkish letters; not left to `encoding_rs` for the same reason.
    Latin5,
    /// Any other that `encoding_rs` knows.
    Other(&'static rs::Encoding),
}

/// A server encoding that pgvigil cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database's encoding {name:?} is not supported: its text cannot be converted to UTF-8")]
pub struct UnknownEncoding {
    /// What `server_encoding` says.
    pub name: String,
}

impl Encoding {
    /// The encoding that PostgreSQL calls `name`, as `SHOW server_encoding` prints it.
    ///
    /// # Errors
    /// For a name that PostgreSQL does not use, and for the three server encodings without a converter: `EUC_JIS_2004`, `EUC_TW` and
    /// `MULE_INTERNAL`.
    pub fn from_name(name: &str) -> Result<Self, UnknownEncoding> {
        Ok(match name {
            "UTF8" => Self::Utf8,
            "SQL_ASCII" => Self::SqlAscii,
            "LATIN1" => Self::Latin1,
            "LATIN5" => Self::Latin5,
            "LATIN2" => Self::Other(rs::ISO_8859_2),
            "LATIN3" => Self::Other(rs::ISO_8859_3),
            "LATIN4" => Self::Other(rs::ISO_8859_4),
            "LATIN6" => Self::Other(rs::ISO_8859_10),
            "LATIN7" => Self::Other(rs::ISO_8859_13),
            "LATIN8" => Self::Other(rs::ISO_8859_14),
            "LATIN9" => Self::Other(rs::ISO_8859_15),
            "LATIN10" => Self::Other(rs::ISO_8859_16),
            "ISO_8859_5" => Self::Other(rs::ISO_8859_5),
            "ISO_8859_6" => Self::Other(rs::ISO_8859_6),
            "ISO_8859_7" => Self::Other(rs::ISO_8859_7),
            "ISO_8859_8" => Self::Other(rs::ISO_8859_8),
            "KOI8R" => Self::Other(rs::KOI8_R),
            "KOI8U" => Self::Other(rs::KOI8_U),
            "WIN866" => Self::Other(rs::IBM866),
            "WIN874" => Self::Other(rs::WINDOWS_874),
            "WIN1250" => Self::Other(rs::WINDOWS_1250),
            "WIN1251" => Self::Other(rs::WINDOWS_1251),
            "WIN1252" => Self::Other(rs::WINDOWS_1252),
            "WIN1253" => Self::Other(rs::WINDOWS_1253),
            "WIN1254" => Self::Other(rs::WINDOWS_1254),
            "WIN1255" => Self::Other(rs::WINDOWS_1255),
            "WIN1256" => Self::Other(rs::WINDOWS_1256),
            "WIN1257" => Self::Other(rs::WINDOWS_1257),
            "WIN1258" => Self::Other(rs::WINDOWS_1258),
            "EUC_JP" => Self::Other(rs::EUC_JP),
            "EUC_KR" => Self::Other(rs::EUC_KR),
            // GBK is EUC_CN with more characters.
            "EUC_CN" => Self::Other(rs::GBK),
            _ => return Err(UnknownEncoding { name: name.to_owned() }),
        })
    }

    /// `bytes` as UTF-8, and whether all of them meant something: each sequence that does not becomes U+FFFD.
    ///
    /// Borrows whenever the bytes already are UTF-8, which plain ASCII is in every server encoding.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
        match self {
            Self::Utf8 | Self::SqlAscii => match std::str::from_utf8(bytes) {
                Ok(text) => (Cow::Borrowed(text), true),
                Err(_) => (String::from_utf8_lossy(bytes), false),
            },
            Self::Latin1 => (rs::mem::decode_latin1(bytes), true),
            Self::Latin5 => (bytes.iter().copied().map(latin5).collect(), true),
            Self::Other(encoding) => {
                let (text, malformed) = encoding.decode_without_bom_handling(bytes);
                (text, !malformed)
            }
        }
    }

    /// Whether bytes of this encoding that are valid UTF-8 stand for themselves.
    pub fn is_utf8(&self) -> bool {
        matches!(self, Self::Utf8 | Self::SqlAscii)
    }
}

fn latin5(byte: u8) -> char {
    match byte {
        0xD0 => 'Ğ',
        0xDD => 'İ',
        0xDE => 'Ş',
        0xF0 => 'ğ',
        0xFD => 'ı',
        0xFE => 'ş',
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every encoding that a PostgreSQL server can have.
    const SERVER: [&str; 35] = [
        "EUC_CN",
        "EUC_JP",
        "EUC_JIS_2004",
        "EUC_KR",
        "EUC_TW",
        "ISO_8859_5",
        "ISO_8859_6",
        "ISO_8859_7",
        "ISO_8859_8",
        "KOI8R",
        "KOI8U",
        "LATIN1",
        "LATIN2",
        "LATIN3",
        "LATIN4",
        "LATIN5",
        "LATIN6",
        "LATIN7",
        "LATIN8",
        "LATIN9",
        "LATIN10",
        "MULE_INTERNAL",
        "SQL_ASCII",
        "UTF8",
        "WIN866",
        "WIN874",
        "WIN1250",
        "WIN1251",
        "WIN1252",
        "WIN1253",
        "WIN1254",
        "WIN1255",
        "WIN1256",
        "WIN1257",
        "WIN1258",
    ];

    #[test]
    fn every_server_encoding_is_known_but_three() {
        let unknown: Vec<_> = SERVER.into_iter().filter(|name| Encoding::from_name(name).is_err()).collect();
        assert_eq!(unknown, ["EUC_JIS_2004", "EUC_TW", "MULE_INTERNAL"]);
        let said = Encoding::from_name("EUC_TW").unwrap_err().to_string();
        assert!(said.contains("EUC_TW"), "{said}");
    }

    #[test]
    fn text_is_converted() {
        for (name, bytes, text) in [
            ("UTF8", "žluťoučký".as_bytes(), "žluťoučký"),
            ("SQL_ASCII", "žluťoučký".as_bytes(), "žluťoučký"),
            ("LATIN1", b"caf\xE9 \x85\xA4", "café \u{85}¤"),
            ("LATIN5", b"\xDDstanbul \x80", "İstanbul \u{80}"),
            ("LATIN9", b"5 \xA4", "5 €"),
            ("WIN1252", b"5 \x80", "5 €"),
            ("KOI8R", b"\xF0\xD2\xC9\xD7\xC5\xD4", "Привет"),
            ("EUC_JP", b"\xC6\xFC\xCB\xDC", "日本"),
        ] {
            assert_eq!(Encoding::from_name(name).unwrap().decode(bytes), (Cow::Borrowed(text), true), "{name}");
        }
    }

    #[test]
    fn what_means_nothing_is_replaced_and_said() {
        for (name, bytes) in [("UTF8", &b"a\xFFb"[..]), ("SQL_ASCII", b"a\xFFb"), ("WIN1253", b"a\xFFb"), ("EUC_JP", b"a\xFFb")] {
            assert_eq!(Encoding::from_name(name).unwrap().decode(bytes), (Cow::Borrowed("a\u{FFFD}b"), false), "{name}");
        }
    }

    proptest! {
        #[test]
        fn ascii_is_itself_everywhere(text in "[ -~]*") {
            for name in SERVER {
                if let Ok(encoding) = Encoding::from_name(name) {
                    prop_assert_eq!(encoding.decode(text.as_bytes()), (Cow::Borrowed(text.as_str()), true));
                }
            }
        }
    }
}
