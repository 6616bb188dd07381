//! TLS as libpq's `sslmode` means it, through rustls.
//!
//! | mode | encrypted | the certificate is checked against |
//! |---|---|---|
//! | `disable` | never | – |
//! | `allow` | when the server insists | nothing |
//! | `prefer` | when the server offers it | nothing |
//! | `require` | always | nothing, or the roots when a root file exists, as libpq does |
//! | `verify-ca` | always | the roots |
//! | `verify-full` | always | the roots, and the name of the host |

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

/// `sslmode`, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `sslnegotiation`: whether the server is first asked, in the clear, if it does TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Negotiation {
    Postgres,
    /// PostgreSQL 17 and later.
    Direct,
}

/// What one try to connect asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Encryption {
    Plain,
    IfOffered,
    Required,
}

/// How connections of a target are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    pub(super) negotiation: Negotiation,
    pub(super) config: Arc<ClientConfig>,
}

/// The files that take part.
pub(super) struct TlsFiles {
    /// Trusted roots; the path `system` stands for those of the operating system.
    pub(super) roots: Option<PathBuf>,
    /// Our own certificate, with its chain.
    pub(super) certificate: Option<PathBuf>,
    /// Its key.
    pub(super) key: Option<PathBuf>,
}

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// The mode checks certificates, but against what?
    #[error("sslmode {mode} needs trusted certificates: name a file in sslrootcert, or sslrootcert=system")]
    NoRoots {
        /// `verify-ca` or `verify-full`.
        mode: &'static str,
    },
    /// A file that cannot be read, or holds no certificate or key.
    #[error("cannot use {path}: {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The operating system's roots cannot be read.
    #[error("the system's trusted certificates cannot be read: {0}")]
    SystemRoots(String),
    /// A certificate without its key, or the other way round.
    #[error("a client certificate needs both sslcert and sslkey")]
    HalfAPair,
    /// The certificate and the key do not fit.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(#[source] rustls::Error),
}

/// Without the configuration, which holds our key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("mode", &self.mode).field("negotiation", &self.negotiation).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(mode: SslMode, negotiation: Negotiation, files: &TlsFiles) -> Result<Tls, TlsFileError> {
        let provider = rustls::crypto::ring::default_provider();
        let verifier = Verifier { algorithms: provider.signature_verification_algorithms, trust: Trust::new(mode, files)? };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsFileError::ClientCertificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (mode, &files.certificate, &files.key) {
            (SslMode::Disable, _, _) | (_, None, None) => builder.with_no_client_auth(),
            (_, Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                let chain = read_certificates(certificate)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsFileError::ClientCertificate)?
            }
            _ => return Err(TlsFileError::HalfAPair),
        };
        if negotiation == Negotiation::Direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Tls { mode, negotiation, config: Arc::new(config) })
    }

    /// What to try, in this order. A unix socket needs no encryption, whatever the mode.
    pub(super) fn tries(&self, local: bool) -> &'static [Encryption] {
        match self.mode {
            _ if local => &[Encryption::Plain],
            SslMode::Disable => &[Encryption::Plain],
            SslMode::Allow => &[Encryption::Plain, Encryption::Required],
            SslMode::Prefer => &[Encryption::IfOffered, Encryption::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Required],
        }
    }
}

fn unusable(path: &Path, problem: &dyn fmt::Display) -> TlsFileError {
    TlsFileError::File { path: path.to_owned(), problem: problem.to_string() }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() { Err(unusable(path, &"it holds no certificate")) } else { Ok(certificates) }
}

/// Which servers are believed.
#[derive(Debug)]
enum Trust {
    Anyone,
    Signed {
        roots: RootCertStore,
        /// The same, whole: a server may present the very certificate that is trusted.
        certificates: Vec<CertificateDer<'static>>,
        check_name: bool,
    },
}

impl Trust {
    fn new(mode: SslMode, files: &TlsFiles) -> Result<Trust, TlsFileError> {
        let certificates = match (&files.roots, mode) {
            (_, SslMode::Disable | SslMode::Allow | SslMode::Prefer) | (None, SslMode::Require) => return Ok(Trust::Anyone),
            (None, SslMode::VerifyCa) => return Err(TlsFileError::NoRoots { mode: "verify-ca" }),
            (None, SslMode::VerifyFull) => return Err(TlsFileError::NoRoots { mode: "verify-full" }),
            (Some(path), _) if path == Path::new("system") => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let problem = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
                    return Err(TlsFileError::SystemRoots(problem));
                }
                found.certs
            }
            (Some(path), _) => read_certificates(path)?,
        };
        let mut roots = RootCertStore::empty();
        if let (0, _) = roots.add_parsable_certificates(certificates.iter().cloned()) {
            return Err(unusable(files.roots.as_deref().unwrap_or(Path::new("")), &"none of its certificates can be used"));
        }
        Ok(Trust::Signed { roots, certificates, check_name: mode == SslMode::VerifyFull })
    }
}

#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Trust::Signed { roots, certificates, check_name } = &self.trust {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            // A self-signed certificate that is itself the trusted one is common, and good. It is no chain, though, which is all
            // that webpki verifies.
            if certificates.contains(end_entity) {
                verify_validity(end_entity, now)?;
            } else {
                verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all)?;
            }
            if *check_name {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let (validity, now) = (parsed.tbs_certificate.validity, Duration::from_secs(now.as_secs()));
    if now < validity.not_before.to_unix_duration() {
        Err(CertificateError::NotValidYet)
    } else if now > validity.not_after.to_unix_duration() {
        Err(CertificateError::Expired)
    } else {
        Ok(())
    }
}

/// Why no encrypted connection came about.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// The server does not do TLS, and the mode insists.
    #[error("the server does not offer TLS")]
    NotOffered,
    /// The host cannot stand in a certificate.
    #[error("{0:?} is no name that a certificate could be made out to")]
    HostName(String),
    /// The certificate is made out to another host.
    #[error("the certificate is made out to {}, not to {expected}", list(.presented))]
    WrongName {
        /// The host as we know it.
        expected: String,
        /// The names in the certificate, when known.
        presented: Vec<String>,
    },
    /// The certificate is not signed by whom we trust, or is not valid now.
    #[error("the certificate is not trusted: {0}")]
    NotTrusted(CertificateError),
    /// Any other way a handshake can fail.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "another name".to_owned() } else { names.join(", ") }
}

impl TlsFailure {
    pub(super) fn from_handshake(error: io::Error, host: &str) -> TlsFailure {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(problem)) => match problem {
                CertificateError::NotValidForName => TlsFailure::WrongName { expected: host.to_owned(), presented: Vec::new() },
                CertificateError::NotValidForNameContext { presented, .. } => {
                    TlsFailure::WrongName { expected: host.to_owned(), presented: presented.clone() }
                }
                problem => TlsFailure::NotTrusted(problem.clone()),
            },
            _ => TlsFailure::Handshake(error),
        }
    }
}

const SHA1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_WITH_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

/// The `tls-server-end-point` of RFC 5929: the certificate, hashed as its own signature was, but never weaker than SHA-256.
///
/// `None` for signatures that name no hash (Ed25519, RSA-PSS): PostgreSQL cannot bind to those either.
pub(super) fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let algorithm = match Certificate::from_der(certificate).ok()?.signature_algorithm.oid {
        SHA1_WITH_RSA | ECDSA_WITH_SHA1 | SHA256_WITH_RSA | ECDSA_WITH_SHA256 => &digest::SHA256,
        SHA384_WITH_RSA | ECDSA_WITH_SHA384 => &digest::SHA384,
        SHA512_WITH_RSA | ECDSA_WITH_SHA512 => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}
