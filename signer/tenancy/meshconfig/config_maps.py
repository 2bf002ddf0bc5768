"""The ConfigMaps with Istio's mesh config, each as it was when it could last be read.

One that is deleted or broken never makes the wall lower: its signers stay the mesh's, over a restart too, since a
SignerRecord of each says which ConfigMaps named it. No network, no
clock, one owner at a time, like the Index that it is a part of.
"""

from collections.abc import Mapping

from signer.api.issuer import IssuerRef
from signer.tenancy.meshconfig.read import MESH_KEY, read_mesh_config
from signer.tenancy.world import MeshConfig, Settings


class ConfigMaps:
    """ConfigMaps in, a mesh config out. `shared` names the one that is under all others, "" for none.

    `texts` are the readable ones by name; `unreadable` says what is wrong with those that never could be read.
    """

    def __init__(self, settings: Settings, *, shared: str = "") -> None:
        self.texts: dict[str, Mapping[str, str]] = {}
        self.unreadable: dict[str, str] = {}
        self._settings = settings
        self._shared = shared
        self._given: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._readable: dict[str, Mapping[str, str]] = {}
        self._kept: dict[str, frozenset[IssuerRef]] = {}
        self._recorded: dict[str, set[IssuerRef]] = {}
        self._clean: set[str] = set()
        self._changed = True

    def put(self, name: str, data: Mapping[str, str] | None) -> tuple[str, ...]:
        """Take a ConfigMap of Istio's namespace, None: it is gone. Returns what is wrong with it."""
        if data is None or MESH_KEY not in data:
            if self.texts.pop(name, None) is not None:
                self._changed = True
            self._given.pop(name, None)
            self._readable.pop(name, None)
            # Its signers stay the mesh's: workloads trust them still, and an uninstalled Istio may be
            # installed again in a minute.
            self.unreadable.pop(name, None)
            return ()
        data = {MESH_KEY: data[MESH_KEY]}
        if name in self._given and self._given[name][0] == data[MESH_KEY]:
            return self._given[name][1]  # live reads bring it again and again
        read = read_mesh_config({name: data}, self._settings, shared=self._shared)
        whole = f"ConfigMap {self._settings.istio_namespace}/{name}: {MESH_KEY}: "
        self.unreadable.pop(name, None)
        if problem := next((one for one in read.problems if one.startswith(whole)), ""):
            if name not in self._readable:
                # Its trust domain and its signers are not known, and were not before.
                self.unreadable[name] = problem
            self.texts[name] = self._readable.get(name, data)
        elif read.problems:
            self._readable[name] = self.texts[name] = data
            self._kept[name] = self._kept.get(name, frozenset()) | read.signers | read.defaults
        else:
            self._readable[name] = self.texts[name] = data
            self._kept[name] = read.signers | read.defaults
            self._clean.add(name)
            self._recorded.pop(name, None)
        self._given[name] = (data[MESH_KEY], read.problems)
        self._changed = True
        return read.problems

    def take(self) -> MeshConfig | None:
        """Return the mesh config of all of them; None when nothing changed since the last call."""
        if not self._changed:
            return None
        self._changed = False
        return read_mesh_config(self.texts, self._settings, shared=self._shared)

    def stand_for(self, signers: frozenset[IssuerRef]) -> None:
        """Stand for ConfigMaps that were read elsewhere, and that name or named these signers."""
        self._kept = {"": signers}
        self._changed = False

    @property
    def signers(self) -> frozenset[IssuerRef]:
        """The signers that they name, or named before they were broken or deleted."""
        return frozenset().union(*self._kept.values(), *self._recorded.values())

    def naming(self, signer: IssuerRef) -> frozenset[str]:
        """Return the ConfigMaps that name a signer, or did."""
        kept = {name for name, signers in self._kept.items() if signer in signers}
        return frozenset(kept | {name for name, signers in self._recorded.items() if signer in signers})

    def record(self, signer: IssuerRef, names: frozenset[str]) -> None:
        """Take what is stored: these ConfigMaps named a signer. Of one that was read in full since, that counts."""
        for name, signers in list(self._recorded.items()):
            if name not in names:
                signers.discard(signer)
                if not signers:
                    del self._recorded[name]
        for name in names - self._clean:
            self._recorded.setdefault(name, set()).add(signer)
