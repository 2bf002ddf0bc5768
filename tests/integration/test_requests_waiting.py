"""What is left alone, and what waits: nothing that is approved is ever forgotten, nothing else is ever written to."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests import pki
from tests.integration.hot_path import CSRS, DURATION, Place, issuers_path, signer_name
from tests.integration.observing import grant, metric, once, untouched, waits
from tests.integration.plain_api import Refused
from tests.localmesh.signer import SignerProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer")]


class TestNames:
    """Which issuer a signer name means."""

    def test_cluster_issuer_with_dots(self, place: Place, name: str, root: pki.CA) -> None:
        """All that follows the slash is a ClusterIssuer's name, dots included."""
        assert place.issue(place.ca_issuer(f"{name}.with.dots", root)).signed_by(root)

    def test_issuer_with_dots(self, place: Place, name: str, root: pki.CA, readable: Callable[[], str]) -> None:
        """The namespace of an Issuer ends at the first dot; the rest is its name, dots included."""
        namespace = readable()
        place.ca_issuer(f"{name}.with.dots", root, namespace)
        grant(place, namespace, "*", "dotty")
        assert place.issue(f"issuers.cert-manager.io/{namespace}.{name}.with.dots", user="dotty").signed_by(root)

    def test_signer_name_without_dot(self, place: Place, name: str, ca: str) -> None:
        """An Issuer's signer name without a namespace names an issuer that does not exist: it waits, and says so."""
        request = place.ask(f"issuers.cert-manager.io/{name}")
        assert name in waits(place, request, "IssuerNotFound", ca)

    def test_case_matters(self, place: Place, ca: str) -> None:
        """A domain in other letters never reaches us: the API server takes lower case only, so no name means two issuers."""
        with pytest.raises(Refused, match="signerName"):
            place.create(f"ClusterIssuers.cert-manager.io/{ca}")
        with pytest.raises(Refused, match="signerName"):
            place.create(signer_name(ca.upper()))

    def test_signer_name_with_two_slashes(self, place: Place, ca: str) -> None:
        """A name with a second slash never reaches us."""
        with pytest.raises(Refused, match="signerName"):
            place.create(f"clusterissuers.cert-manager.io/{ca}/x")


class TestLeftAlone:
    """What the signer never writes to."""

    @pytest.mark.parametrize(
        "signer_name",
        [
            "kubernetes.io/kube-apiserver-client",
            "example.com/anything",
            "clusterissuers.example.com/{ca}",
            "clusterissuers.cert-manager.io.example.com/{ca}",
            "cert-manager.io/{ca}",
            "awspcaclusterissuers.awspca.cert-manager.io/{ca}",
        ],
    )
    def test_other_signers(self, place: Place, ca: str, signer_name: str) -> None:
        """A request for somebody else's signer is not written to and gets no Event, even when the name has our issuer's."""
        usages = ("client auth",) if signer_name.startswith("kubernetes.io/") else pki.WORKLOAD_USAGES
        made = place.ask(signer_name.format(ca=ca), usages=usages)
        untouched(place, made, place.look(made), ca)
        assert place.events(made) == []

    def test_not_approved(self, place: Place, ca: str) -> None:
        """A request is never written to before it is approved; after a while an Event says what it waits for."""
        made = place.create(ca)
        name = made["metadata"]["name"]
        untouched(place, name, made, ca)
        assert place.event(name, "WaitingApproval")["type"] == "Warning"
        assert place.look(name)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        place.approve(made)  # with the object as it was created, as istiod does: a 409 if anybody had written
        place.issued(name)

    def test_denied(self, place: Place, ca: str) -> None:
        """A denied request stays as it is."""
        made = place.condition(place.create(ca), "Denied")
        untouched(place, made["metadata"]["name"], made, ca)

    def test_failed(self, place: Place, ca: str) -> None:
        """A request that somebody else has failed stays as it is, though it is approved."""
        failed = place.condition(place.create(ca), "Failed", "status")
        made = place.approve(failed)
        untouched(place, made["metadata"]["name"], made, ca)

    def test_foreign_certificate(self, place: Place, ca: str, name: str) -> None:
        """A certificate that another signer has set stays, and there is one no matter who was quicker."""
        other = pki.CA("somebody-else")
        made = place.create(ca, name=name)
        made = place.api.put(
            f"{CSRS}/{name}/status", made | {"status": {"certificate": base64.b64encode(other.pem).decode()}}
        )
        made = place.approve(made)
        untouched(place, name, made, ca)
        assert place.issued(name).leaf == other.certificate


class TestWaiting:
    """What is approved is never forgotten: a request waits for its issuer, and goes on by itself."""

    def test_issuer_appears(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """Without an issuer a request waits with one Event, and goes on when issuer and Secret come."""
        request = place.ask(name)
        assert name in waits(place, request, "IssuerNotFound", ca)
        place.issuer(name, {"ca": {"secretName": name}})
        assert f'secret "{name}" not found in namespace "cert-manager"' in waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        assert place.issued(request).signed_by(root)
        once(place, request, "IssuerNotFound")
        once(place, request, "IssuerNotReady")

    def test_secret_appears(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """An issuer without its Secret is not ready: the Event names the Secret, and the Secret's coming ends the wait."""
        place.issuer(name, {"ca": {"secretName": f"{name}-key"}})
        request = place.ask(name)
        assert f'secret "{name}-key" not found in namespace "cert-manager"' in waits(
            place, request, "IssuerNotReady", ca
        )
        place.secret(f"{name}-key", root.secret())
        assert place.issued(request).signed_by(root)
        once(place, request, "IssuerNotReady")

    def test_secret_is_repaired(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A broken Secret holds requests up, by an Event that names the field, until it is mended."""
        place.secret(name, root.secret() | {"tls.key": pki.key_pem(pki.key("p256", 99))})
        place.issuer(name, {"ca": {"secretName": name}})
        requests = [place.ask(name) for _ in range(3)]
        for request in requests:
            assert "tls.key" in waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        for request in requests:
            assert place.issued(request).signed_by(root)

    def test_secret_is_deleted_and_restored(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """Without its Secret a CA signs no more, at once; what is asked meanwhile is issued when the Secret is back."""
        place.ca_issuer(name, root)
        place.issue(name)
        place.delete_secret(name)
        request = place.ask(name)
        waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        assert place.issued(request).signed_by(root)

    def test_secret_is_changed(self, place: Place, name: str, root: pki.CA, signer: SignerProcess) -> None:
        """With another CA in the Secret, the next request is signed by that one."""
        place.ca_issuer(name, root)
        assert place.issue(name).signed_by(root)
        new = pki.CA("the-new-one", not_after=datetime.now(UTC) + timedelta(days=200))
        place.secret(name, new.secret())
        ends = new.certificate.not_valid_after_utc.timestamp()
        place.until("the new CA", lambda: metric(signer, "mesh_signer_ca_not_after_timestamp_seconds", name) == ends)
        issued = place.issue(name)
        assert issued.signed_by(new)
        assert not issued.signed_by(root)

    def test_issuer_names_another_secret(self, place: Place, name: str, root: pki.CA, signer: SignerProcess) -> None:
        """An issuer that is pointed at another Secret signs with that one."""
        new = pki.CA("the-other-one", not_after=datetime.now(UTC) + timedelta(days=300))
        place.ca_issuer(name, root)
        place.secret(f"{name}-2", new.secret())
        place.issuer(name, {"ca": {"secretName": f"{name}-2"}})
        ends = new.certificate.not_valid_after_utc.timestamp()
        place.until("the new CA", lambda: metric(signer, "mesh_signer_ca_not_after_timestamp_seconds", name) == ends)
        assert place.issue(name).signed_by(new)

    def test_issuer_is_deleted_and_restored(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A deleted issuer signs no more; made again it answers what waited."""
        place.ca_issuer(name, root)
        place.issue(name)
        place.api.delete(f"{issuers_path()}/{name}")
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        place.issuer(name, {"ca": {"secretName": name}})
        assert place.issued(request).signed_by(root)

    def test_type_that_is_not_supported(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A request for an issuer of a type that we do not have waits, and its Event names the type."""
        vault = {"server": "https://vault.example", "path": "pki/sign/x", "auth": {"tokenSecretRef": {"name": "t"}}}
        place.issuer(name, {"vault": vault})
        request = place.ask(name)
        assert "spec.vault" in waits(place, request, "IssuerNotReady", ca)
        place.api.delete(f"{issuers_path()}/{name}")
        place.ca_issuer(name, root)
        place.issued(request)

    def test_deleted_while_waiting(self, place: Place, name: str, ca: str, signer: SignerProcess) -> None:
        """A request that is deleted while it waits is forgotten."""
        before = signer.metric("mesh_signer_waiting_requests", reason="IssuerNotFound")
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        assert signer.wait_for_metric("mesh_signer_waiting_requests", before + 1, reason="IssuerNotFound") == before + 1
        place.api.delete(f"{CSRS}/{request}")
        place.until(
            "the gauge to fall",
            lambda: signer.metric("mesh_signer_waiting_requests", reason="IssuerNotFound") == before,
        )

    def test_changed_while_waiting(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """What a waiting request says when its turn comes counts, not what it said at first."""
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        place.api.patch(f"{CSRS}/{request}", {"metadata": {"annotations": {DURATION: "11m"}}})
        place.ca_issuer(name, root)
        assert place.issued(request).seconds == 660
