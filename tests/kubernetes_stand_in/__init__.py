"""A Kubernetes of our own for tests, where no real one is to be had: an API server with controllers, and kubelets.

It speaks the protocol of the resources that the engine uses, with versions, watches, conflicts and finalizers as they
are there, and refuses what a real one would: objects are held against Kubernetes' own schema. Its kubelet runs the
commands of pods as processes of this host. It has no images, mounts or users: a pod's volume has to lie where it is to
be mounted, and its processes are the kubelet's user.
"""
