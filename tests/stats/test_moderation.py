"""The squeezing of variances: limma in R, by hand, and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.stats.moderation import fit_prior, squeeze

# fitFDistRobustly(x, d, winsor.tail.p = c(0.2, 0.2)) of limma 3.54.1 with statmod 1.5.0 on R 4.2.2: scale, df2, and by
# place the df2.shrunk that differ from it; var.post of squeezeVar(x, d, robust = TRUE, winsor.tail.p = c(0.2, 0.2)).
LIMMA = (
    (
        [0.67, 0.12, 0.34, 0.38, 0.31, 1.99, 0.30, 0.18, 0.42, 0.67, 0.59, 0.21, 2.1], 3,
        0.544691407793, math.inf, {5: 9.15346450004, 12: 9.15346450004}, {5: 0.901455997561, 12: 0.928608748943},
    ),
    (
        [1.2, 0.4, 0.8, 2.5, 0.05, 0.9, 14.0, 0.3, 3.1, 0.02, 0.6, 1.7, 40.0], 3,
        0.915968031397, 2.46439951145, {6: 1.02912349109, 12: 0.926118332832},
        {0: 1.07190390395, 4: 0.440544503387, 6: 10.6580610679, 12: 30.7806042868},
    ),
    (
        [0.9, 1.1, 1.0, 1.3, 0.7, 0.8, 1.2, 25.0, 1.05, 0.95], 2,
        1.61917040158, math.inf, {7: 7.88044562685e-05}, {7: 24.9990787795},
    ),
)  # fmt: skip


@pytest.mark.parametrize(("values", "freedom", "scale", "shared", "shrunk", "posterior"), LIMMA)
def test_it_is_limmas(
    values: list[float],
    freedom: int,
    scale: float,
    shared: float,
    shrunk: dict[int, float],
    posterior: dict[int, float],
) -> None:
    variances, count = np.array(values), len(values)
    prior = fit_prior(variances, np.full(count, freedom))
    assert prior.variance == pytest.approx(scale, rel=1e-7)
    bound = (count - 2) * freedom  # which limma does not have
    expected = [min(shrunk.get(at, shared), bound) for at in range(count)]
    np.testing.assert_allclose(prior.freedom, expected, rtol=1e-5)
    squeezed, _ = squeeze(variances, np.full(count, float(freedom)), np.full(count, prior.variance), prior.freedom)
    for at, value in posterior.items():
        assert squeezed[at] == pytest.approx(value, rel=1e-5)


def test_squeezing_by_hand() -> None:
    variances, freedom = squeeze(np.array([4.0, 4.0]), np.array([2.0, 2.0]), np.array([1.0, 9.0]), np.array([6.0, 0.0]))
    assert (variances.tolist(), freedom.tolist()) == ([(6 * 1 + 2 * 4) / 8, 4.0], [8.0, 2.0])


def test_variances_of_one_distribution_get_a_long_prior_and_one_outlier_none_of_it() -> None:
    draw = np.random.default_rng(3)
    variances = 0.25 * draw.chisquare(3, 13) / 3
    usual = fit_prior(variances, np.full(13, 3))
    assert usual.variance == pytest.approx(0.25, rel=0.4)
    assert usual.freedom.max() <= 11 * 3
    wild = fit_prior(np.append(variances, 1e4), np.full(14, 3))
    assert wild.freedom[-1] < 0.1
    assert wild.variance == pytest.approx(usual.variance, rel=0.35)
    assert np.median(wild.freedom) > 10


def test_the_estimated_prior_is_that_of_the_made_variances() -> None:
    """Many variances of 3 degrees whose true ones are 2 * 6 / chi^2(6)."""
    draw = np.random.default_rng(4)
    variances = 2 * 6 / draw.chisquare(6, 4000) * draw.chisquare(3, 4000) / 3
    prior = fit_prior(variances, np.full(4000, 3))
    assert prior.variance == pytest.approx(2, rel=0.1)
    assert np.median(prior.freedom) == pytest.approx(6, rel=0.2)


@pytest.mark.parametrize(
    ("variances", "freedom"),
    [
        ([], []),
        ([1.0, 2.0], [3, 3]),  # two say nothing of the difference of these two
        ([1.0, 2.0, 1.5], [3, 3, 0]),
        ([0.0, 0.0, 0.0, 1.0], [3, 3, 3, 3]),
        ([1.0, 1e-9, 1e9, 1e20, 1e-20], [3, 3, 3, 3, 3]),  # nothing in common
    ],
)  # fmt: skip
def test_no_prior(variances: list[float], freedom: list[int]) -> None:
    prior = fit_prior(np.array(variances), np.array(freedom, dtype=np.int64))
    np.testing.assert_allclose(prior.freedom, 0, atol=0.2)


def test_the_most_common_freedom_makes_the_prior() -> None:
    variances = np.array([1.0, 1.3, 0.8, 1.1, 0.6, 1.0, 500.0])
    prior = fit_prior(variances, np.array([3, 3, 3, 3, 3, 1, 7]))
    assert prior.variance == fit_prior(variances[:5], np.full(5, 3)).variance
    assert prior.freedom[0] == 3 * 3
    assert prior.freedom[6] < 0.1
