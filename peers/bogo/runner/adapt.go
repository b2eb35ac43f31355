package runner

// Added to the copy of BoringSSL's runner that Bartizan's tests build, which calls adapt before each case.
//
// Where a case leaves a credential open, the runner takes RSA, and where it names a suite only for the sake of naming
// one, ECDHE_RSA. Neither is spoken here, so the open credential becomes P-256, or a pre-shared key if BOGO_CREDENTIAL
// says "psk". Cases that are about a credential, a suite or DTLS 1.0 are left as they are.
//
// The PSK suites of the cases about identity hints are of CBC and become one that is not.
//
// Our records of DTLS 1.3 have the shortest header that RFC 9147 section 4 allows where the runner wants BoringSSL's, of
// 16 bits each for number and length; readShortHeader reads them.
//
// A client that offers both versions asks for no session that can be resumed, so in cases that resume DTLS 1.2 ours
// offers that alone.
//
// A server of ours knows no anonymous clients of DTLS 1.3, so the runner's client has a certificate where a case does
// not say otherwise. Where the runner takes P-384 to force a HelloRetryRequest, it takes P-256, which does the same.
//
// The runner's client shows keys of all its groups at once, hybrids too, so that its first ClientHello comes in
// fragments. A server of ours keeps none of them, so where a case leaves the groups open there are no hybrids.
//
// Cases that resume only to go over the second handshake too do not resume with pre-shared keys, since there are no
// tickets where there is a key already, nor in DTLS 1.3, of which we issue and keep no tickets.

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
)

const adaptedKey = "sixteen bytes ok"

// The runner's retransmission schedule is BoringSSL's, which gives up at the 13th timeout; ours does at the 7th.
const timeoutsMax = 7

func init() {
	timeouts = timeouts[:timeoutsMax]
	shortTimeouts = shortTimeouts[:timeoutsMax]
}

var usePSK = os.Getenv("BOGO_CREDENTIAL") == "psk"

var ecdsaForRSA = map[uint16]uint16{
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:       TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:       TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
}

// adapt gives test, a copy of a case, a credential that the shim's stack has, and says whether it had to.
func adapt(test *testCase) bool {
	if test.protocol != dtls {
		return false
	}
	withoutResumption := resumesOnlyToGoOverIt(test)
	if withoutResumption {
		test.resumeSession = false
	}
	withoutHybrids := false
	for _, config := range []*Config{&test.config, test.resumeConfig} {
		if config != nil && test.testType == serverTest && offersDTLS13(config) && len(config.CurvePreferences) == 0 {
			withoutHybrids = true
			config.CurvePreferences = []CurveID{CurveX25519, CurveP256, CurveP384, CurveP521}
			if config.DefaultCurves == nil {
				config.DefaultCurves = []CurveID{CurveX25519}
			}
		}
	}
	offers12 := test.testType == clientTest && resumesDTLS12(test)
	if offers12 {
		test.flags = append(slices.Clone(test.flags), "-max-version", strconv.Itoa(VersionDTLS12))
	}
	withP256 := slices.Equal(test.config.CurvePreferences, []CurveID{CurveP384})
	if withP256 {
		test.config.CurvePreferences = []CurveID{CurveP256}
	}
	return adaptCredential(test) || withoutResumption || withoutHybrids || offers12 || withP256
}

// showsClient gives the runner's client a certificate and has the shim ask for it, unless a case is about that.
func showsClient(test *testCase) {
	if isDTLS13(test) && test.config.Credential == nil && !isAboutCertificates(test) {
		test.config.Credential = &ecdsaP256Certificate
		test.flags = append(slices.Clone(test.flags), "-require-any-client-certificate")
	}
}

// resumesDTLS12 says whether all connections of a case that resumes are of DTLS 1.2 because the runner wants it so.
func resumesDTLS12(test *testCase) bool {
	limited := test.config.MaxVersion == VersionTLS12 && (test.resumeConfig == nil || test.resumeConfig.MaxVersion == VersionTLS12)
	return limited && (test.resumeSession || strings.Contains(test.name, "-NewSessionTicket-")) && !slices.ContainsFunc(test.flags, func(flag string) bool {
		return strings.Contains(flag, "-version") || strings.Contains(flag, "-no-tls")
	})
}

// isDTLS13 says whether a case comes to speak DTLS 1.3.
func isDTLS13(test *testCase) bool {
	limited := slices.Contains(test.flags, "-no-tls13")
	for i, flag := range test.flags {
		if strings.HasSuffix(flag, "-max-version") && i+1 < len(test.flags) {
			limited = limited || test.flags[i+1] != strconv.Itoa(VersionDTLS13) && test.flags[i+1] != strconv.Itoa(VersionTLS13)
		}
	}
	return offersDTLS13(&test.config) && !limited
}

// offersDTLS13 says whether the runner would speak it.
func offersDTLS13(config *Config) bool {
	return config.MaxVersion == 0 || config.MaxVersion >= VersionTLS13
}

func adaptCredential(test *testCase) bool {
	if isAboutAnyKey(test) {
		usePreSharedKey(test.config.PreSharedKeyIdentity, adaptedKey, &test.config)
		test.flags = append(slices.Clone(test.flags), "-psk", adaptedKey)
		return true
	}
	if !usePSK && isAboutAnyCertificate(test) {
		test.config.Credential = &ecdsaP256Certificate
	} else if !leavesCredentialOpen(test) {
		if usePSK && test.config.Credential == &rsaCertificate {
			leaveOut(test)
		}
		return false
	}
	if usePSK {
		if test.config.MaxVersion != VersionTLS12 || isAboutCertificates(test) {
			leaveOut(test)
			return false
		}
		// The runner's client wants an identity hint that equals its identity; our server sends none.
		identity := ""
		if test.testType == clientTest {
			identity = "bartizan"
			test.flags = append(slices.Clone(test.flags), "-psk-identity", identity)
		}
		usePreSharedKey(identity, adaptedKey, &test.config, test.resumeConfig)
		for _, expectations := range []*connectionExpectations{&test.expectations, test.resumeExpectations} {
			if expectations != nil && expectations.cipher != 0 {
				expectations.cipher = TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256
			}
		}
		test.flags = append(slices.Clone(test.flags), "-psk", adaptedKey)
		if test.resumeConfig == nil && test.resumeExpectations == nil && !test.expectResumeRejected {
			test.resumeSession = false
		}
		return true
	}
	if test.testType == clientTest {
		test.config.Credential = &ecdsaP256Certificate
	} else if test.shimCertificate == nil {
		test.shimCertificate = &ecdsaP256Certificate
	}
	if test.testType == serverTest {
		showsClient(test)
	}
	useECDSASuites(&test.config)
	if test.resumeConfig != nil {
		useECDSASuites(test.resumeConfig)
	}
	for _, expectations := range []*connectionExpectations{&test.expectations, test.resumeExpectations} {
		if expectations != nil {
			expectations.cipher = asECDSA(expectations.cipher)
		}
	}
	return true
}

// resumesOnlyToGoOverIt says whether a case of DTLS 1.3 has a second connection like the first, and no more to say
// about it.
func resumesOnlyToGoOverIt(test *testCase) bool {
	says := test.resumeConfig != nil || test.resumeExpectations != nil || test.expectResumeRejected ||
		test.earlyData || test.newSessionsOnResume || test.resumeRenewedSession
	return isDTLS13(test) && test.resumeSession && !says
}

// leaveOut gives the shim a flag that it does not know, so that the case counts as not implemented in this run.
func leaveOut(test *testCase) {
	test.flags = append(slices.Clone(test.flags), "-certificates-in-the-run-with-keys")
}

// leavesCredentialOpen says whether the runner would choose the server's credential by itself.
func leavesCredentialOpen(test *testCase) bool {
	if len(test.config.PreSharedKey) > 0 {
		return false
	}
	if test.testType == clientTest {
		return test.config.Credential == nil
	}
	return test.shimCertificate == nil && len(test.shimCredentials) == 0 && len(test.resumeShimCredentials) == 0
}

// isAboutAnyKey says whether a case has a key of its own and a suite only because there must be one.
func isAboutAnyKey(test *testCase) bool {
	return strings.HasPrefix(test.name, "EmptyPSKHint-")
}

// isAboutCertificates says whether somebody is to be asked for one.
func isAboutCertificates(test *testCase) bool {
	return test.config.ClientAuth != NoClientCert || slices.ContainsFunc(test.flags, func(flag string) bool {
		return strings.Contains(flag, "-verify-") || flag == "-require-any-client-certificate"
	})
}

// isAboutAnyCertificate says whether a case names RSA's certificate only because there must be one.
func isAboutAnyCertificate(test *testCase) bool {
	prefixes := []string{"CertificateVerification", "ClientAuth-Server", "DTLS-TLS13-", "TrailingMessageData-", "WrongMessageType-"}
	return test.config.Credential == &rsaCertificate && slices.ContainsFunc(prefixes, func(prefix string) bool {
		return strings.HasPrefix(test.name, prefix)
	})
}

func usePreSharedKey(identity, key string, configs ...*Config) {
	for _, config := range configs {
		if config != nil {
			config.CipherSuites = []uint16{TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256}
			config.PreSharedKey = []byte(key)
			config.PreSharedKeyIdentity = identity
		}
	}
}

func useECDSASuites(config *Config) {
	config.CipherSuites = slices.Clone(config.CipherSuites)
	for i, suite := range config.CipherSuites {
		config.CipherSuites[i] = asECDSA(suite)
	}
}

func asECDSA(suite uint16) uint16 {
	if other, ok := ecdsaForRSA[suite]; ok {
		return other
	}
	return suite
}

// isShortHeader says whether a record's number or length is shorter than BoringSSL's; none has a Connection ID.
func isShortHeader(b []byte) bool {
	return len(b) > 0 && b[0]&0xf0 == 0x20 && b[0]&0x0c != 0x0c
}

// readShortHeader reads one (RFC 9147 section 4), as strictly as readDTLS13RecordHeader: of the very epoch, and with a
// number that is not below the one expected.
func (c *Conn) readShortHeader(epoch *epochState, b []byte) (headerLen int, recordLen int, recTyp recordType, err error) {
	numberLen, hasLength := 1, b[0]&0x04 != 0
	if b[0]&0x08 != 0 {
		numberLen = 2
	}
	headerLen = 1 + numberLen
	if hasLength {
		headerLen += 2
	}
	if len(b) < headerLen+16 {
		return 0, 0, 0, errors.New("dtls: a record that is too short for its number to be found")
	}
	if b[0]&0x03 != byte(epoch.epoch&0x03) {
		c.sendAlert(alertIllegalParameter)
		return 0, 0, 0, c.in.setErrorLocked(errors.New("dtls: bad epoch"))
	}
	number := b[1 : 1+numberLen]
	if !c.config.Bugs.NullAllCiphers {
		xorSlice(number, epoch.recordNumberEncrypter.generateMask(b[headerLen:])[:numberLen])
	}
	step := uint64(1) << (8 * numberLen)
	least := binary.BigEndian.Uint64(epoch.seq[:]) &^ (0xffff << 48)
	full := least &^ (step - 1)
	for _, digit := range number {
		full += uint64(digit) << (8 * (numberLen - 1))
		numberLen--
	}
	if full < least {
		full += step
	}
	bytes := binary.BigEndian.AppendUint64(nil, full)
	copy(epoch.seq[2:], bytes[2:])
	recordLen = len(b) - headerLen
	if hasLength {
		recordLen = int(binary.BigEndian.Uint16(b[headerLen-2:]))
	}
	return headerLen, recordLen, 0, nil
}
