"""Variances of methods over few seeds, each squeezed towards what is usual on its task.

A variance of three or four seeds is poorly known, and its quantile of Student's t, corrected for many comparisons, is
several times that of a known one. Methods of one task resemble each other: their variances are taken for draws from a
distribution, s0^2 d0 / chi^2(d0), whose scale and degrees of freedom are estimated from all of them (Smyth, Statistical
Applications in Genetics and Molecular Biology, 2004). With this prior a variance s^2 of d degrees becomes

    (d0 s0^2 + d s^2) / (d0 + d)    with d0 + d degrees of freedom

The estimate is robust (Phipson, Lee, Majewski, Alexander and Smyth, Annals of Applied Statistics, 2016): the logarithms
are winsorised, and a method that varies far more than the others gets fewer degrees from the prior, down to none. Here
both tails of TAIL are winsorised, since of about a dozen methods limma's tails of 5 and 10 % would cut at most one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, fdtrc, fdtri, gammaincinv
from scipy.stats import rankdata

from bench.stats.combined import Floats

TAIL = 0.2  # share of the variances that is winsorised at each end
LEAST_FREEDOM = 0.01  # of a prior; with fewer there is none
MOST_FREEDOM = 1e6  # of a prior; with more, all true variances are the same
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


class Prior(NamedTuple):
    """variance: s0^2. freedom: d0 of each of the variances, [variances]; 0 where there is no prior for it."""

    variance: float
    freedom: Floats


def fit_prior(variances: Floats, freedom: NDArray[np.int64]) -> Prior:
    """The prior of variances with their degrees of freedom, [variances] each.

    It is estimated from those with the most common freedom, and holds for the others as well. Each d0 is at most the
    degrees of freedom of all but two of these together: what others say of a difference of two methods. So there is no
    prior for fewer than three variances; nor where most are 0, or where freedom is.
    """
    none = Prior(0.0, np.zeros(len(variances)))
    known = freedom > 0
    if known.sum() < 3:
        return none
    usual = int(np.bincount(freedom[known]).argmax())
    like = freedom == usual
    middle, most = float(np.median(variances[like])), float((like.sum() - 2) * usual)
    if most <= 0 or middle <= 0:
        return none
    found = np.maximum(variances, 1e-12 * middle)
    scale, shared = _winsorised_fit(np.log(found[like]), usual)
    each = np.zeros(len(variances))
    each[known] = _without_outliers(found[known] / scale, freedom[known].astype(float), shared)
    return Prior(scale, np.minimum(each, most))


def squeeze(variances: Floats, freedom: Floats, prior: Floats, prior_freedom: Floats) -> tuple[Floats, Floats]:
    """The squeezed variances and their degrees of freedom; of arrays of one shape, `freedom` above 0."""
    total = freedom + prior_freedom
    return (prior_freedom * prior + freedom * variances) / total, total


def _winsorised_fit(logs: Floats, freedom: int) -> tuple[float, float]:
    """s0^2 and d0 from the logarithms of variances, by their winsorised mean and variance."""
    low, high = np.quantile(logs, [TAIL, 1 - TAIL])
    cut = np.clip(logs, low, high)
    wanted = float(cut.var(ddof=1))

    def excess(log_freedom: float) -> float:
        return _winsorised_moments(freedom, math.exp(log_freedom))[1] - wanted

    least, most = math.log(LEAST_FREEDOM), math.log(MOST_FREEDOM)
    if excess(most) >= 0:
        shared = math.inf  # they vary no more than estimates of one variance
    elif excess(least) <= 0:
        shared = 0.0
    else:
        shared = math.exp(brentq(excess, least, most))
    mean, _ = _winsorised_moments(freedom, max(shared, LEAST_FREEDOM))
    return math.exp(float(cut.mean()) - mean), shared


def _winsorised_moments(freedom: float, prior_freedom: float) -> tuple[float, float]:
    """Mean and variance of the winsorised logarithm of an F-distributed variable."""
    inside = 0.5 - TAIL
    logs = np.log(_quantiles(freedom, prior_freedom, np.concatenate([0.5 + inside * _NODES, [TAIL, 1 - TAIL]])))
    weights = np.concatenate([inside * _WEIGHTS, [TAIL, TAIL]])
    mean = float(weights @ logs)
    return mean, float(weights @ (logs - mean) ** 2)


def _quantiles(freedom: float, prior_freedom: float, at: Floats) -> Floats:
    found: Floats = (
        2 * gammaincinv(freedom / 2, at) / freedom if math.isinf(prior_freedom) else fdtri(freedom, prior_freedom, at)
    )
    return found


def _tails(ratios: Floats, freedom: Floats, prior_freedom: float) -> Floats:
    found: Floats = (
        chdtrc(freedom, freedom * ratios) if math.isinf(prior_freedom) else fdtrc(freedom, prior_freedom, ratios)
    )
    return found


def _without_outliers(ratios: Floats, freedom: Floats, shared: float) -> Floats:
    """d0 of each variance from its ratio to s0^2: less than the shared one where the ratio is too large to belong."""
    count = len(ratios)
    if shared == 0:
        return np.zeros(count)
    tails = _tails(ratios, freedom, shared)
    belongs = np.minimum(tails * count / (count - rankdata(ratios) + 0.5), 1.0)
    order = np.argsort(tails)
    if math.isinf(shared):
        each = np.where(belongs < 1, belongs * freedom.sum(), shared)[order]
    else:
        each = (belongs * shared + (1 - belongs) * _of_outliers(ratios, freedom, shared))[order]
        means = np.cumsum(each) / np.arange(1, count + 1)
        each[: int(means.argmin()) + 1] = means.min()
    found = np.empty(count)
    found[order] = np.maximum.accumulate(each)  # one that is further out has no more than one that is less so
    return found


def _of_outliers(ratios: Floats, freedom: Floats, shared: float) -> float:
    """The d0 with which the largest ratio would be a usual one: near the median of its distribution."""
    at = int(_tails(ratios, freedom, shared).argmin())
    found = shared
    for _ in range(2):
        tail = float(fdtrc(freedom[at], found, ratios[at]))
        if tail == 0:
            return 0.0
        found *= math.log(0.5) / math.log(tail)
    return found
