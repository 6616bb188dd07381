//! TLS as libpq's `sslmode` means it, against a real server with certificates made here.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use pgvigil::cluster::{Cluster, Options};
use pgvigil::connection::{ConnectError, Target};
use pgvigil::replication::{self, Replication};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::{Database, PATIENCE, a_major, cluster_with, on_every_major, options, wait_for};
use tempfile::TempDir;

const HBA: &str = "local all all trust\n\
                   host all postgres 127.0.0.1/32 trust\n\
                   hostssl all only_tls 127.0.0.1/32 trust\n\
                   hostnossl all only_plain 127.0.0.1/32 trust\n\
                   hostssl all by_certificate 127.0.0.1/32 cert\n\
                   host all by_scram 127.0.0.1/32 scram-sha-256\n\
                   host all by_md5 127.0.0.1/32 md5\n";

/// A server that does TLS, and the files that a client of it may have.
struct Secure {
    cluster: Cluster,
    folder: TempDir,
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

impl Secure {
    /// A server whose certificate is signed for `localhost`.
    async fn start(major: u32) -> Result<Self> {
        let authority = authority("the one that is trusted")?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
        let secure = Secure::with(major, &certificate.pem(), &key, &authority.pem()).await?;
        // For a client, the role is in the common name.
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "by_certificate");
        secure.keep("client.crt", &params.signed_by(&key, &authority)?.pem())?;
        secure.keep("client.key", &key.serialize_pem())?;
        Ok(secure)
    }

    async fn with(major: u32, certificate: &str, key: &KeyPair, root: &str) -> Result<Self> {
        let cluster = cluster_with(major, Options { hba: Some(HBA.to_owned()), ..options() }).await?;
        let secure = Secure { cluster, folder: tempfile::tempdir()? };
        let data = secure.cluster.data_dir();
        let owner = std::fs::metadata(&data)?;
        for (name, content) in [("server.crt", certificate), ("server.key", &key.serialize_pem()), ("root.crt", root)] {
            let path = data.join(name);
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
        secure.keep("root.crt", root)?;
        let sql = Database::connect(&secure.cluster.url("postgres")).await?;
        sql.run("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await?;
        sql.run("ALTER SYSTEM SET ssl = on").await?;
        sql.run(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE by_scram LOGIN REPLICATION PASSWORD 'pw';
             SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN REPLICATION PASSWORD 'pw';
             CREATE ROLE by_certificate LOGIN REPLICATION; CREATE ROLE only_tls LOGIN REPLICATION;
             CREATE ROLE only_plain LOGIN REPLICATION",
        )
        .await?;
        secure.cluster.reload();
        wait_for("ssl = on", PATIENCE, async || Ok((sql.value::<String>("SHOW ssl").await? == "on").then_some(()))).await?;
        Ok(secure)
    }

    fn keep(&self, name: &str, content: &str) -> Result<()> {
        Ok(std::fs::write(self.file(name), content)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn target(&self, pairs: &str) -> Result<Target> {
        let string =
            format!("host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres {pairs}", self.cluster.port());
        Ok(Target::resolve(Some(&string), |_| None)?)
    }

    /// Whether sessions of both kinds, which must agree, are encrypted.
    async fn encrypted(&self, pairs: &str) -> Result<bool> {
        let target = self.target(pairs)?;
        let sql = target.sql("test").await?;
        let row = sql.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await?;
        let mut replication = Replication::connect(&target, "test").await?;
        replication.identify().await?;
        ensure!(row.get::<_, bool>(0) == replication.is_encrypted(), "one is encrypted, the other is not");
        Ok(row.get(0))
    }

    async fn refusal(&self, pairs: &str) -> Result<ConnectError> {
        let target = self.target(pairs)?;
        let Err(sql) = target.sql("test").await else { bail!("let in: {pairs}") };
        let Err(replication::Error::Connect(error)) = Replication::connect(&target, "test").await else {
            bail!("let in: {pairs}")
        };
        ensure!(sql.to_string() == error.to_string(), "{sql} but {error}");
        ensure!(!error.is_transient(), "{error} is worth another try?");
        Ok(error)
    }

    fn root(&self) -> String {
        format!("sslrootcert={}", self.file("root.crt").display())
    }
}

on_every_major!(every_mode);

async fn every_mode(major: u32) -> Result<()> {
    let server = Secure::start(major).await?;
    let root = server.root();
    for (pairs, encrypted) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=allow".to_owned(), false),
        ("sslmode=allow user=only_tls".to_owned(), true),
        ("sslmode=prefer".to_owned(), true),
        ("sslmode=prefer user=only_plain".to_owned(), false),
        ("sslmode=require".to_owned(), true),
        (format!("sslmode=verify-ca {root}"), true),
        (format!("sslmode=verify-full {root}"), true),
        (format!("sslmode=require {root}"), true),
        (format!("sslmode=verify-ca host=127.0.0.1 {root}"), true),
    ] {
        assert_eq!(server.encrypted(&pairs).await.context(pairs.clone())?, encrypted, "{pairs}");
    }
    // A unix socket needs no encryption, whatever the mode.
    let socket = format!("sslmode=verify-full host={} hostaddr='' {root}", server.cluster.socket_dir().display());
    assert!(!server.encrypted(&socket).await?);
    Ok(())
}

#[tokio::test]
async fn what_is_not_safe_is_refused() -> Result<()> {
    let server = Secure::start(a_major()).await?;
    let root = server.root();
    server.keep("stranger.crt", &authority("a stranger")?.pem())?;
    let stranger = format!("sslrootcert={}", server.file("stranger.crt").display());
    for (pairs, what) in [
        (format!("sslmode=verify-ca {stranger}"), "the certificate is not trusted"),
        (format!("sslmode=verify-full {stranger}"), "the certificate is not trusted"),
        // As libpq: a root file that is there is used.
        (format!("sslmode=require {stranger}"), "the certificate is not trusted"),
        (format!("sslmode=verify-full host=127.0.0.1 {root}"), "made out to"),
        (format!("sslmode=verify-full host=other.example {root}"), "not to other.example"),
        ("sslmode=verify-full sslrootcert=system".to_owned(), "the certificate is not trusted"),
        ("sslmode=disable user=only_tls".to_owned(), "pg_hba.conf does not let role \"only_tls\" in"),
        ("sslmode=require user=only_plain".to_owned(), "pg_hba.conf does not let role \"only_plain\" in"),
        ("sslmode=require user=by_certificate".to_owned(), "pg_hba.conf does not let role \"by_certificate\" in"),
        ("sslmode=require user=by_md5 password=pw channel_binding=require".to_owned(), "not bound"),
        ("sslmode=disable user=by_scram password=pw channel_binding=require".to_owned(), "not bound"),
    ] {
        let advice = server.refusal(&pairs).await?.advice().to_string();
        assert!(advice.contains(what), "{pairs}: {advice}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_matters() -> Result<()> {
    let cluster = cluster_with(a_major(), options()).await?;
    let server = Secure { cluster, folder: tempfile::tempdir()? };
    for mode in ["disable", "allow", "prefer"] {
        assert!(!server.encrypted(&format!("sslmode={mode}")).await?, "{mode}");
    }
    let advice = server.refusal("sslmode=require").await?.advice().to_string();
    assert!(advice.contains("does not offer TLS"), "{advice}");
    Ok(())
}

on_every_major!(logins_are_bound_to_their_tls_session);

async fn logins_are_bound_to_their_tls_session(major: u32) -> Result<()> {
    let server = Secure::start(major).await?;
    for pairs in [
        "user=by_scram password=pw channel_binding=require",
        "user=by_scram password=pw channel_binding=prefer",
        "user=by_scram password=pw channel_binding=disable",
        "user=by_md5 password=pw",
    ] {
        assert!(server.encrypted(pairs).await.context(pairs)?);
    }
    Ok(())
}

#[tokio::test]
async fn a_login_is_bound_by_the_hash_that_signed_the_certificate() -> Result<()> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    let server = Secure::with(a_major(), &certificate.pem(), &key, &certificate.pem()).await?;
    let bound = format!("sslmode=verify-full user=by_scram password=pw channel_binding=require {}", server.root());
    assert!(server.encrypted(&bound).await?);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_trusted_as_it_is_needs_no_authority() -> Result<()> {
    for (valid, name) in [(true, "now"), (false, "no more")] {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if !valid {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let certificate = params.self_signed(&key)?;
        let server = Secure::with(a_major(), &certificate.pem(), &key, &certificate.pem()).await?;
        let pairs = format!("sslmode=verify-full {}", server.root());
        if valid {
            assert!(server.encrypted(&pairs).await.context(name)?);
        } else {
            let advice = server.refusal(&pairs).await?.advice().to_string();
            assert!(advice.contains("expired"), "{advice}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_is_a_login() -> Result<()> {
    let server = Secure::start(a_major()).await?;
    let files = |key: &Path| format!("sslcert={} sslkey={}", server.file("client.crt").display(), key.display());
    let key = server.file("client.key");
    let pairs = format!("sslmode=verify-full user=by_certificate {} {}", server.root(), files(&key));
    assert!(server.encrypted(&pairs).await?);
    // The defaults lie in the home folder, as libpq's do.
    let home = server.folder.path().join(".postgresql");
    std::fs::create_dir(&home)?;
    for (from, to) in [("root.crt", "root.crt"), ("client.crt", "postgresql.crt"), ("client.key", "postgresql.key")] {
        std::fs::copy(server.file(from), home.join(to))?;
    }
    let home = server.folder.path().display().to_string();
    let string = format!("host=localhost port={} user=by_certificate dbname=postgres sslmode=verify-full", server.cluster.port());
    let by_default = Target::resolve(Some(&string), |name| (name == "HOME").then(|| home.clone()))?;
    by_default.sql("test").await?.query_one("SELECT 1", &[]).await?;
    // A key that is none.
    let error = server.target(&format!("{} {}", server.root(), files(&server.file("root.crt")))).unwrap_err();
    assert!(error.to_string().contains("root.crt"), "{error}");
    Ok(())
}

#[tokio::test]
async fn tls_may_begin_at_once() -> Result<()> {
    // Servers know it from 17 on.
    let Some(major) = support::majors().into_iter().find(|major| *major >= 17) else { return Ok(()) };
    let server = Secure::start(major).await?;
    assert!(server.encrypted(&format!("sslmode=verify-full sslnegotiation=direct {}", server.root())).await?);
    Ok(())
}

#[test]
fn contradictions_are_refused_before_connecting() {
    for (pairs, what) in [
        ("host=h sslmode=verify-full", "needs trusted certificates"),
        ("host=h sslmode=verify-ca", "needs trusted certificates"),
        ("host=h sslmode=require sslrootcert=system", "verify-full"),
        ("host=h sslmode=prefer sslnegotiation=direct", "require or stronger"),
        ("host=h sslmode=require sslcert=/nowhere", "both sslcert and sslkey"),
        ("host=h sslmode=verify-ca sslrootcert=/nowhere", "/nowhere"),
        ("host=h sslmode=sometimes", "sslmode"),
        ("host=h sslcrl=/x", "sslcrl is not supported"),
    ] {
        let error = Target::resolve(Some(pairs), |_| None).map(drop).unwrap_err();
        assert!(error.to_string().contains(what), "{pairs}: {error}");
    }
}
