"""Damaged input does no more than be refused: no other error, no input that takes long, no
memory kept. Half a million inputs with `-m soak`, by default one in twenty."""

from __future__ import annotations

import pytest

from . import fuzz

MOST_GROWTH = 8_000_000
"Bytes: what caches and the allocator may still take after a fifth of the campaign."


@pytest.mark.parametrize(
    "inputs",
    [25_000, pytest.param(500_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
)
def test_a_campaign_of_damaged_input(inputs: int) -> None:
    campaign = fuzz.run(inputs)
    print(campaign)
    assert not campaign.failures, campaign
    assert set(campaign.inputs) == set(fuzz.TARGETS)
    assert campaign.grown < MOST_GROWTH, campaign
    assert campaign.blocks < 20_000, campaign


def test_undamaged_input_is_accepted() -> None:
    """Else the campaign would only ever look at the first check."""
    for name, target in fuzz.TARGETS.items():
        for seed in target.seeds:
            target.read(seed)
        assert target.seeds, name


def test_a_campaign_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_or_wrong(data: bytes) -> None:
        if data.count(b";") > 100:
            for _ in range(200):
                data.decode("latin-1").split(";")
                sum(data)
        if b"\0" in data:
            raise KeyError("found")

    target = fuzz.Target(slow_or_wrong, fuzz.VALUES, 1, 16_384)
    monkeypatch.setattr(fuzz, "TARGETS", {"value": target})
    found = "".join(fuzz.run(2_000).failures)
    assert "KeyError" in found
    assert " ms: " in found
