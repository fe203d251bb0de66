"""Access: bytes of any granule by name, and nothing else.

``ranges.read(url, ...)`` is the one verb that the layers above need; the loop, the transports and the
rules about hosts stand behind it. ``stores`` keeps small objects by key, in a folder or an object store.
"""
