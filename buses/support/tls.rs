//! TLS for the tests of those buses that take a configuration of rustls.

use crate::support::Folder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// A configuration that trusts the authority of a folder, and has the folder's certificate as its own.
pub(crate) fn own_tls(folder: &Folder) -> Arc<rustls::ClientConfig> {
    let file = |name: &str| folder.0.join(name);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let own = CertificateDer::from_pem_file(file("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_client_auth_cert(vec![own], key).unwrap())
}
