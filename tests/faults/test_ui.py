"""The API server goes away under `mesh-signer ui`, and comes back."""

import signal

from tests.integration.commands.page import Page
from tests.localmesh import LocalCluster


def test_away_and_back(breakable: LocalCluster) -> None:
    """It is told once, in one line and on the page, which keeps what it had; it comes back by itself, and that is told too."""
    with Page(f"--kubeconfig={breakable.kubeconfig()}", "--request-timeout=2s") as page:
        view = page.view()
        breakable.api.stop()
        away = page.until(lambda state: state["away"])
        assert "no answer from the API server" in away["away"]
        assert away["view"] == view
        page.until(lambda state: state["away"])
        breakable.api.start()
        assert page.until(lambda state: not state["away"])["view"]
        page.process.send_signal(signal.SIGINT)
        _, err = page.process.communicate(timeout=30)
    # What other tests left on this API server may be told of, too.
    told, back = (line for line in err.splitlines() if line.startswith("mesh-signer ui:"))
    assert told.startswith("mesh-signer ui: no answer from the API server")
    assert back == "mesh-signer ui: the cluster is read again"
