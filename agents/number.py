"""Numbers of bounded size for `agents.arithmetic`: fractions that know whether they are exact."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from agents.errors import ToolError

MAX_BITS = 8192
SIGNIFICANT = 15
LONGEST = 60

_CONTEXT = decimal.Context(prec=50)
_PI = Fraction("3.14159265358979323846264338327950288419716939937511")
_E = Fraction("2.71828182845904523536028747135266249775724709369996")


class TooLarge(Exception):
    """An intermediate value is beyond what is computed."""

    def __init__(self) -> None:
        super().__init__("the numbers are too large")


@dataclass(frozen=True, slots=True)
class Number:
    """A value; `percent` marks one written as a percentage (10 % is 1/10, marked)."""

    value: Fraction
    exact: bool = True
    percent: bool = False

    def text(self) -> tuple[str, bool]:
        """Decimal digits without noise, and whether they are all of them."""
        if self.exact and (whole := _terminating(self.value)) is not None:
            return whole, True
        rounded = decimal.Context(prec=SIGNIFICANT).plus(_decimal(self.value)).normalize()
        return _plain(rounded), False


def bounded(value: Fraction, *, exact: bool, percent: bool = False) -> Number:
    """A number, unless it is too large to go on with."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge
    return Number(value, exact, percent)


def power(base: Number, exponent: Number) -> Number:
    """`base ** exponent`, exact where it can be."""
    if exponent.value.denominator == 1:
        return _integer_power(base, exponent)
    if base.value < 0:
        raise ToolError("a negative number has no real power with a fraction as exponent")
    if base.value == 0:
        if exponent.value < 0:
            raise ZeroDivisionError
        return base
    root = _exact_root(base.value, exponent.value.denominator) if base.exact and exponent.exact else None
    if root is not None:
        return _integer_power(Number(root), Number(Fraction(exponent.value.numerator)))
    logarithm = _CONTEXT.multiply(_CONTEXT.ln(_decimal(base.value)), _decimal(exponent.value))
    return _exponential(logarithm)


def _integer_power(base: Number, exponent: Number) -> Number:
    times = exponent.value.numerator
    if base.value == 0 and times < 0:
        raise ZeroDivisionError
    bits = max(base.value.numerator.bit_length(), base.value.denominator.bit_length())
    if bits > 1 and (bits - 1) * abs(times) > MAX_BITS:
        raise TooLarge
    if bits <= 1:
        times = times % 2 if base.value < 0 else min(abs(times), 1)
    return bounded(base.value**times, exact=base.exact and exponent.exact)


def _exponential(logarithm: Decimal) -> Number:
    if abs(logarithm) > MAX_BITS // 2:
        raise TooLarge
    return bounded(Fraction(_CONTEXT.exp(logarithm)), exact=False)


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    """The `degree`-th root when it is a fraction; None when it is not, or is not cheap to know."""
    if degree > 12:
        return None
    roots = [_integer_root(part, degree) for part in (value.numerator, value.denominator)]
    return None if roots[0] is None or roots[1] is None else Fraction(roots[0], roots[1])


def _integer_root(value: int, degree: int) -> int | None:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _terminating(value: Fraction) -> str | None:
    """All decimal digits, when they end and are few enough to read."""
    rest, places = value.denominator, 0
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for factor in (2, 5):
        while rest % factor == 0:
            rest, places = rest // factor, places + 1
    if rest != 1:
        return None
    scaled = value * 10**places
    exact = decimal.Context(prec=MAX_BITS)
    digits = exact.normalize(exact.scaleb(Decimal(scaled.numerator), -places))
    text = f"{digits:f}"
    return text if len(text) <= LONGEST else None


def _plain(value: Decimal) -> str:
    """Without an exponent, unless that would be unreadable."""
    return f"{value:f}" if -SIGNIFICANT <= value.adjusted() <= 20 else f"{value:E}"


def _function(*counts: int, compute: Callable[..., Number]) -> Callable[[tuple[Number, ...]], Number]:
    def call(arguments: tuple[Number, ...]) -> Number:
        if counts and len(arguments) not in counts:
            wanted = " or ".join(str(count) for count in counts)
            raise ToolError(f"the function takes {wanted} arguments, not {len(arguments)}")
        return compute(*arguments)

    return call


def _root(degree: int) -> Callable[[Number], Number]:
    def root(number: Number) -> Number:
        if number.value < 0:
            if degree % 2 == 0:
                raise ToolError("a negative number has no real square root")
            positive = root(Number(-number.value, number.exact))
            return Number(-positive.value, positive.exact)
        return power(number, Number(Fraction(1, degree)))

    return root


def _whole(rounding: Callable[[Fraction], int]) -> Callable[[Number], Number]:
    return lambda number: Number(Fraction(rounding(number.value)), number.exact)


def _round(number: Number, places: Number = Number(Fraction(0))) -> Number:
    """Half away from zero, as people round; not half to even."""
    if places.value.denominator != 1 or abs(places.value) > 100:
        raise ToolError("round takes a whole number of places")
    scale = Fraction(10) ** int(places.value)
    scaled = abs(number.value) * scale + Fraction(1, 2)
    rounded = Fraction(math.floor(scaled)) / scale
    return Number(rounded if number.value >= 0 else -rounded, number.exact)


def _factorial(number: Number) -> Number:
    if number.value.denominator != 1 or number.value < 0:
        raise ToolError("factorial takes a whole number that is not negative")
    if number.value > 900:
        raise TooLarge
    return bounded(Fraction(math.factorial(int(number.value))), exact=number.exact)


def _logarithm(number: Number, base: Number | None = None) -> Number:
    if number.value <= 0 or (base is not None and base.value <= 0):
        raise ToolError("a logarithm needs numbers above zero")
    value = _CONTEXT.ln(_decimal(number.value))
    if base is not None:
        value = _CONTEXT.divide(value, _CONTEXT.ln(_decimal(base.value)))
        nearest = Fraction(round(value))
        # log(1000) is exactly 3, whatever the last digit of the quotient says.
        exact = number.exact and base.exact and abs(nearest) < 1000
        if exact and base.value**nearest.numerator == number.value:
            return Number(nearest)
    return bounded(Fraction(value), exact=False)


def _trigonometric(compute: Callable[[float], float]) -> Callable[[Number], Number]:
    def call(number: Number) -> Number:
        if abs(number.value) > 10**15:
            raise TooLarge
        value = round(compute(float(number.value)), SIGNIFICANT)
        return Number(Fraction(repr(value)), exact=number.value == 0)

    return call


def _extreme(pick: Callable[..., Number]) -> Callable[..., Number]:
    return lambda *numbers: pick(numbers, key=lambda number: number.value)


def _total(*numbers: Number) -> Number:
    return bounded(sum((n.value for n in numbers), Fraction(0)), exact=all(n.exact for n in numbers))


def _mean(*numbers: Number) -> Number:
    total = _total(*numbers)
    return bounded(total.value / len(numbers), exact=total.exact)


_TEN, _TWO = Number(Fraction(10)), Number(Fraction(2))

CONSTANTS = {"pi": _PI, "π": _PI, "e": _E}
FUNCTIONS: dict[str, Callable[[tuple[Number, ...]], Number]] = {
    "sqrt": _function(1, compute=_root(2)),
    "cbrt": _function(1, compute=_root(3)),
    "abs": _function(1, compute=lambda number: Number(abs(number.value), number.exact)),
    "round": _function(1, 2, compute=_round),
    "floor": _function(1, compute=_whole(math.floor)),
    "ceil": _function(1, compute=_whole(math.ceil)),
    "factorial": _function(1, compute=_factorial),
    "ln": _function(1, compute=_logarithm),
    "log": _function(1, 2, compute=lambda number, base=_TEN: _logarithm(number, base)),
    "log2": _function(1, compute=lambda number: _logarithm(number, _TWO)),
    "log10": _function(1, compute=lambda number: _logarithm(number, _TEN)),
    "exp": _function(1, compute=lambda number: power(Number(_E, exact=number.value == 0), number)),
    "sin": _function(1, compute=_trigonometric(math.sin)),
    "cos": _function(1, compute=_trigonometric(math.cos)),
    "tan": _function(1, compute=_trigonometric(math.tan)),
    "min": _function(compute=_extreme(min)),
    "max": _function(compute=_extreme(max)),
    "sum": _function(compute=_total),
    "avg": _function(compute=_mean),
    "mean": _function(compute=_mean),
}
