from __future__ import annotations

import copy
import pickle

import cloudpickle
import pytest

from eoscale.access.credentials import Credential


def test_a_credential_travels_in_no_pickle_and_shows_in_no_repr() -> None:
    one = Credential(name="maap", token="s3cr3t", access_key="s3cr3t", secret_key="s3cr3t", refresh="s3cr3t")
    for travel in (pickle.dumps, cloudpickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="a credential does not travel"):
            travel(one)
        with pytest.raises(TypeError, match="a credential does not travel"):
            travel(lambda: one) if travel is cloudpickle.dumps else travel([one])
    assert "s3cr3t" not in f"{one} {one!r} {[one]}"
    assert "refresh" not in one.told()


def test_a_credential_is_due_before_it_is_over() -> None:
    one = Credential(name="maap", token="t", lifetime=1000)
    assert not one.due
    assert not one.over
    older = Credential(name="maap", token="t", lifetime=1000, obtained=one.obtained - 760)
    assert older.due
    assert not older.over
    assert Credential(name="maap", token="t", lifetime=1000, obtained=one.obtained - 1001).over
    assert not Credential(name="maap", token="t", obtained=one.obtained - 1e9).due
