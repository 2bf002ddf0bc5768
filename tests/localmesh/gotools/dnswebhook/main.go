// A DNS-01 webhook of the kind that anybody writes for cert-manager: its own library for webhooks, and its own solver for
// RFC 2136. So what mesh-signer sends is read, and answered, by the code that existing webhooks are made of.
// cmd.RunWebhookServer is what others call; it only adds signals and a logger to this.
package main

import (
	"context"
	"os"

	"github.com/cert-manager/cert-manager/pkg/acme/webhook/cmd/server"
	"github.com/cert-manager/cert-manager/pkg/issuer/acme/dns/rfc2136"
)

func main() {
	command := server.NewCommandStartWebhookServer(context.Background(), os.Getenv("GROUP_NAME"), rfc2136.New())
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}
