"""What goes wrong on the local mesh: one exception whose message tells what to do."""


class LocalMeshError(Exception):
    """A server, a program or a certificate of the local mesh could not be had; the message is for a person."""
