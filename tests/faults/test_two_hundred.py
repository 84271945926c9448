"""Many faults of all kinds against one results folder. `python tests/faults/two_hundred.py` injects 200."""

from __future__ import annotations

from pathlib import Path

import pytest
import two_hundred


@pytest.mark.slow
def test_many_injected_faults_lose_damage_and_double_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = two_hundred.Campaign(seed=6, faults=40, folder=tmp_path).go_through()
    with capsys.disabled():
        print(f"\n{found.text()}")
    assert found.faults >= 40
    assert found.lost == found.damaged == found.twice == found.unexplained == []
    assert found.cells > 40
