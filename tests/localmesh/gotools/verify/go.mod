module mesh-signer.dev/localmesh/verify

go 1.26.0
