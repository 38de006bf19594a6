"""Functions that writers spell out in single operations, as the one function that they are.

GELU by Erf, SiLU by Sigmoid, softplus, sigmoid and softmax by Exp, normalization by means, and ELU and
its kin by Min: each is found from its last operation, whatever factors stand between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fastnn.interop.onnx_graphs.terms import Term, Terms, scalar_affine

# Constants of graphs in float32 are rounded, and products of two of them once more.
_TOLERANCE = 1e-6


def rewritten(terms: Terms, outputs: Sequence[Term]) -> list[Term]:
    """The same values with functions in place of their operations."""
    made: dict[Term, Term] = {}
    stack = list(outputs)
    while stack:
        term = stack[-1]
        missing = [part for part in term.inputs if part not in made]
        if missing and term not in made:
            stack += missing
            continue
        stack.pop()
        if term not in made:
            terms.where = term.where
            made[term] = _function(terms, _again(terms, term, [made[p] for p in term.inputs]))
    return [made[output] for output in outputs]


def _again(terms: Terms, term: Term, inputs: list[Term]) -> Term:
    if all(a is b for a, b in zip(inputs, term.inputs, strict=True)):
        return term
    if term.op == "reshape":
        return terms.reshape(inputs[0], term.shape)
    return terms.make(term.op, inputs, term.shape, term.kind, **term.options)


def _function(terms: Terms, term: Term) -> Term:
    for pattern in _PATTERNS.get(term.op, ()):
        found = pattern(terms, term)
        if found is not None:
            return found
    return term


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-30)


def _orders(term: Term) -> tuple[tuple[Term, Term], tuple[Term, Term]]:
    a, b = term.inputs
    return (a, b), (b, a)


def _ratio(a: Term, b: Term) -> float | None:
    """m where a = m * b; None: there is none."""
    (x, scale, shift), (y, other, offset) = scalar_affine(a), scalar_affine(b)
    if x is not y or other == 0:
        return None
    m = scale / other
    return m if _near(shift, m * offset) else None


def _scaled(terms: Terms, term: Term, factor: float) -> Term:
    return term if _near(factor, 1.0) else terms.times(term, factor)


def _unscaled(terms: Terms, term: Term, factor: float) -> Term:
    """The term that gives `term` when it is multiplied by a factor."""
    if term.op == "affine" and term.shift is None:
        (inner,) = term.inputs
        scale = term.scale
        if scale is not None and scale.size == 1 and _near(float(scale.reshape(())), factor):
            return inner
    return terms.times(term, 1 / factor)


def _plain(_: Terms, term: Term) -> Term | None:
    """A product with 1 and a sum with 0 of a function that was found."""
    base, a, b = scalar_affine(term)
    return base if base.op in ("gelu", "silu") and b == 0 and _near(a, 1.0) else None


def _silu(terms: Terms, term: Term) -> Term | None:
    """x * sigmoid(x)."""
    for x, gate in _orders(term):
        if gate.op == "sigmoid":
            m = _ratio(x, gate.inputs[0])
            if m is not None:
                return _scaled(terms, terms.unary("silu", gate.inputs[0]), m)
    return None


def _gelu(terms: Terms, term: Term) -> Term | None:
    """x * (1 + erf(x / sqrt(2))) / 2."""
    for x, gate in _orders(term):
        erf, a, b = scalar_affine(gate)
        if erf.op == "erf" and a != 0 and _near(a, b):
            inner = _unscaled(terms, erf.inputs[0], math.sqrt(0.5))
            m = _ratio(x, inner)
            if m is not None:
                return _scaled(terms, terms.unary("gelu", inner), 2 * a * m)
    return None


def _exponential_plus_one(term: Term) -> Term | None:
    """x where the term is exp(x) + 1."""
    base, a, b = scalar_affine(term)
    return base.inputs[0] if base.op == "exp" and a == 1 and b == 1 else None


def _sigmoid(terms: Terms, term: Term) -> Term | None:
    """1 / (1 + exp(-x))."""
    x = _exponential_plus_one(term.inputs[0])
    return None if x is None else terms.unary("sigmoid", _unscaled(terms, x, -1.0))


def _softplus(terms: Terms, term: Term) -> Term | None:
    """log(1 + exp(x)), and log(sigmoid(x)) as -softplus(-x)."""
    (inner,) = term.inputs
    if inner.op == "sigmoid":
        return terms.times(terms.unary("softplus", _unscaled(terms, inner.inputs[0], -1.0)), -1.0)
    x = _exponential_plus_one(inner)
    return None if x is None else terms.unary("softplus", x)


def _with_threshold(_: Terms, term: Term) -> Term | None:
    """softplus(x), which is x above a threshold: from 15 on they differ by 3e-7 at most."""
    condition, above, below = term.inputs
    base, m, b = scalar_affine(below)
    if condition.op != "greater" or base.op != "softplus" or b != 0:
        return None
    (x,) = base.inputs
    ratio = _ratio(above, x)
    if condition.options["number"] < 15 or condition.inputs[0] is not x or ratio is None:
        return None
    return below if _near(ratio, m) else None


def _both_sides(terms: Terms, term: Term) -> Term | None:
    """relu(x) + what is below zero: leaky_relu, elu, and softplus as relu(x) + softplus(-|x|)."""
    for above, below in _orders(term):
        if above.op != "at_least" or above.options["number"] != 0:
            continue
        (x,) = above.inputs
        under = terms.at_most(x, 0.0)
        base, a, b = scalar_affine(below)
        if base is under and a >= 0 and b == 0:
            return terms.unary("leaky_relu", x, number=a)
        if base.op == "exp" and base.inputs[0] is under and a >= 0 and a == -b:
            return terms.unary("elu", x, number=a)
        size = terms.unary("abs", x)
        if below.op == "softplus" and _unscaled(terms, below.inputs[0], -1.0) is size:
            return terms.unary("softplus", x)
    return None


def _softmax(terms: Terms, term: Term) -> Term | None:
    """exp(x) / sum(exp(x)), also of x without its largest number."""
    power, total = term.inputs
    if power.op != "exp" or total.op != "sum" or total.inputs[0] is not power:
        return None
    (x,) = power.inputs
    if x.op == "subtract":
        whole, largest = x.inputs
        if largest.op == "largest" and largest.inputs[0] is whole:
            x = whole
    return terms.unary("softmax", x)


def _normalize(terms: Terms, term: Term) -> Term | None:
    """(x - mean) / sqrt(variance + epsilon), each row for itself."""
    for centered, factor in _orders(term):
        if term.op == "multiply":
            if factor.op != "reciprocal":
                continue
            (factor,) = factor.inputs
        if factor.op != "sqrt" or centered.op != "subtract":
            continue
        variance, a, epsilon = scalar_affine(factor.inputs[0])
        x, mean = centered.inputs
        square = terms.make("multiply", (centered, centered), centered.shape)
        if variance.op != "mean" or mean.op != "mean" or a != 1 or epsilon < 0:
            continue
        if variance.inputs[0] is square and mean.inputs[0] is x:
            return terms.unary("normalize", x, epsilon=epsilon)
    return None


_Pattern = Callable[[Terms, Term], Term | None]

_PATTERNS: dict[str, tuple[_Pattern, ...]] = {
    "affine": (_plain,),
    "multiply": (_silu, _gelu, _normalize),
    "divide": (_softmax, _normalize),
    "reciprocal": (_sigmoid,),
    "log": (_softplus,),
    "where": (_with_threshold,),
    "add": (_both_sides,),
}
