// impersonate asks istiod for a workload's certificate as ztunnel does: with its own token, and in the request whose it is.
// No signer is named. Prints what istiod answers, one certificate after the other.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	pb "istio.io/api/security/v1alpha1"
)

func main() {
	address := flag.String("address", "", "istiod's host and port")
	root := flag.String("root", "", "file of the root that istiod's certificate is below (PEM)")
	token := flag.String("token", "", "file of ztunnel's token, for the audience istio-ca")
	csr := flag.String("csr", "", "file of the request (PEM)")
	identity := flag.String("identity", "", "the workload's SPIFFE ID")
	flag.Parse()
	chain, err := ask(*address, read(*root), read(*token), read(*csr), *identity)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(strings.Join(chain, ""))
}

func ask(address, root, token, csr, identity string) ([]string, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root))
	secured := credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc", MinVersion: tls.VersionTLS12})
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(secured))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	fields, err := structpb.NewStruct(map[string]any{"ImpersonatedIdentity": identity})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(token), "clusterid", "Kubernetes")
	request := &pb.IstioCertificateRequest{Csr: csr, ValidityDuration: 86400, Metadata: fields}
	answer, err := pb.NewIstioCertificateServiceClient(connection).CreateCertificate(ctx, request)
	if err != nil {
		return nil, err
	}
	return answer.CertChain, nil
}

func read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return string(text)
}
