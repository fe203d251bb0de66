"""Access: bytes of any granule by name, and nothing else.

``ranges`` is what the layers above need: which bytes to ask for together, and asking for them, within the
``budgets`` of the process, with the ``attempts`` that are worth making, by the ``transports`` that a URL
needs. The I/O ``loop`` and the rules about hosts (``endpoints``) stand behind it. ``stores`` keeps small
objects by key, in a folder or an object store.
"""
