"""The Go side of the targets: `go` is None where it is left out."""

from tests.localmesh.certmanagerpki import Peer, build_peer, built_peer

go: Peer | None = None


def start(*, build: bool) -> bool:
    """Start it, built first if need be (`build`); tells whether it is there."""
    global go  # noqa: PLW0603 - a target is a plain function of bytes, so there is one for the process
    if go is None:
        go = build_peer() if build else built_peer()
    return go is not None


def stop() -> None:
    """End it."""
    global go  # noqa: PLW0603
    if go is not None:
        go.close()
    go = None
