"""Kinds of whole files: for which releases of libhdf5, with which sizes and spaces, and what they hold."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import h5py
from h5py import h5f, h5p

from tests.hdf5.files import Maker
from tests.hdf5.layouts.attributes import ATTRIBUTES, NEWER_ATTRIBUTES
from tests.hdf5.layouts.chunks import CHUNKS, FILTERS
from tests.hdf5.layouts.datatypes import NEWER_TYPES, TYPES, typed
from tests.hdf5.layouts.fills import FILLS
from tests.hdf5.layouts.grids import DEEP_GRIDS, GRIDS, PACKS, combined
from tests.hdf5.layouts.groups import DEEP_GROUPS, GROUPS, UNUSUAL_GROUPS
from tests.hdf5.layouts.unchunked import UNCHUNKED
from tests.hdf5.libhdf5 import ORDERED, Step, called
from tests.hdf5.shared import SHARED_MESSAGES

EVERYWHERE: dict[str, Maker] = {
    **combined(GRIDS, ("plain", "packed"), "some"),
    **FILTERS,
    **CHUNKS,
    **UNCHUNKED,
    **FILLS,
    **typed(TYPES),
    **ATTRIBUTES,
    **GROUPS,
}
NEWER: dict[str, Maker] = {**typed(NEWER_TYPES), **NEWER_ATTRIBUTES}
GRIDS_IN_FULL = combined(GRIDS, PACKS, "none", "some", "whole")
DEEP: dict[str, Maker] = {
    **combined(DEEP_GRIDS, ("plain", "packed"), "some"),
    **combined(
        {name: DEEP_GRIDS[name] for name in ("fixed_pages_many", "tree_deep")}, ("plain", "packed"), "whole"
    ),
    **DEEP_GROUPS,
}
FEW: dict[str, Maker] = {
    name: EVERYWHERE[name]
    for name in ("fixed_plain_some", "extensible_packed_some", "tree_plain_some", "compact_written",
                 "contiguous_written", "attributes_among_9", "links_7", "type_text_of_any_length")
}  # fmt: skip
FIXED = {name: make for name, make in FEW.items() if not name.startswith("extensible")}
SPACED = combined(GRIDS, ("plain", "packed"), "some") | ATTRIBUTES | GROUPS


class Kind(NamedTuple):
    """How a file is written, and what is written to it."""

    low: str
    high: str
    makers: dict[str, Maker]
    userblock: int = 0
    steps: tuple[Step, ...] = ()


BOUNDS = {
    "earliest": h5f.LIBVER_EARLIEST,
    "v108": h5f.LIBVER_V18,
    "v110": h5f.LIBVER_V110,
    "v112": h5f.LIBVER_V112,
    "v114": h5f.LIBVER_V114,
    "v200": h5f.LIBVER_V200,
}
PAIRS = [
    (low, high) for low, high in product(BOUNDS, BOUNDS) if BOUNDS[low] <= BOUNDS[high] and high != "earliest"
]
"""What libhdf5 accepts as the oldest and the newest release that shall read a file."""


def _spaced(strategy: int, *, persist: bool, page: int = 0) -> Step:
    def step(properties: h5p.PropFCID) -> None:
        properties.set_file_space_strategy(strategy, persist, 1)
        if page:
            properties.set_file_space_page_size(page)

    return step


def _sized(offset: int, length: int) -> Step:
    return lambda properties: properties.set_sizes(offset, length)


SPACES = {
    "pages_of_4_kib": _spaced(h5f.FSPACE_STRATEGY_PAGE, persist=False, page=4096),
    "pages_of_64_kib": _spaced(h5f.FSPACE_STRATEGY_PAGE, persist=True, page=65_536),
    "free_space": _spaced(h5f.FSPACE_STRATEGY_FSM_AGGR, persist=True),
    "aggregated": _spaced(h5f.FSPACE_STRATEGY_AGGR, persist=False),
    "end_of_file": _spaced(h5f.FSPACE_STRATEGY_NONE, persist=False),
}
# with lengths of four bytes libhdf5 does not know an unlimited dimension again, and opens no extensible array
SIZES = {(4, 4): FIXED | GROUPS, (8, 4): FIXED, (4, 8): FEW}
KINDS: dict[str, Kind] = {
    **{f"{low}_{high}": Kind(low, high, EVERYWHERE | (NEWER if low != "earliest" and high == "v200" else {}))
       for low, high in PAIRS},
    **{f"{low}_{high}_behind_{userblock}": Kind(low, high, FEW, userblock)
       for userblock, (low, high) in zip((512, 1024, 2048, 8192) * 5, PAIRS, strict=True)},
    **{f"{low}_grids": Kind(low, "v200", GRIDS_IN_FULL, 2048) for low in ("earliest", "v110", "v200")},
    **{f"{low}_deep": Kind(low, "v200", DEEP) for low in ("earliest", "v200")},
    **{f"{low}_{name}": Kind(low, "v200", SPACED, 1024 if name == "free_space" else 0, (step,))
       for low in ("earliest", "v200") for name, step in SPACES.items()},
    **{f"{low}_sizes_{offset}_{length}": Kind(low, "v200", makers, 512, (_sized(offset, length),))
       for low in ("earliest", "v200") for (offset, length), makers in SIZES.items()},
    **{f"{low}_narrow_trees": Kind(
        low, "v200", EVERYWHERE, 0, (called("H5Pset_istore_k", 2), called("H5Pset_sym_k", 2, 1))
       ) for low in ("earliest", "v200")},
    **{f"{low}_shared_messages": Kind(low, "v200", FEW | ATTRIBUTES, 0, SHARED_MESSAGES)
       for low in ("earliest", "v200")},
    # libhdf5 cannot read what it writes of dense links with such addresses
    "earliest_sizes_2_2": Kind("earliest", "v200", FEW, 0, (_sized(2, 2),)),
    "v200_deflated_links": Kind("v200", "v200", UNUSUAL_GROUPS),
    "earliest_ordered_root": Kind(
        "earliest", "v200", FEW, 0, (lambda given: given.set_link_creation_order(ORDERED),)
    ),
}  # fmt: skip


def write(path: Path, kind: Kind) -> Path:
    """Write a file of a kind."""
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_userblock(kind.userblock)
    for step in kind.steps:
        step(creation)
    access.set_libver_bounds(BOUNDS[kind.low], BOUNDS[kind.high])
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation, access)) as file:
        for name, make in kind.makers.items():
            make(file, name)
    return path
