// verify asks Go's own verifier whether certificates are good: one JSON array of questions on standard input, one JSON
// array of answers on standard output, "" for yes.
package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"time"
)

type question struct {
	// Chain is the certificate and what follows it, Roots what is trusted; PEM.
	Chain string `json:"chain"`
	Roots string `json:"roots"`
	// Purposes: one is enough; none means any.
	Purposes []string `json:"purposes"`
	// At is a time in seconds since 1970.
	At int64 `json:"at"`
}

var purposes = map[string]x509.ExtKeyUsage{
	"server": x509.ExtKeyUsageServerAuth,
	"client": x509.ExtKeyUsageClientAuth,
	"email":  x509.ExtKeyUsageEmailProtection,
	"code":   x509.ExtKeyUsageCodeSigning,
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	answers := make([]string, len(questions))
	for index, one := range questions {
		if err := verify(one); err != nil {
			answers[index] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

func verify(asked question) error {
	chain, err := read(asked.Chain)
	if err != nil {
		return err
	}
	roots, err := read(asked.Roots)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   time.Unix(asked.At, 0),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, above := range chain[1:] {
		options.Intermediates.AddCert(above)
	}
	if len(asked.Purposes) > 0 {
		options.KeyUsages = nil
		for _, name := range asked.Purposes {
			options.KeyUsages = append(options.KeyUsages, purposes[name])
		}
	}
	// Names that are critical are held against a host by whoever asks; here they count as handled.
	_, err = chain[0].Verify(options)
	return err
}

func read(text string) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, x509.ErrUnsupportedAlgorithm
	}
	return found, nil
}
