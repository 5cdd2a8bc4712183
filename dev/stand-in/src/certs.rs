//! Certificates for the stand-in, made anew by each process: X.509 (RFC 5280) in DER,
//! as much of it as a TLS test needs.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls::{SignatureScheme, SupportedProtocolVersion};

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

/// Year, month and day.
pub type Date = (u16, u8, u8);

/// What a certificate says.
#[derive(Clone)]
pub struct CertParams {
    pub common_name: String,
    /// Host names and IP addresses.
    pub names: Vec<String>,
    pub usage: Usage,
    pub not_before: Date,
    pub not_after: Date,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Usage {
    Ca,
    Server,
    Client,
}

impl CertParams {
    fn new(common_name: &str, usage: Usage) -> Self {
        CertParams {
            common_name: common_name.to_string(),
            names: Vec::new(),
            usage,
            not_before: (2000, 1, 1),
            not_after: (2100, 1, 1),
        }
    }
}

pub struct Ca {
    pub pem: String,
    name: String,
    key: Arc<dyn SigningKey>,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let key = signing_key(&new_key());
        let cert = certificate(&CertParams::new(name, Usage::Ca), &*key, name, &*key);
        Ca {
            pem: pem("CERTIFICATE", &cert),
            name: name.to_string(),
            key,
        }
    }

    /// A CA below this one, for chains with an intermediate.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_until(name, (2100, 1, 1))
    }

    pub fn intermediate_until(&self, name: &str, not_after: Date) -> Self {
        let key = new_key();
        let params = CertParams {
            not_after,
            ..CertParams::new(name, Usage::Ca)
        };
        Ca {
            pem: self.issue_for_key(params, &key).cert,
            name: name.to_string(),
            key: signing_key(&key),
        }
    }

    pub fn issue(&self, params: CertParams) -> Identity {
        self.issue_for_key(params, &new_key())
    }

    /// * `key`: PEM.
    pub fn issue_for_key(&self, params: CertParams, key: &str) -> Identity {
        let cert = certificate(&params, &*signing_key(key), &self.name, &*self.key);
        Identity {
            cert: pem("CERTIFICATE", &cert),
            key: key.to_string(),
        }
    }
}

/// An ECDSA key, P-256, in PKCS#8 as PEM.
fn new_key() -> String {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
    pem("PRIVATE KEY", key.expect("a key").as_ref())
}

fn signing_key(pem: &str) -> Arc<dyn SigningKey> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    any_supported_type(&key).expect("a key of a supported type")
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64"));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// A DER value: tag, length, contents.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let mut value = vec![tag];
    let length = contents.len().to_be_bytes();
    match contents.len() {
        0..=0x7f => value.push(contents.len() as u8),
        _ => {
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            value.push(0x80 | (length.len() - zeros) as u8);
            value.extend(&length[zeros..]);
        }
    }
    value.extend(contents);
    value
}

fn extension(id: &[u8], critical: bool, value: Vec<u8>) -> Vec<u8> {
    let critical = if critical {
        der(BOOLEAN, &[&[0xff]])
    } else {
        Vec::new() // the default is not written
    };
    let id = der(OBJECT_ID, &[id]);
    der(SEQUENCE, &[&id, &critical, &der(OCTET_STRING, &[&value])])
}

/// UTCTime until 2049, GeneralizedTime from then on, as RFC 5280 demands.
fn time((year, month, day): Date) -> Vec<u8> {
    let rest = format!("{month:02}{day:02}000000Z");
    if year < 2050 {
        der(UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()])
    } else {
        der(GENERALIZED_TIME, &[format!("{year}{rest}").as_bytes()])
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let value = der(UTF8_STRING, &[common_name.as_bytes()]);
    let attribute = der(SEQUENCE, &[&der(OBJECT_ID, &[COMMON_NAME]), &value]);
    der(SEQUENCE, &[&der(SET, &[&attribute])])
}

fn extensions(params: &CertParams) -> Vec<u8> {
    let mut all = match params.usage {
        Usage::Ca => vec![
            extension(
                BASIC_CONSTRAINTS,
                true,
                der(SEQUENCE, &[&der(BOOLEAN, &[&[0xff]])]),
            ),
            // keyCertSign and cRLSign; one bit is unused.
            extension(KEY_USAGE, true, der(BIT_STRING, &[&[1, 0b0000_0110]])),
        ],
        Usage::Server | Usage::Client => {
            let usage = if params.usage == Usage::Server {
                SERVER_AUTH
            } else {
                CLIENT_AUTH
            };
            let usages = der(SEQUENCE, &[&der(OBJECT_ID, &[usage])]);
            vec![extension(EXTENDED_KEY_USAGE, false, usages)]
        }
    };
    if !params.names.is_empty() {
        let names: Vec<Vec<u8>> = (params.names.iter())
            .map(|name| match name.parse() {
                Ok(IpAddr::V4(address)) => der(0x87, &[&address.octets()]),
                Ok(IpAddr::V6(address)) => der(0x87, &[&address.octets()]),
                Err(_) => der(0x82, &[name.as_bytes()]),
            })
            .collect();
        let names = der(SEQUENCE, &[&names.concat()]);
        all.push(extension(SUBJECT_ALT_NAME, false, names));
    }
    der(SEQUENCE, &[&all.concat()])
}

fn certificate(
    params: &CertParams,
    key: &dyn SigningKey,
    issuer: &str,
    issuer_key: &dyn SigningKey,
) -> Vec<u8> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).expect("randomness");
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and no shorter
    let algorithm = der(SEQUENCE, &[&der(OBJECT_ID, &[ECDSA_WITH_SHA256])]);
    let (not_before, not_after) = (time(params.not_before), time(params.not_after));
    let public_key = key.public_key().expect("a public key");
    let to_sign = der(
        SEQUENCE,
        &[
            &der(0xa0, &[&der(INTEGER, &[&[2]])]), // version 3
            &der(INTEGER, &[&serial]),
            &algorithm,
            &name(issuer),
            &der(SEQUENCE, &[&not_before, &not_after]),
            &name(&params.common_name),
            &public_key,
            &der(0xa3, &[&extensions(params)]),
        ],
    );
    let signer = issuer_key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
    let signature = signer.expect("a P-256 key").sign(&to_sign);
    let signature = der(BIT_STRING, &[&[0], &signature.expect("a signature")]);
    der(SEQUENCE, &[&to_sign, &algorithm, &signature])
}

pub fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| Ca::new("Stand-in CA"))
}

pub fn ca_pem() -> &'static str {
    &ca().pem
}

/// What a server's certificate for these names says.
pub fn server_params(names: &[&str]) -> CertParams {
    CertParams {
        names: names.iter().map(|name| name.to_string()).collect(),
        ..CertParams::new("Stand-in server", Usage::Server)
    }
}

pub fn client_params(name: &str) -> CertParams {
    CertParams::new(name, Usage::Client)
}

/// The server certificate that most tests use.
pub fn server() -> Identity {
    static SERVER: OnceLock<Identity> = OnceLock::new();
    SERVER
        .get_or_init(|| ca().issue(server_params(&["localhost", "127.0.0.1"])))
        .clone()
}

/// A server's TLS settings; `client_ca`: whose client certificates it requires.
pub fn server_config(identity: &Identity, client_ca: Option<&str>) -> Arc<ServerConfig> {
    versioned_config(identity, client_ca, rustls::ALL_VERSIONS)
}

pub fn versioned_config(
    identity: &Identity,
    client_ca: Option<&str>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("protocol versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("a CA"))
                .expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("a chain");
    // Unlike `with_single_cert`, this takes certificates that no client accepts.
    let identity = CertifiedKey::new(chain, signing_key(&identity.key));
    Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))
}

/// A TLS server for one connection, which it keeps.
pub struct TicketServer {
    pub address: SocketAddr,
    sent: Receiver<TcpStream>,
}

/// A server that sends this number of session tickets, and nothing else.
pub fn ticket_server(count: usize) -> TicketServer {
    let mut config = (*server_config(&server(), None)).clone();
    config.send_tls13_tickets = count;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, sent) = channel();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut tcp).unwrap();
        }
        tell.send(tcp).unwrap();
    });
    TicketServer { address, sent }
}

impl TicketServer {
    /// Waits for the last ticket; the connection stays open.
    pub fn wait_until_sent(&self) {
        std::mem::forget(self.sent.recv().unwrap());
    }
}
