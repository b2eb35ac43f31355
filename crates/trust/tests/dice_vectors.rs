//! Chains and certificates that nobody here made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_trust::cbor::Strict;
use bartizan_trust::der::{self, Reader};
use bartizan_trust::dice::{self, Chain, tcb};
use bartizan_trust::evidence::{Digest, HashAlgorithm, Mode, Profile};
use bartizan_trust::x509::{Certificate, Cmw};
use bartizan_trust::{Error, PublicKey};
use common::{NOW, build, input, public, read, vectors};

fn x509(certificates: &[Vec<u8>], root: Option<&PublicKey>) -> Result<Chain, Error> {
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    dice::x509::verify(&AWS_LC, &certificates, root, NOW)
}

fn sha512(bytes: &[u8]) -> Digest {
    Digest { algorithm: HashAlgorithm::Sha512, bytes: bytes.to_vec() }
}

/// The inputs of open-dice's known answers.
fn assert_inputs(chain: &Chain, case: &str) {
    let [layer] = &chain.layers[..] else { panic!("{case}: {} layers", chain.layers.len()) };
    assert_eq!(layer.mode, Mode::NotConfigured, "{case}");
    let config = match case {
        "ZeroInput" => vec![0; 64],
        "HashOnlyInput" => input::<64>("inline_config").to_vec(),
        _ => input::<40>("config_desc").to_vec(),
    };
    assert_eq!(layer.config, Some(sha512(&(RUSTCRYPTO.sha512)(&[&config]))), "{case}");
    if case == "ZeroInput" {
        assert_eq!(layer.digests, [sha512(&[0; 64])]);
        assert_eq!(layer.authority, Some(sha512(&[0; 64])));
    } else {
        assert_eq!(layer.digests, [sha512(&input::<64>("code_hash"))], "{case}");
        assert_eq!(layer.authority, Some(sha512(&input::<64>("authority_hash"))), "{case}");
    }
}

#[test]
fn open_dice_known_answers() {
    let Some(folder) = vectors("open-dice") else { return };
    for case in ["ZeroInput", "HashOnlyInput", "DescriptorInput"] {
        let cdi = if case == "ZeroInput" { [0; 32] } else { input("cdi_attest") };
        let next: [u8; 32] = read(&folder, &format!("kExpectedCdiAttest_{case}.bin")).try_into().unwrap();
        for (form, p256) in [("Ed25519Cert_", false), ("Ed25519Cert_Android", false), ("P256Cert_", true)] {
            let file = format!("kExpectedCbor{form}{case}.cbor");
            if form == "Ed25519Cert_" && case == "DescriptorInput" {
                continue; // not published there
            }
            let root = public(&cdi, p256);
            let chain = build::array(&[build::cose_key(&root), read(&folder, &file)]);
            let chain = dice::cbor::verify(&AWS_LC, Strict::new(&chain).unwrap());
            let chain = chain.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!((chain.profile, chain.leaf), (Profile::OpenDiceCbor, public(&next, p256)), "{file}");
            assert_eq!(chain.identity, root.thumbprint(&RUSTCRYPTO));
            assert_inputs(&chain, case);
        }
        for (form, p256) in [("Ed25519", false), ("P256", true)] {
            let file = format!("kExpectedX509{form}Cert_{case}.der");
            let root = public(&cdi, p256);
            let chain = x509(&[read(&folder, &file)], Some(&root)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!((chain.profile, chain.leaf), (Profile::OpenDiceX509, public(&next, p256)), "{file}");
            assert_inputs(&chain, case);
            let other = public(&[1; 32], p256);
            assert!(matches!(x509(&[read(&folder, &file)], Some(&other)), Err(Error::Untrusted(_))), "{file}");
            assert!(matches!(x509(&[read(&folder, &file)], None), Err(Error::Untrusted(_))), "{file}");
        }
    }
}

#[test]
fn veraison_chains_of_eight() {
    let Some(folder) = vectors("veraison-dice") else { return };
    let all = |form: &str| -> Vec<Vec<u8>> {
        let numbered = (0..7).map(|number| format!("open/_{form}_Ed25519_cert_full_cert_chain_{number}.cert"));
        std::iter::once(format!("open/_{form}_Ed25519_uds_cert.cert"))
            .chain(numbered)
            .map(|file| read(&folder, &file))
            .collect()
    };
    let uds = public(&[0; 32], false);

    let certificates = all("X509");
    let chain = x509(&certificates, None).unwrap();
    assert_eq!(x509(&certificates, Some(&uds)), Ok(chain.clone()));
    assert_eq!(x509(&certificates[1..], Some(&uds)), Ok(chain.clone()));
    assert_eq!((chain.profile, chain.layers.len()), (Profile::OpenDiceX509, 7));
    assert_eq!(chain.identity, uds.thumbprint(&RUSTCRYPTO));
    assert!(chain.layers.iter().all(|layer| layer.mode == Mode::Normal));

    let certificates = all("CBOR");
    let verify = |items: &[Vec<u8>]| dice::cbor::verify(&AWS_LC, Strict::new(&build::array(items)).unwrap());
    let in_cbor = verify(&certificates).unwrap();
    assert_eq!((in_cbor.identity, in_cbor.leaf, &in_cbor.layers), (chain.identity, chain.leaf, &chain.layers));
    let mut bare = certificates.clone();
    bare[0] = build::cose_key(&uds);
    assert_eq!(verify(&bare), Ok(in_cbor));

    for missing in 0..7 {
        let mut fewer = bare.clone();
        fewer.remove(missing);
        assert!(verify(&fewer).is_err(), "without {missing}");
        let mut fewer = all("X509");
        fewer.remove(missing);
        assert!(x509(&fewer, None).is_err(), "without {missing}");
        assert!(x509(&fewer, Some(&uds)).is_err() || missing == 0, "without {missing}");
    }
}

#[test]
fn the_legacy_riot_extension_is_known_and_refused() {
    let Some(folder) = vectors("veraison-dice") else { return };
    let bytes = read(&folder, "tcg/riot-ext.der");
    let explicit = Reader::only(Reader::only(&bytes, der::SEQUENCE).unwrap(), 0xA0).unwrap();
    let mut parts = Reader::new(explicit);
    assert_eq!(parts.take(der::OBJECT).unwrap(), build::TCB_INFO);
    let legacy = parts.element().unwrap().whole;
    assert!(matches!(tcb::read(legacy), Err(Error::Unsupported(text)) if text.contains("RIoT")));

    let [root, leaf] = [1, 2].map(|number| build::Pair::new(number, true));
    let first = build::Draft::authority(&root.public(), &root.public(), vec![]).signed(&root);
    let certificate = |info: Vec<u8>| build::Draft::leaf(&root.public(), &leaf.public(), vec![info]).signed(&root);
    for critical in [false, true] {
        let certificates = [first.clone(), certificate(build::extension(build::TCB_INFO, critical, legacy))];
        assert!(matches!(x509(&certificates, None), Err(Error::Unsupported(text)) if text.contains("RIoT")));
    }
    assert!(x509(&[first.clone(), certificate(build::tcb_info(1, 1, &[0]))], None).is_ok());
}

#[test]
fn caliptra_from_idevid_to_fmc() {
    let Some(folder) = vectors("caliptra") else { return };
    let csr = read(&folder, "idevid_csr_ecc.der");
    let mut outer = Reader::new(Reader::only(&csr, der::SEQUENCE).unwrap());
    let request = outer.element().unwrap();
    outer.element().unwrap();
    let signature = der::whole_bytes(outer.take(der::BIT_STRING).unwrap()).unwrap();
    let mut inner = Reader::new(request.value);
    inner.take(der::INTEGER).unwrap();
    inner.element().unwrap();
    let idevid = PublicKey::from_spki(inner.element().unwrap().whole).unwrap();
    assert!(matches!(idevid, PublicKey::P384(_)));
    idevid.verify_der(&AWS_LC, request.whole, signature).unwrap();
    // COSE's form of the same signature.
    let mut numbers = Reader::new(Reader::only(signature, der::SEQUENCE).unwrap());
    let mut number = || {
        let bytes = numbers.take(der::INTEGER).unwrap();
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        [&vec![0; 48 - bytes.len()][..], bytes].concat()
    };
    let mut side_by_side = [number(), number()].concat();
    idevid.verify(&AWS_LC, request.whole, &side_by_side).unwrap();
    assert!(matches!(idevid.verify(&AWS_LC, request.whole, &side_by_side[..95]), Err(Error::Malformed(_))));
    side_by_side[95] ^= 1;
    assert!(matches!(idevid.verify(&AWS_LC, request.whole, &side_by_side), Err(Error::Untrusted(_))));

    let certificates = ["ldevid_cert_ecc.der", "fmc_alias_cert_ecc.der"].map(|file| read(&folder, file));
    let ldevid = Certificate::read(&certificates[0]).unwrap();
    ldevid.verify(&AWS_LC, &idevid).unwrap();
    let fmc = Certificate::read(&certificates[1]).unwrap();
    fmc.verify(&AWS_LC, &ldevid.key().unwrap()).unwrap();
    assert!(fmc.verify(&AWS_LC, &idevid).is_err());

    // The two were published for different versions: the names do not chain, though the signatures do.
    assert_ne!(ldevid.subject, fmc.issuer);
    assert!(matches!(x509(&certificates, Some(&idevid)), Err(Error::Misbehaved(_))));
    let key = ldevid.key().unwrap();
    let chain = x509(&certificates[1..], Some(&key)).unwrap();
    assert_eq!((chain.profile, chain.layers.len()), (Profile::TcgDice, 2));
    assert_eq!(chain.leaf, fmc.key().unwrap());
    let [device, fmc] = &chain.layers[..] else { panic!("two layers") };
    assert_eq!((device.component.as_deref(), fmc.component.as_deref()), (Some("DEVICE_INFO"), Some("FMC_INFO")));
    assert_eq!((device.security_version, fmc.security_version), (Some(0x107), Some(0x109)));
    assert_eq!((device.mode, fmc.mode), (Mode::Normal, Mode::Normal));
    assert!(chain.layers.iter().all(|layer| layer.digests[0].algorithm == HashAlgorithm::Sha384));

    // A key that says it is the device's identity signs no evidence.
    assert!(matches!(x509(&certificates[..1], Some(&idevid)), Err(Error::Misbehaved(_))));
    let redacted = read(&folder, "rt_alias_cert_redacted.der");
    assert!(x509(&[redacted], Some(&key)).is_err());
    for file in ["ldevid_cert_mldsa.der", "fmc_alias_cert_mldsa.der"] {
        assert!(x509(&[read(&folder, file)], Some(&key)).is_err(), "{file}");
    }
}

#[test]
fn oxide_certificates_decode_and_did_not_sign_each_other() {
    let Some(folder) = vectors("oxide-dice-util") else { return };
    let files = ["ca.cert.der", "alias.cert.der"].map(|file| read(&folder, file));
    let [authority, alias] = files.each_ref().map(|bytes| Certificate::read(bytes).unwrap());
    let [authority_key, alias_key] = [authority.key().unwrap(), alias.key().unwrap()];
    assert_eq!(authority.verify(&AWS_LC, &authority_key), Ok(()));
    assert!(alias.verify(&AWS_LC, &authority_key).is_err());
    assert!(authority.verify(&AWS_LC, &alias_key).is_err());
    assert_ne!(alias.issuer, authority.subject);
    assert!(matches!(x509(&files, None), Err(Error::Misbehaved(_))));

    let info = alias.extensions().map(Result::unwrap).find(|extension| extension.name == build::TCB_INFO).unwrap();
    let info = tcb::read(info.value).unwrap();
    assert_eq!(info.layer.digests, [Digest { algorithm: HashAlgorithm::Sha3_256, bytes: vec![0; 32] }]);
}

#[test]
fn conceptual_messages_in_certificates() {
    let Some(folder) = vectors("cmw") else { return };
    let bytes = read(&folder, "x509-cert+cbor-cmw.der");
    let certificate = Certificate::read(&bytes).unwrap();
    let Some(Cmw::Cbor(message)) = certificate.cmw().unwrap() else { panic!("CBOR") };
    assert!(Strict::new(message).unwrap().map().is_some());
    assert!(matches!(certificate.key(), Err(Error::Unsupported(_))), "RSA");
    let bytes = read(&folder, "x509-cert+json-cmw.der");
    let message = Certificate::read(&bytes).unwrap().cmw().unwrap();
    assert!(matches!(message, Some(Cmw::Json(text)) if text.contains("application/vnd.a")));
}
