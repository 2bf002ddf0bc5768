// certmanagerpki is the other side of the differential test: it makes with cert-manager's own package what
// issuers/ makes, and reads CSRs with Go's own parser. It reads one JSON request per line from standard input and
// answers each with one line.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	certificates "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type request struct {
	Op     string   `json:"op"`
	CSR    string   `json:"csr"`
	Kind   string   `json:"kind"`
	Usages []string `json:"usages"`
	// Seconds is the lifetime.
	Seconds int32  `json:"seconds"`
	IsCA    bool   `json:"isCA"`
	TLSCrt  string `json:"tlsCrt"`
	TLSKey  string `json:"tlsKey"`
	CACrt   string `json:"caCrt"`

	CRLDistributionPoints  []string `json:"crlDistributionPoints"`
	OCSPServers            []string `json:"ocspServers"`
	IssuingCertificateURLs []string `json:"issuingCertificateURLs"`

	Certificate *certmanager.Certificate `json:"certificate"`

	// Data is a text that holds PEM blocks.
	Data []byte `json:"data"`
}

type block struct {
	Type  string `json:"type"`
	Bytes []byte `json:"bytes"`
}

type reading struct {
	Subject    []byte   `json:"subject"`
	SPKI       []byte   `json:"spki"`
	DNSNames   []string `json:"dnsNames"`
	Emails     []string `json:"emails"`
	IPs        [][]byte `json:"ips"`
	URIs       []string `json:"uris"`
	OtherNames int      `json:"otherNames"`
	SAN        []byte   `json:"san"`
	SANs       int      `json:"sans"`
}

type answer struct {
	Error   string   `json:"error,omitempty"`
	Chain   string   `json:"chain,omitempty"`
	CA      string   `json:"ca,omitempty"`
	CSR     string   `json:"csr,omitempty"`
	Reading *reading `json:"reading,omitempty"`
	Blocks  []block  `json:"blocks"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var req request
		if err := json.Unmarshal(in.Bytes(), &req); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		ans, err := handle(&req)
		if err != nil {
			ans = answer{Error: err.Error()}
		}
		if err := out.Encode(ans); err != nil {
			os.Exit(1)
		}
	}
}

func handle(req *request) (answer, error) {
	switch req.Op {
	case "sign":
		return sign(req)
	case "selfSign":
		return selfSign(req)
	case "compose":
		return compose(req)
	case "read":
		return read(req)
	case "pem":
		return blocks(req), nil
	}
	return answer{}, fmt.Errorf("unknown op %q", req.Op)
}

func template(req *request) (*x509.Certificate, error) {
	if req.Kind == "CertificateRequest" {
		cr := &certmanager.CertificateRequest{Spec: certmanager.CertificateRequestSpec{
			Request:  []byte(req.CSR),
			IsCA:     req.IsCA,
			Duration: &metav1.Duration{Duration: time.Duration(req.Seconds) * time.Second},
		}}
		for _, usage := range req.Usages {
			cr.Spec.Usages = append(cr.Spec.Usages, certmanager.KeyUsage(usage))
		}
		return pki.CertificateTemplateFromCertificateRequest(cr)
	}
	csr := &certificates.CertificateSigningRequest{Spec: certificates.CertificateSigningRequestSpec{
		Request:           []byte(req.CSR),
		ExpirationSeconds: &req.Seconds,
	}}
	for _, usage := range req.Usages {
		csr.Spec.Usages = append(csr.Spec.Usages, certificates.KeyUsage(usage))
	}
	if req.IsCA {
		csr.Annotations = map[string]string{"experimental.cert-manager.io/request-is-ca": "true"}
	}
	return pki.CertificateTemplateFromCertificateSigningRequest(csr)
}

// sign does what the CA signer of CertificateSigningRequests does (pkg/controller/certificatesigningrequests/ca).
func sign(req *request) (answer, error) {
	certs, err := pki.DecodeX509CertificateChainBytes([]byte(req.TLSCrt))
	if err != nil {
		return answer{}, err
	}
	key, err := pki.DecodePrivateKeyBytes([]byte(req.TLSKey))
	if err != nil {
		return answer{}, err
	}
	if req.CACrt != "" {
		ca, err := pki.DecodeX509CertificateBytes([]byte(req.CACrt))
		if err != nil {
			return answer{}, err
		}
		certs = append(certs, ca)
	}
	template, err := template(req)
	if err != nil {
		return answer{}, err
	}
	template.CRLDistributionPoints = req.CRLDistributionPoints
	template.OCSPServer = req.OCSPServers
	template.IssuingCertificateURL = req.IssuingCertificateURLs
	bundle, err := pki.SignCSRTemplate(certs, key, template)
	if err != nil {
		return answer{}, err
	}
	return answer{Chain: string(bundle.ChainPEM), CA: string(bundle.CAPEM)}, nil
}

func selfSign(req *request) (answer, error) {
	key, err := pki.DecodePrivateKeyBytes([]byte(req.TLSKey))
	if err != nil {
		return answer{}, err
	}
	template, err := template(req)
	if err != nil {
		return answer{}, err
	}
	template.CRLDistributionPoints = req.CRLDistributionPoints
	chain, _, err := pki.SignCertificate(template, template, key.Public(), key)
	if err != nil {
		return answer{}, err
	}
	return answer{Chain: string(chain)}, nil
}

// compose does what the request manager does with a Certificate, feature gates at their defaults.
func compose(req *request) (answer, error) {
	key, err := pki.DecodePrivateKeyBytes([]byte(req.TLSKey))
	if err != nil {
		return answer{}, err
	}
	template, err := pki.GenerateCSR(req.Certificate, pki.WithNameConstraints(true), pki.WithOtherNames(true), pki.WithUseLiteralSubject(true))
	if err != nil {
		return answer{}, err
	}
	der, err := pki.EncodeCSR(template, key)
	if err != nil {
		return answer{}, err
	}
	return answer{CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}, nil
}

// read tells what Go and cert-manager see in a CSR that they accept.
func read(req *request) (answer, error) {
	csr, err := pki.DecodeX509CertificateRequestBytes([]byte(req.CSR))
	if err != nil {
		return answer{}, err
	}
	if err := csr.CheckSignature(); err != nil {
		return answer{}, err
	}
	got := &reading{
		Subject:  csr.RawSubject,
		SPKI:     csr.RawSubjectPublicKeyInfo,
		DNSNames: csr.DNSNames,
		Emails:   csr.EmailAddresses,
	}
	for _, ip := range csr.IPAddresses {
		got.IPs = append(got.IPs, ip)
	}
	for _, extension := range csr.Extensions {
		if extension.Id.String() != "2.5.29.17" {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(extension.Value, &names); err != nil {
			return answer{}, err
		}
		for _, name := range names {
			// Go's url.URL may spell a URI anew, so the bytes are compared.
			if name.Class == asn1.ClassContextSpecific && name.Tag == 6 && !name.IsCompound {
				got.URIs = append(got.URIs, string(name.Bytes))
			}
		}
		if len(got.URIs) != len(csr.URIs) {
			return answer{}, fmt.Errorf("Go sees %d URIs, there are %d", len(csr.URIs), len(got.URIs))
		}
		got.OtherNames = len(names) - len(csr.URIs) - len(csr.DNSNames) - len(csr.EmailAddresses) - len(csr.IPAddresses)
		got.SAN = extension.Value
		got.SANs++
	}
	return answer{Reading: got}, nil
}

// blocks tells which PEM blocks Go finds, one after the other, as who reads a chain does.
func blocks(req *request) answer {
	var got answer
	for found, rest := pem.Decode(req.Data); found != nil; found, rest = pem.Decode(rest) {
		got.Blocks = append(got.Blocks, block{Type: found.Type, Bytes: found.Bytes})
	}
	return got
}
