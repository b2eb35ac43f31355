//! What moves a handshake on, and when.

/// What kind of handshake it is, as far as the table is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// The client has a pre-shared key.
    Psk,
    /// We show a certificate and ask for none.
    Unasked,
    /// We have asked for the client's certificate, and it has shown none so far.
    Asked,
    /// The client has shown a certificate or a raw public key, and must prove that it is its own.
    Shown,
}

/// What the server waits for. Before the cookie it waits for nothing: there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The caller says whether the session that the client offers may go on.
    Resumption,
    /// Our flight is out; the client's Certificate is due.
    Certificate,
    /// Our flight is out; the client's ClientKeyExchange is due.
    KeyExchange,
    /// The caller looks up the key.
    Psk,
    /// The same, and ChangeCipherSpec is in already: most clients send it in the same datagram.
    PskOnly,
    CertificateVerify,
    ChangeCipherSpec,
    Finished,
    Done,
}

/// What moves a handshake on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    ResumptionAllowed,
    ResumptionRefused,
    Certificate,
    ClientKeyExchange,
    PskProvided,
    CertificateVerify,
    ChangeCipherSpec,
    Finished,
}

impl Path {
    #[cfg(any(test, feature = "proof"))]
    pub const ALL: [Self; 4] = [Self::Psk, Self::Unasked, Self::Asked, Self::Shown];

    /// What is due once our flight is out.
    pub const fn first(self) -> Phase {
        match self {
            Self::Psk | Self::Unasked => Phase::KeyExchange,
            Self::Asked | Self::Shown => Phase::Certificate,
        }
    }
}

impl Phase {
    #[cfg(any(test, feature = "proof"))]
    pub const ALL: [Self; 9] = [
        Self::Resumption,
        Self::Certificate,
        Self::KeyExchange,
        Self::Psk,
        Self::PskOnly,
        Self::CertificateVerify,
        Self::ChangeCipherSpec,
        Self::Finished,
        Self::Done,
    ];

    /// The transition table (RFC 6347 figures 1 and 2, flight 5): the phase after `step`, or `None` if it has no place
    /// here. ChangeCipherSpec before the key exchange, or before the signature of a client that has shown a
    /// certificate, has none: neither keys nor proofs can be skipped.
    pub const fn after(self, step: Step, path: Path) -> Option<Self> {
        match (self, step, path) {
            (Self::Resumption, Step::ResumptionAllowed, _) => Some(Self::ChangeCipherSpec),
            (Self::Resumption, Step::ResumptionRefused, path) => Some(path.first()),
            (Self::Certificate, Step::Certificate, Path::Asked | Path::Shown) => Some(Self::KeyExchange),
            (Self::KeyExchange, Step::ClientKeyExchange, Path::Psk) => Some(Self::Psk),
            (Self::KeyExchange, Step::ClientKeyExchange, Path::Unasked | Path::Asked) => Some(Self::ChangeCipherSpec),
            (Self::KeyExchange, Step::ClientKeyExchange, Path::Shown) => Some(Self::CertificateVerify),
            (Self::CertificateVerify, Step::CertificateVerify, Path::Shown) => Some(Self::ChangeCipherSpec),
            (Self::Psk, Step::PskProvided, _) => Some(Self::ChangeCipherSpec),
            (Self::Psk, Step::ChangeCipherSpec, _) => Some(Self::PskOnly),
            (Self::PskOnly, Step::PskProvided, _) | (Self::ChangeCipherSpec, Step::ChangeCipherSpec, _) => {
                Some(Self::Finished)
            }
            (Self::Finished, Step::Finished, _) => Some(Self::Done),
            _ => None,
        }
    }

    /// Whether messages in the clear have a place.
    pub const fn reads_messages(self) -> bool {
        matches!(self, Self::Certificate | Self::KeyExchange | Self::CertificateVerify)
    }
}

impl Step {
    #[cfg(any(test, feature = "proof"))]
    pub const ALL: [Self; 8] = [
        Self::ResumptionAllowed,
        Self::ResumptionRefused,
        Self::Certificate,
        Self::ClientKeyExchange,
        Self::PskProvided,
        Self::CertificateVerify,
        Self::ChangeCipherSpec,
        Self::Finished,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// The whole table as text, so that a changed edge is a changed line.
    #[test]
    fn the_transition_table() {
        let edges = |path: Path| -> Vec<String> {
            let all = Phase::ALL.into_iter().flat_map(|phase| Step::ALL.map(move |step| (phase, step)));
            let edge = |(phase, step): (Phase, Step)| {
                let next = phase.after(step, path)?;
                Some(alloc::format!("{phase:?} --{step:?}--> {next:?}"))
            };
            all.filter_map(edge).collect()
        };
        let resumed = "Resumption --ResumptionAllowed--> ChangeCipherSpec";
        let end = [
            "Psk --PskProvided--> ChangeCipherSpec",
            "Psk --ChangeCipherSpec--> PskOnly",
            "PskOnly --PskProvided--> Finished",
            "ChangeCipherSpec --ChangeCipherSpec--> Finished",
            "Finished --Finished--> Done",
        ];
        let psk = [resumed, "Resumption --ResumptionRefused--> KeyExchange", "KeyExchange --ClientKeyExchange--> Psk"];
        assert_eq!(edges(Path::Psk), [&psk[..], &end].concat());
        let unasked = [
            resumed,
            "Resumption --ResumptionRefused--> KeyExchange",
            "KeyExchange --ClientKeyExchange--> ChangeCipherSpec",
        ];
        assert_eq!(edges(Path::Unasked), [&unasked[..], &end].concat());
        let asked = [
            resumed,
            "Resumption --ResumptionRefused--> Certificate",
            "Certificate --Certificate--> KeyExchange",
            "KeyExchange --ClientKeyExchange--> ChangeCipherSpec",
        ];
        assert_eq!(edges(Path::Asked), [&asked[..], &end].concat());
        let mut shown = [
            resumed,
            "Resumption --ResumptionRefused--> Certificate",
            "Certificate --Certificate--> KeyExchange",
            "KeyExchange --ClientKeyExchange--> CertificateVerify",
        ]
        .to_vec();
        shown.extend(&end[..3]);
        shown.push("CertificateVerify --CertificateVerify--> ChangeCipherSpec");
        shown.extend(&end[3..]);
        assert_eq!(edges(Path::Shown), shown);
    }

    #[test]
    fn nothing_but_the_key_exchange_and_the_proofs_lead_to_change_cipher_spec() {
        for path in Path::ALL {
            for phase in [Phase::Resumption, Phase::Certificate, Phase::KeyExchange, Phase::CertificateVerify] {
                assert_eq!(phase.after(Step::ChangeCipherSpec, path), None);
                assert_eq!(phase.after(Step::Finished, path), None);
            }
        }
    }
}
