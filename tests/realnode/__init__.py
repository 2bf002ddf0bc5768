"""A real node, for `make test-node` and `make test-node-istio`: kubelet and containerd run our image from our manifests.

Nothing here is part of the product.

What no other test sees: whether the image starts under Pod Security, whether Pods that are moved and killed lose a request,
whether a NetworkPolicy lets through what we need. The node is in namespaces of its own and has no route out; what it was made
of, and why so, is in docs/adr/0045-a-real-node.md.

The order: `__main__` builds everything (programs, systems, images) that one of the two `suites` needs, then runs pytest on its part
of `inside` within the namespaces, where `node` starts the cluster, and pytest on `outside` when the namespaces are gone. Istio, for
`inside/istio`, is installed by `istio`, from the images of `istio_images` (docs/adr/0052-istio-on-the-node.md).
"""
