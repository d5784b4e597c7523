"""The search for critical levels: few evaluations where a curve takes one at every level.

It looks for the crossing on the curve's own levels: two neighbours, the tolerance between their delta losses. The rest
is the curve's linear interpolation, so search and curve estimate the same number. Levels are tried where the logarithm
of delta loss, interpolated between what is known, meets the tolerance; evaluations of levels that only have to be put
on a side stop once their side is clear (loss.Decision), and the two neighbours are evaluated on all blocks in the end.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from smdl.compression.curve import CurvePoint, point
from smdl.compression.loss import CompressionLoss, Decision
from smdl.compression.scheme import Scheme

FLOOR, CEILING = 0.02, 50.0
"""Delta losses are clipped to these multiples of the tolerance before their logarithm is interpolated."""


def search(
    loss: CompressionLoss,
    scheme: Scheme,
    levels: Sequence[float],
    seeds: Sequence[int],
    epsilons: Sequence[float],
    error_rate: float,
) -> list[CurvePoint]:
    """The points it took to bracket every tolerance for every seed.

    ``levels`` run from the finest to the coarsest, and so do the points of a seed. ``error_rate`` bounds the
    probability that one evaluation which stopped early put its level on the wrong side.
    """
    points: list[CurvePoint] = []
    hints: dict[float, tuple[int, int]] = {}
    for seed in seeds:
        own = Bracketing(loss, scheme, levels, seed, error_rate)
        hint: tuple[int, int] | None = None
        for epsilon in sorted(epsilons):
            hint = hints[epsilon] = own.bracket(epsilon, hints.get(epsilon, hint))
        points += [own.points[index] for index in sorted(own.points)]
    return points


class Bracketing:
    """The levels evaluated so far with one seed, by their index; -1 and len(levels) stand beyond the two ends."""

    def __init__(self, loss: CompressionLoss, scheme: Scheme, levels: Sequence[float], seed: int, error_rate: float):
        self.loss = loss
        self.scheme = scheme
        self.levels = levels
        self.seed = seed
        self.error_rate = error_rate
        self.points: dict[int, CurvePoint] = {}

    def bracket(self, epsilon: float, hint: tuple[int, int] | None) -> tuple[int, int]:
        """Neighbouring levels below and above ``epsilon``, both evaluated on all blocks.

        ``hint`` are levels near which to look first: the bracket of a neighbouring tolerance or of another seed.
        """
        decision = Decision(epsilon, self.error_rate)
        reach, last = 1 if hint else max(1, len(self.levels) // 4), len(self.levels) + 1
        while True:
            below, above = self._sides(decision)
            if above - below == 1:
                if not self._complete(below) and not self._complete(above):
                    return below, above
                continue
            hinted = [index for index in hint or () if below < index < above]
            if hinted:
                index = hinted[0]
            elif below == -1 and above == len(self.levels):
                index = len(self.levels) // 2
            elif below == -1 or above == len(self.levels):
                index, reach = self._outwards(below, above, epsilon, reach), 2 * reach
            else:
                slow, last = above - below > last / 2, above - below
                index = (below + above) // 2 if slow else self._inside(below, above, epsilon)
            self._evaluate(index, decision)

    def _sides(self, decision: Decision) -> tuple[int, int]:
        """The finest level known to be above the tolerance, and the coarsest below among those finer than it.

        Where the finest level of all is above, those above that come before the first one below do not count: sought is
        a rise. A level whose evaluation was stopped for another tolerance, with this one still open, is completed.
        """
        for index in sorted(self.points):
            if not self.loss.settled(self.points[index].delta, decision):
                self._complete(index)
        over = {index: known.delta.value > decision.epsilon for index, known in self.points.items()}
        start = min((index for index in over if not over[index]), default=-1) if over.get(0) else -1
        above = min((index for index in over if over[index] and index > start), default=len(self.levels))
        return max((index for index in over if index < above), default=-1), above

    def _evaluate(self, index: int, decision: Decision) -> None:
        self.points[index] = point(self.loss, self.scheme, self.levels[index], self.seed, self._start(index), decision)

    def _start(self, index: int) -> float | None:
        """The tuned value of the nearest level that has one; at first a value in the upper part of the interval."""
        if self.scheme.tuned is None:
            return None
        if not self.points:
            return self.scheme.tuned.high / 2
        return self.points[min(self.points, key=lambda other: abs(other - index))].tuned

    def _complete(self, index: int) -> bool:
        """Evaluate a level on all blocks, its tuned value minimised there; whether that was still to be done."""
        known = self.points.get(index)
        if known is None or (known.delta.complete and known.minimal):
            return False
        if self.scheme.tuned is None:
            compressed = self.scheme.compress(self.loss.weights, known.level, self.seed, None)
            full = replace(known, delta=self.loss(compressed, begun=known.delta), evaluations=1)
        else:
            full = point(self.loss, self.scheme, known.level, self.seed, known.tuned)
        self.points[index] = replace(full, evaluations=known.evaluations + full.evaluations)
        return True

    def _outwards(self, below: int, above: int, epsilon: float, reach: int) -> int:
        """A level beyond all known ones, at most ``reach`` away: where the two outermost point to, or ``reach``."""
        coarser = above == len(self.levels)
        known = sorted(self.points)
        pair = known[-2:] if coarser else known[:2]
        pointed = len(pair) == 2 and self._log(pair[1], epsilon) > self._log(pair[0], epsilon)
        if coarser:
            far = min(below + reach, above - 1)
            return max(below + 1, min(far, math.ceil(self._crossing(*pair, epsilon)))) if pointed else far
        far = max(above - reach, below + 1)
        return min(above - 1, max(far, math.floor(self._crossing(*pair, epsilon)))) if pointed else far

    def _inside(self, below: int, above: int, epsilon: float) -> int:
        """The level next to where delta loss should cross, on the side that shrinks the bracket more."""
        crossing = self._crossing(below, above, epsilon)
        index = math.floor(crossing) if crossing - below > above - crossing else math.ceil(crossing)
        return min(max(index, below + 1), above - 1)

    def _crossing(self, left: int, right: int, epsilon: float) -> float:
        """Where, in levels, the line through log delta loss at ``left`` and ``right`` meets the tolerance."""
        low, high = self._log(left, epsilon), self._log(right, epsilon)
        return left + (right - left) * -low / (high - low)

    def _log(self, index: int, epsilon: float) -> float:
        """log(delta loss / epsilon), clipped."""
        return math.log(min(max(self.points[index].delta.value / epsilon, FLOOR), CEILING))
