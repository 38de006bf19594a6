"""Functions of whole rows, or of their parts, that writers spell out in single operations.

Softmax by Exp, normalizations by means and lengths, and categories by sums of their columns: see
`patterns`.
"""

from __future__ import annotations

from fastnn.interop.onnx_graphs.terms import Term, Terms, orders, scalar_affine


def softmax(terms: Terms, term: Term) -> Term | None:
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


def _divisions(term: Term) -> list[tuple[Term, Term]]:
    """x and y where the term is x / y, also as a product with 1 / y. Repeated y are y."""
    if term.op == "divide":
        found = [term.inputs]
    else:
        found = [(a, b.inputs[0]) for a, b in orders(term) if b.op == "reciprocal"]
    return [(x, _unrepeated(y)) for x, y in found]


def _unrepeated(term: Term) -> Term:
    """A single number of a row that is repeated for all columns, once."""
    found = term
    while found.op in ("repeat", "reshape"):
        (found,) = found.inputs
    return found if found.shape in ((), (1,)) else term


def _same(a: Term, b: Term) -> bool:
    """Whether rows have the same numbers, in any shape."""
    a, b = (part.inputs[0] if part.op == "reshape" else part for part in (a, b))
    return a is b


def _mean_of(x: Term, mean: Term) -> int | None:
    """How many parts of one size a row has, the means of which are `mean`; None: it is none."""
    mean = mean.inputs[0] if mean.op == "reshape" else mean
    if mean.op != "mean" or not _same(mean.inputs[0], x):
        return None
    taken = mean.inputs[0]
    if mean.options["axes"] != tuple(range(len(taken.shape)))[-len(mean.options["axes"]) :]:
        return None
    return mean.size


def normalize(terms: Terms, term: Term) -> Term | None:
    """(x - mean) / sqrt(variance + epsilon), each row, or each part of it, for itself."""
    for centered, factor in _divisions(term):
        if factor.op != "sqrt" or centered.op != "subtract":
            continue
        variance, a, epsilon = scalar_affine(factor.inputs[0])
        x, mean = centered.inputs
        square = terms.make("multiply", (centered, centered), centered.shape)
        parts = _mean_of(x, mean)
        if parts is None or a != 1 or epsilon < 0 or parts != _mean_of(square, variance):
            continue
        flat = terms.reshape(x, (x.size,))
        if parts == 1:
            made = terms.unary("normalize", flat, epsilon=epsilon)
        else:
            made = terms.unary("group_normalize", flat, epsilon=epsilon, groups=parts)
        return terms.reshape(made, x.shape)
    return None


def rms(terms: Terms, term: Term) -> Term | None:
    """x / sqrt(mean(x**2) + epsilon)."""
    for x, factor in _divisions(term):
        if factor.op != "sqrt":
            continue
        squares, a, epsilon = scalar_affine(factor.inputs[0])
        square = terms.make("multiply", (x, x), x.shape)
        if _mean_of(square, squares) == 1 and a == 1 and epsilon >= 0:
            made = terms.unary("rms_normalize", terms.reshape(x, (x.size,)), epsilon=epsilon)
            return terms.reshape(made, x.shape)
    return None


def unit(terms: Terms, term: Term) -> Term | None:
    """x / max(sqrt(sum(x**2)), 1e-12)."""
    x, length = term.inputs[0], _unrepeated(term.inputs[1])
    if length.op == "at_least":
        if abs(length.options["number"]) > 1e-10:
            return None
        (length,) = length.inputs
    if length.op == "reshape":
        (length,) = length.inputs
    if length.op != "sqrt":
        return None
    total = length.inputs[0]
    total = total.inputs[0] if total.op == "reshape" else total
    square = terms.make("multiply", (x, x), x.shape)
    if total.op != "sum" or not _same(total.inputs[0], square) or total.size != 1:
        return None
    return terms.reshape(terms.unary("unit_normalize", terms.reshape(x, (x.size,))), x.shape)


def counts(terms: Terms, term: Term) -> Term | None:
    """The sum of columns of categories over the numbers of a row: how often a row has each."""
    (hot,) = term.inputs
    if hot.op != "one_hot" or term.options["axes"] != (0,) or len(hot.shape) != 2:
        return None
    (ids,) = hot.inputs
    count = hot.options["count"]
    made = terms.make("categories", (ids,), (count,), count=count, mode="count")
    return terms.reshape(made, term.shape)


def multi_hot(terms: Terms, term: Term) -> Term | None:
    """The smaller of 1 and how often a row has each category: whether it has it."""
    (found,) = term.inputs
    inner = found.inputs[0] if found.op == "reshape" else found
    if inner.op != "categories" or term.options["number"] != 1:
        return None
    options = {**inner.options, "mode": "multi_hot"}
    return terms.reshape(
        terms.make("categories", inner.inputs, inner.shape, **options), found.shape
    )


def _half(term: Term) -> tuple[Term, int] | None:
    """A row, and which half of its columns the term is."""
    found = term.inputs[0] if term.op == "reshape" else term
    if found.op != "parts":
        return None
    (x,) = found.inputs
    places = found.options["places"]
    axis, size = found.options["axis"], x.shape[found.options["axis"]]
    first = tuple(range(size // 2)), tuple(range(size // 2, size))
    if axis != 0 or size % 2 or places not in first:
        return None
    whole = x.inputs[0] if x.op == "reshape" else x
    return whole, first.index(places)


def glu(terms: Terms, term: Term) -> Term | None:
    """The first half of a row times the sigmoid of the second one."""
    for value, gate in orders(term):
        if gate.op != "sigmoid":
            continue
        first, second = _half(value), _half(gate.inputs[0])
        if first is not None and second is not None and first[0] is second[0]:
            x, order = first[0], (first[1], second[1])
            if order != (0, 1):
                continue
            made = terms.make("glu", (terms.reshape(x, (x.size,)),), (x.size // 2,))
            return terms.reshape(made, term.shape)
    return None
