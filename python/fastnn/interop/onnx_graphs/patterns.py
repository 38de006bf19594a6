"""Functions that writers spell out in single operations, as the one function that they are.

GELU by Erf, SiLU by Sigmoid, softplus and sigmoid by Exp, and ELU and its kin by Min: each is found
from its last operation, whatever factors stand between. Those of whole rows are in `row_patterns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fastnn.interop.onnx_graphs import row_patterns
from fastnn.interop.onnx_graphs.terms import Term, Terms, orders, scalar_affine

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
    for x, gate in orders(term):
        if gate.op == "sigmoid":
            m = _ratio(x, gate.inputs[0])
            if m is not None:
                return _scaled(terms, terms.unary("silu", gate.inputs[0]), m)
    return None


def _gelu(terms: Terms, term: Term) -> Term | None:
    """x * (1 + erf(x / sqrt(2))) / 2."""
    for x, gate in orders(term):
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
    """log(1 + exp(x)), and log(sigmoid(x))."""
    (inner,) = term.inputs
    if inner.op == "sigmoid":
        return terms.unary("log_sigmoid", inner.inputs[0])
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
    for above, below in orders(term):
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


def _prelu(terms: Terms, term: Term) -> Term | None:
    """relu(x) + slopes * min(x, 0), with slopes that differ."""
    for above, below in orders(term):
        if above.op != "at_least" or above.options["number"] != 0 or below.op != "affine":
            continue
        (x,) = above.inputs
        slopes = below.scale
        if below.inputs[0] is terms.at_most(x, 0.0) and below.shift is None and slopes is not None:
            return terms.unary("prelu", x, slopes=slopes)
    return None


def _choice(terms: Terms, term: Term) -> Term | None:
    """x above a limit, and a line through the limit, or a number, below it; of |x| hard_shrink."""
    condition, above, below = term.inputs
    if condition.op != "greater":
        return None
    limit, (x,) = condition.options["number"], condition.inputs
    most = math.inf
    if x is terms.unary("abs", above) and below.op == "number" and below.options["value"] == 0:
        return terms.unary("hard_shrink", above, threshold=limit) if limit >= 0 else None
    if above.op == "at_most":
        most, (above,) = above.options["number"], above.inputs
    if above is not x:
        return None
    if below.op == "number":
        value = below.options["value"]
        if most == math.inf:
            return terms.unary("threshold", x, threshold=limit, default_value=value)
        slope = 0.0 if value == 0 else -1.0
    else:
        base, slope, shift = scalar_affine(below)
        slope = slope if base is x and _near(shift, -slope * limit) else -1.0
    if slope < 0 or limit < 0 or most < limit:
        return None
    return terms.unary("rectifier", x, max_value=most, negative_slope=slope, threshold=limit)


def _square_plus(terms: Terms, term: Term) -> Term | None:
    """(x + sqrt(x**2 + b)) / 2."""
    total, a, shift = scalar_affine(term)
    if total.op != "add" or shift != 0:
        return None
    for x, root in orders(total):
        if root.op != "sqrt":
            continue
        square, one, b = scalar_affine(root.inputs[0])
        if square is terms.make("multiply", (x, x), x.shape) and one == 1 and b >= 0:
            return _scaled(terms, terms.unary("squareplus", x, b=b), 2 * a)
    return None


def _log_sigmoid(terms: Terms, term: Term) -> Term | None:
    """-softplus(-x)."""
    base, a, b = scalar_affine(term)
    if base.op != "softplus" or a != -1 or b != 0:
        return None
    (inner,) = base.inputs
    return terms.unary("log_sigmoid", _unscaled(terms, inner, -1.0))


def _tanh_shrink(terms: Terms, term: Term) -> Term | None:
    """x - tanh(x)."""
    x, bent = term.inputs
    return terms.unary("tanh_shrink", x) if bent is terms.unary("tanh", x) else None


def _softsign(terms: Terms, term: Term) -> Term | None:
    """x / (1 + |x|)."""
    x, below = term.inputs
    base, a, b = scalar_affine(below)
    return terms.unary("softsign", x) if base is terms.unary("abs", x) and a == b == 1 else None


_Pattern = Callable[[Terms, Term], Term | None]

_PATTERNS: dict[str, tuple[_Pattern, ...]] = {
    "affine": (_plain, _square_plus, _log_sigmoid),
    "multiply": (row_patterns.glu, _silu, _gelu, row_patterns.normalize, row_patterns.rms),
    "divide": (
        *(row_patterns.softmax, row_patterns.normalize, row_patterns.rms, row_patterns.unit),
        _softsign,
    ),
    "subtract": (_tanh_shrink,),
    "reciprocal": (_sigmoid,),
    "log": (_softplus,),
    "where": (_with_threshold, _choice),
    "add": (_both_sides, _prelu),
    "at_most": (row_patterns.multi_hot,),
    "sum": (row_patterns.counts,),
}
