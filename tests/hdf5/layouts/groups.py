"""Groups with links of every kind and number."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t

from tests.hdf5.files import Maker
from tests.hdf5.libhdf5 import ORDERED, Step, called


def linked(names: Sequence[str], *steps: Step, kept: int = 1) -> Maker:
    """Return a maker of a group whose names all lead to one dataset; each ``kept``-th of them stays."""

    def make(group: h5py.Group, name: str) -> None:
        properties = h5p.create(h5p.GROUP_CREATE)
        for step in steps:
            step(properties)
        inside = h5py.Group(h5g.create(group.id, name.encode(), gcpl=properties))
        target = group.file.require_dataset("one for all", (), "u1", exact=True)
        for each in names:
            inside[each] = target
        for number, each in enumerate(names):
            if number % kept:
                del inside[each]

    return make


def numbered(count: int, width: int = 5) -> list[str]:
    """Return names in another order than that of their bytes."""
    return [f"{number * 7919 % count:0{width}}" for number in range(count)]


def aliased(group: h5py.Group, name: str) -> None:
    """Lead to two datasets along links of every kind."""
    inside = group.create_group(name)
    inside["h"], inside["deeper/h"] = np.arange(3), np.arange(4)
    inside["hard"] = inside["h"]
    inside["group"] = inside["deeper"]
    inside["up"] = h5py.SoftLink(f"/{name}/h")
    inside["beside"] = h5py.SoftLink("h")
    inside["here"] = h5py.SoftLink("./deeper/.//h")
    inside["soft group"] = h5py.SoftLink("deeper")
    inside["through"] = h5py.SoftLink("soft group/h")
    inside["dangling"] = h5py.SoftLink("nowhere/h")
    inside["outside"] = h5py.ExternalLink("elsewhere.h5", "/h")
    inside["long"] = h5py.SoftLink("./" * 1000 + "h")


def nested(group: h5py.Group, name: str) -> None:
    group.create_dataset("/".join([name, *"abcdefghij", "h"]), data=np.arange(3))


def named(group: h5py.Group, name: str) -> None:
    """Use names that are long, or no ASCII, or no text at all."""
    inside = group.create_group(name)
    for each in ("x" * 300, "é" * 400, "y" * 5000, " ", "...", "a\nb", "雪" * 4, "H", "h", "ΐ\U0001f9ca"):
        inside[each] = len(each)
    space, kind = h5s.create(h5s.SCALAR), h5t.STD_I8LE
    h5d.create(inside.id, b"latin \xe9", kind, space)


_order_links = [lambda given: given.set_link_creation_order(ORDERED)]
_link_phase = called("H5Pset_link_phase_change", 0, 0)
GROUPS: dict[str, Maker] = {
    "links_none": linked([]),
    "links_7": linked(numbered(7)),
    "links_150": linked(numbered(150)),
    "links_7_ordered": linked(numbered(7), *_order_links),
    "links_150_ordered": linked(numbered(150), *_order_links),
    "links_dense_at_once": linked(numbered(2), _link_phase),
    "links_150_dense_ordered": linked(numbered(150), *_order_links, _link_phase),
    "links_of_which_some_stay": linked(numbered(300), kept=3),
    "links_of_which_few_stay": linked(numbered(200), kept=130),
    "links_of_which_none_stays": linked(["a", "b"], kept=3),
    "aliased": aliased,
    "nested": nested,
    "named": named,
}
DEEP_GROUPS: dict[str, Maker] = {
    "links_3000": linked(numbered(3000)),
    "links_1200_of_600_bytes": linked(numbered(1200, 600)),
    "links_of_70_kB": linked(["x" * 70_000, *numbered(20, 4500)]),
}
UNUSUAL_GROUPS: dict[str, Maker] = {
    "links_deflated": linked(numbered(900), called("H5Pset_deflate", 6)),
}
