//! Certificates: which servers are believed, and what binds a login to one.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

use super::tls::{SslMode, TlsFileError};

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
    fn new(mode: SslMode, roots: Option<&Path>) -> Result<Trust, TlsFileError> {
        let roots_file = roots.unwrap_or(Path::new("system"));
        let certificates = match (roots, mode) {
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
            return Err(unusable(roots_file, &"none of its certificates can be used"));
        }
        Ok(Trust::Signed { roots, certificates, check_name: mode == SslMode::VerifyFull })
    }
}

/// Verifies what a server presents, as the mode asks.
#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
}

impl Verifier {
    /// `roots` is the file of trusted certificates, or `system` for those of the operating system.
    pub(super) fn new(provider: &CryptoProvider, mode: SslMode, roots: Option<&Path>) -> Result<Verifier, TlsFileError> {
        let algorithms = provider.signature_verification_algorithms;
        Ok(Verifier { algorithms, trust: Trust::new(mode, roots)? })
    }
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

pub(super) fn unusable(path: &Path, problem: &dyn fmt::Display) -> TlsFileError {
    TlsFileError::File { path: path.to_owned(), problem: problem.to_string() }
}

pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() { Err(unusable(path, &"it holds no certificate")) } else { Ok(certificates) }
}
