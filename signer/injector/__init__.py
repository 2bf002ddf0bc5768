"""The CA injector: the CA of a Certificate, a Secret or the API server, in the caBundle of whoever asks for it."""
