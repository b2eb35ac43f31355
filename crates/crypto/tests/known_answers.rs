//! Published vectors for every provider, and the providers against each other.
#![allow(clippy::unwrap_used, reason = "tests")]

use bartizan_crypto::{
    AWS_LC, Aead, Aes128Block, INSECURE, KeyAgreement, Provider, RUSTCRYPTO, Secret, SignatureAlgorithm,
};

const REAL: [&Provider; 2] = [&RUSTCRYPTO, &AWS_LC];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

/// SplitMix64, for inputs that both providers get.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn bytes(seed: &mut u64, length: usize) -> Vec<u8> {
    (0..length).map(|_| random(seed) as u8).collect()
}

#[test]
fn sha256_of_fips_180() {
    let expected = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for provider in REAL {
        assert_eq!((provider.sha256)(&[b"a", b"", b"bc"]).to_vec(), expected);
    }
}

#[test]
fn hmac_sha256_of_rfc_4231() {
    let cases = [
        (vec![0x0b; 20], b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for provider in REAL {
        for (key, data, expected) in &cases {
            let (head, tail) = data.split_at(5);
            assert_eq!((provider.hmac_sha256)(key, &[head, tail]).to_vec(), hex(expected));
        }
    }
}

#[test]
fn sha384_of_fips_180() {
    let expected = hex("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed
                        8086072ba1e7cc2358baeca134c825a7");
    for provider in REAL {
        assert_eq!((provider.sha384)(&[b"a", b"", b"bc"]).to_vec(), expected);
    }
}

#[test]
fn hmac_sha384_of_rfc_4231() {
    let cases = [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
    ];
    for provider in REAL {
        for (key, data, expected) in &cases {
            let (head, tail) = data.split_at(5);
            assert_eq!((provider.hmac_sha384)(key, &[head, tail]).to_vec(), hex(expected));
        }
    }
}

#[test]
fn sha512_of_fips_180() {
    let expected = hex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
                        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    for provider in REAL {
        assert_eq!((provider.sha512)(&[b"a", b"", b"bc"]).to_vec(), expected);
    }
}

#[test]
fn hmac_sha512_of_rfc_4231() {
    let expected = hex("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
                        9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    for provider in REAL {
        let mac = (provider.hmac_sha512)(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac.to_vec(), expected);
    }
}

/// The key and the signature over "sample" of RFC 6979 section A.2.6.
#[test]
fn ecdsa_p384_of_rfc_6979() {
    let public = hex(
        "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13
                      8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
    );
    let signature = hex("306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd
                         1e80fabe46023100 99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679
                         e7b82c71a38628ac8");
    let verify = AWS_LC.ecdsa_p384_sha384_verify;
    assert_eq!(verify(&public, b"sample", &signature), Ok(()));
    assert!(verify(&public, b"simple", &signature).is_err());
    assert!(verify(&public[..96], b"sample", &signature).is_err());
    assert!((RUSTCRYPTO.ecdsa_p384_sha384_verify)(&public, b"sample", &signature).is_err(), "it has no P-384");
}

struct Sealed {
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    plain: &'static str,
    sealed: &'static str,
}

fn check(name: &str, aead: &Aead, vector: &Sealed) {
    let (key, nonce, aad) = (hex(vector.key), array(vector.nonce), hex(vector.aad));
    let mut buffer = hex(vector.plain);
    let length = buffer.len();
    buffer.resize(length + aead.tag_len, 0);
    (aead.seal)(&key, &nonce, &aad, &mut buffer).unwrap();
    assert_eq!(buffer, hex(vector.sealed), "{name}");
    (aead.open)(&key, &nonce, &aad, &mut buffer).unwrap();
    assert_eq!(buffer[..length], hex(vector.plain), "{name}");
}

#[test]
fn aes_128_ccm_8_of_sp_800_38c_example_3() {
    let vector = Sealed {
        key: "404142434445464748494a4b4c4d4e4f",
        nonce: "101112131415161718191a1b",
        aad: "000102030405060708090a0b0c0d0e0f10111213",
        plain: "202122232425262728292a2b2c2d2e2f3031323334353637",
        sealed: "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951",
    };
    for provider in REAL {
        check(provider.name, &provider.aes_128_ccm_8, &vector);
    }
}

#[test]
fn aes_128_gcm_of_the_gcm_specification_case_4() {
    let vector = Sealed {
        key: "feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                 21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091
                 5bc94fbc3221a5db94fae95ae7121a47",
    };
    for provider in REAL {
        check(provider.name, &provider.aes_128_gcm, &vector);
    }
}

/// No standard prints a 16-byte tag with a 12-byte nonce: the tag is what OpenSSL makes of example 3.
#[test]
fn aes_128_ccm_of_sp_800_38c_example_3_with_a_long_tag() {
    let vector = Sealed {
        key: "404142434445464748494a4b4c4d4e4f",
        nonce: "101112131415161718191a1b",
        aad: "000102030405060708090a0b0c0d0e0f10111213",
        plain: "202122232425262728292a2b2c2d2e2f3031323334353637",
        sealed: "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 c87ae488918de93f17dd3e4934347f44",
    };
    for provider in REAL {
        check(provider.name, &provider.aes_128_ccm, &vector);
    }
}

#[test]
fn aes_256_gcm_of_the_gcm_specification_case_16() {
    let vector = Sealed {
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
                 76fc6ece0f4e1768cddf8853bb2d551b",
    };
    for provider in REAL {
        check(provider.name, &provider.aes_256_gcm, &vector);
    }
}

#[test]
fn aes_masks_are_the_blocks_of_fips_197() {
    let block = array("00112233445566778899aabbccddeeff");
    let short = hex("000102030405060708090a0b0c0d0e0f");
    let long = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    for provider in REAL {
        for aead in [&provider.aes_128_ccm_8, &provider.aes_128_ccm, &provider.aes_128_gcm] {
            assert_eq!((aead.mask)(&short, &block), Some(array("69c4e0d86a7b0430d8cdb78070b4c55a")));
            assert_eq!((aead.mask)(&long, &block), None);
        }
        let mask = provider.aes_256_gcm.mask;
        assert_eq!(mask(&long, &block), Some(array("8ea2b7ca516745bfeafc49904b496089")));
        assert_eq!(mask(&short, &block), None);
    }
}

#[test]
fn the_chacha20_mask_of_rfc_9001_appendix_a_5() {
    let key = hex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4");
    let sample = array("5e5cd55c41f69080575d7999c25a5bfb");
    for provider in REAL {
        let mask = (provider.chacha20_poly1305.mask)(&key, &sample).unwrap();
        assert_eq!(mask[..5], hex("aefefe7d03"));
        assert_eq!((provider.chacha20_poly1305.mask)(&key[1..], &sample), None);
    }
}

#[test]
fn the_bare_block_of_fips_197() {
    let cipher = Aes128Block::new(&array("000102030405060708090a0b0c0d0e0f"));
    let plain = array("00112233445566778899aabbccddeeff");
    let mut block = plain;
    cipher.encrypt(&mut block);
    assert_eq!(block, array("69c4e0d86a7b0430d8cdb78070b4c55a"));
    cipher.decrypt(&mut block);
    assert_eq!(block, plain);
}

/// The public half, the published signature, and that a signature of our own verifies under no other condition.
fn check_signatures(algorithm: &SignatureAlgorithm, private: &str, public: &str, message: &[u8], signature: &[u8]) {
    let private = Secret::new(array(private));
    let key = (algorithm.public)(&private).unwrap();
    assert_eq!(key.as_slice(), hex(public));
    (algorithm.verify)(key.as_slice(), message, signature).unwrap();
    let mut seed = 9;
    let mut source = |out: &mut [u8]| out.copy_from_slice(&bytes(&mut seed, out.len()));
    let own = (algorithm.sign)(&private, &mut source, message).unwrap();
    (algorithm.verify)(key.as_slice(), message, own.as_slice()).unwrap();
    for (key, message, signature) in [
        (key.as_slice(), &b"other"[..], signature),
        (key.as_slice(), message, &signature[1..]),
        (key.as_slice(), message, &[signature, &[0]].concat()),
        (key.as_slice(), message, &[]),
        (&key.as_slice()[1..], message, signature),
    ] {
        assert!((algorithm.verify)(key, message, signature).is_err());
    }
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!((algorithm.verify)(key.as_slice(), message, &changed).is_err(), "bit {bit}");
    }
}

#[test]
fn ecdsa_p256_of_rfc_6979_appendix_a_2_5() {
    let signature = hex("3046
        022100 efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
        022100 f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    for provider in REAL {
        check_signatures(
            &provider.ecdsa_p256_sha256,
            "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
             7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            b"sample",
            &signature,
        );
        let zero = Secret::new([0; 32]);
        assert!((provider.ecdsa_p256_sha256.public)(&zero).is_none());
        assert!((provider.ecdsa_p256_sha256.sign)(&zero, &mut |_: &mut [u8]| (), b"").is_none());
    }
}

#[test]
fn ed25519_of_rfc_8032_section_7_1() {
    let signature = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    for provider in REAL {
        check_signatures(
            &provider.ed25519,
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            &signature,
        );
    }
}

#[test]
fn ml_kem_768_across_providers_and_its_implicit_rejection() {
    let mut seed = 3;
    for (ours, theirs) in [(&RUSTCRYPTO, &AWS_LC), (&AWS_LC, &RUSTCRYPTO), (&RUSTCRYPTO, &RUSTCRYPTO)] {
        let mut source = |out: &mut [u8]| out.copy_from_slice(&bytes(&mut seed, out.len()));
        let pair = (ours.ml_kem_768.generate)(&mut source);
        let (ciphertext, secret) = (theirs.ml_kem_768.encapsulate)(&mut source, &pair.public).unwrap();
        assert_eq!((ours.ml_kem_768.decapsulate)(&pair.private, &ciphertext), Some(secret.clone()));
        let mut forged = ciphertext;
        forged[7] ^= 1;
        let rejected = (ours.ml_kem_768.decapsulate)(&pair.private, &forged).unwrap();
        assert!(rejected != secret, "a secret that nobody has");
        assert_eq!((theirs.ml_kem_768.decapsulate)(&pair.private, &forged), Some(rejected), "the same one every time");
        assert!((ours.ml_kem_768.decapsulate)(&pair.private, &ciphertext[1..]).is_none());
        assert!((theirs.ml_kem_768.encapsulate)(&mut source, &pair.public[1..]).is_none());
        // FIPS 203 section 7.2: coefficients must be below the modulus.
        assert!((theirs.ml_kem_768.encapsulate)(&mut source, &[0xFF; 1184]).is_none());
    }
}

#[test]
fn chacha20_poly1305_of_rfc_8439_section_2_8_2() {
    let vector = Sealed {
        key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        aad: "50515253c0c1c2c3c4c5c6c7",
        plain: "4c616469657320616e642047656e746c656d656e206f662074686520636c6173
                73206f66202739393a204966204920636f756c64206f6666657220796f75206f
                6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73
                637265656e20776f756c642062652069742e",
        sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
                 3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
                 92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
                 3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    };
    for provider in REAL {
        check(provider.name, &provider.chacha20_poly1305, &vector);
    }
}

/// What the peer's share and the own private key come to, and the own share that was sent.
fn check_agreement(agreement: &KeyAgreement, private: &str, public: Option<&str>, peer: &str, shared: &str) {
    let bytes = hex(private);
    let mut source = |out: &mut [u8]| out.copy_from_slice(&bytes);
    let pair = (agreement.generate)(&mut source);
    if let Some(public) = public {
        assert_eq!(pair.public.as_slice(), hex(public));
    }
    assert_eq!(pair.public.as_slice().len(), agreement.public_len);
    let secret = (agreement.agree)(&pair.private, &hex(peer)).unwrap();
    assert_eq!(secret.expose().to_vec(), hex(shared));
}

#[test]
fn x25519_of_rfc_7748() {
    let nine = "0900000000000000000000000000000000000000000000000000000000000000";
    let once = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
    for provider in REAL {
        check_agreement(&provider.x25519, nine, None, nine, once);
        check_agreement(
            &provider.x25519,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            Some("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        );
    }
}

#[test]
fn p256_of_the_nist_cavs_file() {
    for provider in REAL {
        check_agreement(
            &provider.secp256r1,
            "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
            Some(
                "04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b230
                 28af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141",
            ),
            "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287
             db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
            "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
        );
    }
}

#[test]
fn bad_shares_are_refused() {
    let private = Secret::new([7; 32]);
    let point = hex("04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287
         db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac");
    for provider in REAL {
        let (x25519, p256) = (provider.x25519.agree, provider.secp256r1.agree);
        assert!(x25519(&private, &[0; 32]).is_none(), "small order");
        assert!(x25519(&private, &[9; 31]).is_none());
        assert!(p256(&private, &point).is_some());
        for bad in [&point[..64], &[&[2], &point[1..33]].concat(), &[], &[0]] {
            assert!(p256(&private, bad).is_none(), "{} {bad:02x?}", provider.name);
        }
        let mut off_curve = point.clone();
        off_curve[64] ^= 1;
        assert!(p256(&private, &off_curve).is_none());
    }
}

#[test]
fn providers_agree_on_everything() {
    let mut seed = 5;
    for round in 0..64 {
        let (key, data) = (bytes(&mut seed, round), bytes(&mut seed, round * 3));
        assert_eq!((RUSTCRYPTO.sha256)(&[&data]), (AWS_LC.sha256)(&[&data]));
        let macs = REAL.map(|provider| (provider.hmac_sha256)(&key, &[&data]));
        assert_eq!(macs[0], macs[1]);
        assert_eq!((RUSTCRYPTO.sha384)(&[&data]), (AWS_LC.sha384)(&[&data]));
        assert_eq!((RUSTCRYPTO.sha512)(&[&data]), (AWS_LC.sha512)(&[&data]));
        let macs = REAL.map(|provider| (provider.hmac_sha512)(&key, &[&data]));
        assert_eq!(macs[0], macs[1]);
        let macs = REAL.map(|provider| (provider.hmac_sha384)(&key, &[&data]));
        assert_eq!(macs[0], macs[1]);
        for aeads in aeads() {
            let key = bytes(&mut seed, aeads[0].key_len);
            let nonce: [u8; 12] = bytes(&mut seed, 12).try_into().unwrap();
            let mut sealed = data.clone();
            sealed.resize(data.len() + aeads[0].tag_len, 0);
            (aeads[0].seal)(&key, &nonce, b"aad", &mut sealed).unwrap();
            (aeads[1].open)(&key, &nonce, b"aad", &mut sealed).unwrap();
            assert_eq!(sealed[..data.len()], data);
            let sample = nonce.iter().chain(&nonce).copied().take(16).collect::<Vec<_>>().try_into().unwrap();
            assert_eq!((aeads[0].mask)(&key, &sample), (aeads[1].mask)(&key, &sample));
        }
        for algorithms in [REAL.map(|one| &one.ecdsa_p256_sha256), REAL.map(|one| &one.ed25519)] {
            let private = Secret::new(bytes(&mut seed, 32).try_into().unwrap());
            let keys = algorithms.map(|one| (one.public)(&private).unwrap());
            assert_eq!(keys[0], keys[1]);
            let mut source = |out: &mut [u8]| out.copy_from_slice(&bytes(&mut seed, out.len()));
            for (signer, verifier) in [(0, 1), (1, 0)] {
                let signature = (algorithms[signer].sign)(&private, &mut source, &data).unwrap();
                (algorithms[verifier].verify)(keys[0].as_slice(), &data, signature.as_slice()).unwrap();
            }
        }
        for agreements in [REAL.map(|one| &one.x25519), REAL.map(|one| &one.secp256r1)] {
            let mut source = |out: &mut [u8]| out.copy_from_slice(&bytes(&mut seed, out.len()));
            let ours = (agreements[0].generate)(&mut source);
            let theirs = (agreements[1].generate)(&mut source);
            let one = (agreements[0].agree)(&ours.private, theirs.public.as_slice());
            let other = (agreements[1].agree)(&theirs.private, ours.public.as_slice());
            assert!(one.is_some() && one == other);
        }
    }
}

fn aeads() -> [[&'static Aead; 2]; 5] {
    [
        REAL.map(|provider| &provider.aes_128_ccm_8),
        REAL.map(|provider| &provider.aes_128_ccm),
        REAL.map(|provider| &provider.aes_128_gcm),
        REAL.map(|provider| &provider.aes_256_gcm),
        REAL.map(|provider| &provider.chacha20_poly1305),
    ]
}

#[test]
fn forgeries_and_misuse_are_errors() {
    for provider in REAL.into_iter().chain([&INSECURE]) {
        for aead in [
            &provider.aes_128_ccm_8,
            &provider.aes_128_ccm,
            &provider.aes_128_gcm,
            &provider.aes_256_gcm,
            &provider.chacha20_poly1305,
        ] {
            let (key, nonce) = (vec![1; aead.key_len], [2; 12]);
            let mut sealed = vec![3; 20 + aead.tag_len];
            (aead.seal)(&key, &nonce, b"", &mut sealed).unwrap();
            *sealed.last_mut().unwrap() ^= 1;
            assert!((aead.open)(&key, &nonce, b"", &mut sealed).is_err());
            assert!((aead.open)(&key, &nonce, b"", &mut [0; 7]).is_err(), "shorter than a tag");
            assert!((aead.seal)(&key, &nonce, b"", &mut [0; 7]).is_none());
            assert!((aead.seal)(&key[1..], &nonce, b"", &mut [0; 40]).is_none(), "a short key");
        }
    }
}
