"""The catalogue of devices: complete rows, sane figures, and names found as people write them."""

from __future__ import annotations

import pytest

from graphmem.fitting.devices import _key, catalogue, device, nbytes_of_text
from graphmem.ir.device import GIB
from graphmem.ir.errors import OptionError


def test_at_least_sixty_devices_each_with_a_source_and_a_name_of_its_own() -> None:
    devices = catalogue()
    assert len(devices) >= 60
    assert len({_key(d.name) for d in devices}) == len(devices)
    assert all(d.source for d in devices)
    assert {"NVIDIA", "AMD", "Apple", "Intel", "Google"} <= {d.maker for d in devices}


def test_usable_is_below_reported_is_below_nominal() -> None:
    for d in catalogue():
        assert 0 < d.usable_bytes(has_display=True) < d.usable_bytes() < d.reported_bytes < d.nominal_bytes, d.name
        assert 20 < d.bandwidth < 10_000, d.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rtx 3060", "RTX 3060"),
        ("RTX3060", "RTX 3060"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("3090", "RTX 3090"),
        ("mi300x", "Instinct MI300X"),
        ("h100-sxm", "H100 SXM"),
        ("v100 32gb", "Tesla V100 32GB"),
    ],
)
def test_names_as_people_write_them(text: str, name: str) -> None:
    assert device(text).name == name


def test_a_card_of_4_gb_is_4_gib_less_driver_and_context() -> None:
    card = device("4GB")
    assert card.nominal_bytes == 4 * GIB
    assert card.usable_bytes() == int(0.9525 * 4 * GIB) - 450 * 2**20
    assert device("3.5GiB").reported_bytes == 3.5 * GIB


@pytest.mark.parametrize(
    ("text", "reason"),
    [("rtx 306", "may be any of: RTX 3060"), ("rtx 3061", "did you mean RTX 3060"), ("abacus", "graphmem devices")],
)
def test_a_name_that_is_not_known_gets_a_suggestion(text: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        device(text)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("4GiB", 4 * 2**30), ("512MiB", 2**29), ("12GB", 12 * 10**9), ("4096", 4096), ("1.5 kib", 1536), ("0.1GB", 10**8)],
)
def test_sizes(text: str, nbytes: int) -> None:
    assert nbytes_of_text(text) == nbytes


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 apples", "4GiBs", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(OptionError, match="is not a size"):
        nbytes_of_text(text)
