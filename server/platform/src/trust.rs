//! TLS settings of connections to other servers: mail, Redis, NATS, trace collector.
//!
//! Owns the list of trusted certificate authorities (public ones, those of this machine, and those of
//! `STAGEDOOR_CA_FILE`), and the hosts to which passwords may be sent without TLS. Whether an address
//! violates that rule is checked where the address is read.

use async_nats::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use redis::{Client, IntoConnectionInfo, RedisError, TlsCertificates};
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The trusted authorities, and the hosts that need no TLS. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The certificates in `STAGEDOOR_CA_FILE`.
    own: Arc<[CertificateDer<'static>]>,
    own_pem: Option<Arc<[u8]>>,
    /// In lower case.
    cleartext_hosts: Arc<[String]>,
}

/// Why a file of certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It contains no certificate, or an invalid one.
    #[error("{0} must be a PEM file with the certificates of authorities")]
    NoCertificates(PathBuf),
}

impl Trust {
    /// Trusts the authorities in a PEM file, if given, besides the public ones. `cleartext_hosts` must be in
    /// lower case. Errors: the file cannot be read, or is no PEM file with certificates.
    pub fn new(ca_file: Option<&Path>, cleartext_hosts: Vec<String>) -> Result<Self, CaFileError> {
        let trust = Self {
            cleartext_hosts: cleartext_hosts.into(),
            ..Self::default()
        };
        let Some(path) = ca_file else {
            return Ok(trust);
        };
        let unreadable = |error| CaFileError::Unreadable(path.to_owned(), error);
        let pem = std::fs::read(path).map_err(unreadable)?;
        let none = || CaFileError::NoCertificates(path.to_owned());
        let own: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| none())?;
        let mut usable = RootCertStore::empty();
        let (added, ignored) = usable.add_parsable_certificates(own.iter().cloned());
        if added == 0 || ignored > 0 {
            return Err(none());
        }
        Ok(Self {
            own: own.into(),
            own_pem: Some(pem.into()),
            ..trust
        })
    }

    /// Whether passwords may be sent to this host without TLS.
    pub fn allows_cleartext(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        is_this_machine(&host) || self.cleartext_hosts.contains(&host)
    }

    /// The valid certificates of authorities that are trusted besides the public ones.
    pub fn additional_authorities(&self) -> Vec<CertificateDer<'static>> {
        let of_machine = rustls_native_certs::load_native_certs().certs;
        let all = of_machine.into_iter().chain(self.own.iter().cloned());
        all.filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
            .collect()
    }

    /// The configuration of a TLS client without a client certificate.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        roots.add_parsable_certificates(self.additional_authorities());
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A client of the Redis at `url`. With `rediss://`, the server's certificate must be issued by an
    /// authority of `STAGEDOOR_CA_FILE` if that is set, otherwise by a public one.
    pub fn redis(&self, url: &str) -> Result<Client, RedisError> {
        let info = url.into_connection_info()?;
        match &self.own_pem {
            Some(pem) if url.starts_with("rediss://") => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem.to_vec()),
                },
            ),
            _ => Client::open(info),
        }
    }
}

/// Whether a host name or address means this machine.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
