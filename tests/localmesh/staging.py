"""How a demo is run from the command line: options, the order of the end, what is shown when it stops half way."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from tests.localmesh.errors import LocalMeshError
from tests.localmesh.mesh import Mesh
from tests.localmesh.story import Story


def perform(
    name: str,
    description: str | None,
    arguments: Sequence[str] | None,
    prepare: Callable[[Story], None],
    play: Callable[[Mesh, Story], AbstractContextManager[object]],
) -> int:
    """Run a demo; the exit status is 0 when every check passed.

    `prepare` builds what is missing, and may tell something meanwhile. `play` tells the story in a mesh; what it has started beside goes on until its
    context is left, which is after --keep has waited.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, and print the kubeconfig")
    options = parser.parse_args(arguments)
    story = Story()
    try:
        prepare(story)
    except LocalMeshError as error:
        print(f"\ndemo: stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    mesh = Mesh()
    try:
        with play(mesh, story):
            status = story.end()
            if options.keep:
                _wait(mesh)
    except LocalMeshError as error:
        print(f"\ndemo: stopped: {error}", file=sys.stderr)
        for process in (mesh.signer, mesh.controllers):
            print(f"--- the last lines of {process.name}\n{process.log[-3000:]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        return status
    finally:
        mesh.close()


def _wait(mesh: Mesh) -> None:
    print(
        f"\nIt keeps running until Ctrl-C. In another terminal:\n\n    export KUBECONFIG={mesh.cluster.kubeconfig()}\n",
        flush=True,
    )
    try:
        while True:
            time.sleep(1)
            mesh.cluster.check()
    except KeyboardInterrupt:
        print()
