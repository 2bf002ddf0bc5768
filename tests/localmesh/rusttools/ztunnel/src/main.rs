//! What ztunnel does with certificates, without ztunnel: `csr` writes its request, `verify` looks at an answer as it does.
//!
//!     ztunnel csr now|before SPIFFE_ID
//!     ztunnel verify SECONDS ANSWER PEER
//!
//! `verify` takes two answers (PEM files: leaf, chain, and last the root) and prints why somebody who was given PEER does not
//! accept who was given ANSWER, at that Unix time; nothing when he does. As in ztunnel's src/tls/certificate.rs and workload.rs: the
//! last certificate is the root, what stands before it the chain; each side may be client and server.

use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{anchor_from_trusted_cert, EndEntityCert, KeyUsage, ALL_VERIFICATION_ALGS};

macro_rules! request {
    ($rcgen:ident, $id:expr) => {{
        let key = $rcgen::KeyPair::generate_for(&$rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut wanted = $rcgen::CertificateParams::default();
        wanted.subject_alt_names = vec![$rcgen::SanType::URI($id.try_into().expect("ASCII"))];
        wanted.distinguished_name = $rcgen::DistinguishedName::new();
        wanted.serialize_request(&key).and_then(|csr| csr.pem()).expect("a request")
    }};
}

fn answer(file: &str) -> Vec<CertificateDer<'static>> {
    let text = fs::read(file).expect(file);
    CertificateDer::pem_slice_iter(&text).map(|one| one.expect("a certificate")).collect()
}

fn verify(seconds: u64, shown: &[CertificateDer<'_>], peer: &[CertificateDer<'_>]) -> Result<(), String> {
    let (Some((leaf, rest)), Some(root)) = (shown.split_first(), peer.last()) else {
        return Err("an answer is empty".to_string());
    };
    if rest.is_empty() || peer.len() < 2 {
        return Err("no root certificate present".to_string());
    }
    let between = &rest[..rest.len() - 1];
    let anchor = anchor_from_trusted_cert(root).map_err(|error| format!("root: {error:?}"))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let end = EndEntityCert::try_from(leaf).map_err(|error| format!("leaf: {error:?}"))?;
    for (name, usage) in [("server", KeyUsage::server_auth()), ("client", KeyUsage::client_auth())] {
        end.verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor.clone()], between, now, usage, None, None)
            .map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["csr", "now", id] => print!("{}", request!(rcgen, id)),
        ["csr", "before", id] => print!("{}", request!(rcgen_before, id)),
        ["verify", seconds, shown, peer] => {
            let at = seconds.parse().expect("seconds");
            if let Err(why) = verify(at, &answer(shown), &answer(peer)) {
                println!("{why}");
            }
        }
        _ => {
            eprintln!("usage: ztunnel csr now|before SPIFFE_ID, or ztunnel verify SECONDS ANSWER PEER");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
