"""Names of the core/v1 Event resource, for whoever writes or reads Events.

Pure.
"""

from signer.kube.resource import Resource

EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
