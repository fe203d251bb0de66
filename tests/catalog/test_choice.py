from __future__ import annotations

from dataclasses import replace

import pytest

from eoscale.catalog.choice import catalog
from eoscale.catalog.cmr.catalogue import Cmr
from eoscale.catalog.odata.catalogue import OData
from eoscale.catalog.search import Query
from eoscale.catalog.stac.catalogue import Stac
from eoscale.errors import RecipeError
from eoscale.model.vocabulary import Search
from eoscale.products import ATL06, REGISTRY, product


def query(provider: str | None, name: str = "ATL06") -> Query:
    return Query(product=product(name), search=Search(provider=provider))


def test_each_product_is_searched_for_where_it_is_known() -> None:
    kinds = {name: type(catalog(query(None, name))) for name in REGISTRY}
    assert kinds["ATL08"] is kinds["GEDI02_A"] is Cmr
    assert kinds["ATL_FM__2A"] is kinds["MSI_COP_2A"] is Stac
    assert kinds["OL_1_EFR"] is OData


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("cmr", Cmr()),
        ("NSIDC_CPRD", Cmr(provider="NSIDC_CPRD")),
        ("maap", Stac(address="https://catalog.maap.eo.esa.int/catalogue")),
        ("https://stac.example.org/v1/", Stac(address="https://stac.example.org/v1")),
        ("cdse", OData()),
    ],
)
def test_a_provider_is_a_short_name_an_address_or_one_of_cmr(provider: str, expected: object) -> None:
    assert catalog(query(provider)) == expected


def test_the_address_of_a_service_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSCALE_MAAP_STAC_URL", "https://stac.example.org/")
    assert catalog(query("maap")) == Stac(address="https://stac.example.org")


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(RecipeError, match="there is no provider 'nasa': expected cmr, maap, cdse"):
        catalog(query("nasa"))
    with pytest.raises(RecipeError, match="no catalogue is known for ATL06: name one"):
        catalog(Query(product=replace(ATL06, catalogued=())))
