//! How far the ways to other servers (mail, Redis, NATS, a collector of traces) are trusted.
//!
//! Owns the one list of authorities whose certificates count: the public ones, those of this machine,
//! and those of `STAGEDOOR_CA_FILE`; and the hosts that passwords may go to without TLS. Where an
//! address breaks that rule is decided where the address is read.

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

/// The authorities that are trusted besides the public ones, and the hosts that need none. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Of `STAGEDOOR_CA_FILE`.
    own: Arc<[CertificateDer<'static>]>,
    own_pem: Option<Arc<[u8]>>,
    /// In small letters.
    cleartext_hosts: Arc<[String]>,
}

/// The file of one's own authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthorities {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// There is no certificate in it, or one that is none.
    #[error("{0} must be a PEM file with the certificates of authorities")]
    NoCertificates(PathBuf),
}

impl Trust {
    /// With the authorities in a PEM file, if there is one, and these hosts in small letters.
    /// Errors: the file has no authorities, or something else in their place.
    pub fn new(
        ca_file: Option<&Path>,
        cleartext_hosts: Vec<String>,
    ) -> Result<Self, NoAuthorities> {
        let trust = Self {
            cleartext_hosts: cleartext_hosts.into(),
            ..Self::default()
        };
        let Some(path) = ca_file else {
            return Ok(trust);
        };
        let unreadable = |error| NoAuthorities::Unreadable(path.to_owned(), error);
        let pem = std::fs::read(path).map_err(unreadable)?;
        let none = || NoAuthorities::NoCertificates(path.to_owned());
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

    /// Whether a password may go to this host without TLS.
    pub fn allows_cleartext(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        is_this_machine(&host) || self.cleartext_hosts.contains(&host)
    }

    /// What is trusted besides the public authorities, as far as it can be read.
    pub fn besides_public(&self) -> Vec<CertificateDer<'static>> {
        let of_machine = rustls_native_certs::load_native_certs().certs;
        let all = of_machine.into_iter().chain(self.own.iter().cloned());
        all.filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
            .collect()
    }

    /// TLS as a client that shows no certificate of its own.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        roots.add_parsable_certificates(self.besides_public());
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A client of the Redis at `url`. With `rediss://` its certificate must come from one's own
    /// authorities if there are any, and else from a public one.
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

/// Whether a host is this machine's own, by its name or address.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
