//! Encryption as libpq's `sslmode` promises it, on rustls with the ring provider named explicitly.
//!
//! Promise: `verify-full` checks chain and host name, `verify-ca` the chain, `require` and `prefer`
//! encrypt without knowing whom they talk to (unless `sslrootcert` is given: then the chain is
//! checked, as libpq does). It relies on no process-wide provider. It does not connect: `postgres/tls.rs`
//! and `mysql/login.rs` do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use url::Url;

/// How a connection is encrypted, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Names and values of a URL's parameters that are not about encryption.
pub(crate) type OtherParameters = Vec<(String, String)>;

/// What a URL says about encryption.
#[derive(Clone, Debug)]
pub(crate) struct Encryption {
    pub(crate) ssl: SslMode,
    pub(crate) root_certificate: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Encryption {
    /// What a URL's parameters say, and the parameters that are about something else. Files are relative to
    /// `project_dir`.
    pub(crate) fn of(
        url: &Url,
        project_dir: &Path,
    ) -> Result<(Self, OtherParameters), &'static str> {
        let mut ssl = SslMode::Prefer;
        let (mut root, mut certificate, mut key) = (None, None, None);
        let mut rest = Vec::new();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "sslmode" => ssl = ssl_mode(&value).ok_or("names an unknown `sslmode`")?,
                "sslrootcert" => root = Some(project_dir.join(value.as_ref())),
                "sslcert" => certificate = Some(project_dir.join(value.as_ref())),
                "sslkey" => key = Some(project_dir.join(value.as_ref())),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        if certificate.is_some() != key.is_some() {
            return Err("names only one of `sslcert` and `sslkey`");
        }
        let encryption = Self {
            ssl,
            root_certificate: root,
            client_certificate: certificate.zip(key),
        };
        Ok((encryption, rest))
    }

    /// Why the server's certificate was not accepted, in words.
    pub(crate) fn refusal(&self, cause: &str) -> String {
        match self.ssl {
            SslMode::VerifyCa | SslMode::VerifyFull => {
                format!("its certificate was not accepted: {cause}")
            }
            _ => cause.to_owned(),
        }
    }
}

fn ssl_mode(word: &str) -> Option<SslMode> {
    Some(match word {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

/// The client's side; the error is a reason in words.
pub(crate) fn client_config(encryption: &Encryption) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(encryption, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((certificate, key)) = &encryption.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| {
            format!(
                "`{}` does not contain a PEM certificate",
                certificate.display()
            )
        })?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| format!("`{}` does not contain a PEM private key", key.display()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| error.to_string())
}

fn verifier(
    encryption: &Encryption,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let checked = match (encryption.ssl, &encryption.root_certificate) {
        (SslMode::VerifyCa | SslMode::VerifyFull, _) => true,
        (SslMode::Require, root) => root.is_some(),
        (SslMode::Disable | SslMode::Prefer, _) => false,
    };
    let provider = Arc::clone(provider);
    if !checked {
        return Ok(Arc::new(Verifier {
            provider,
            chain: None,
            pinned: Vec::new(),
            check_name: false,
        }));
    }
    let mut roots = RootCertStore::empty();
    let mut pinned = Vec::new();
    if let Some(file) = &encryption.root_certificate {
        pinned = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|_| {
                format!(
                    "`sslrootcert` `{}` does not contain a PEM certificate",
                    file.display()
                )
            })?;
        roots.add_parsable_certificates(pinned.iter().cloned());
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err("there is no root certificate to check the server's against".to_owned());
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| error.to_string())?;
    let check_name = encryption.ssl == SslMode::VerifyFull;
    Ok(Arc::new(Verifier {
        provider,
        chain: Some(chain),
        pinned,
        check_name,
    }))
}

/// Checks the chain if there is one to check, and the name if it is to be checked.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates trusted by themselves: a server's own self-signed one is often its `sslrootcert`.
    pinned: Vec<CertificateDer<'static>>,
    check_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            if self.check_name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_name => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
