"""Exact arithmetic on an expression as a person types it.

`tokenize` reads words and signs; they become a Python expression, which simpleeval evaluates with the operators
and functions below and nothing else. A value is a Fraction while it is exact, so that 17.5 % of 2480 is 434 and
not 434.00000000000006, and a float once it is not. Length and the size of every value are bounded.
"""

from __future__ import annotations

import ast
import decimal
import inspect
import math
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any, Literal, NamedTuple

from simpleeval import InvalidExpression, SimpleEval

from agents.errors import ToolError

MAX_LENGTH = 400
MAX_TOKENS = 150
MAX_BITS = 8192
MAX_DIGITS = 60
SIGNIFICANT = 15

Value = Fraction | float


class Token(NamedTuple):
    """A piece of an expression."""

    kind: Literal["number", "name", "operator"]
    text: str


class Calculation(NamedTuple):
    """A value as text, and whether the text is the whole of it."""

    result: str
    exact: bool


class Percent(Fraction):
    """A percentage: added to or taken away from a number, it is one of that number."""


def _bounded(value: Value, exponent: Value = 1) -> Value:
    """The value, unless its power is too large to go on with."""
    if (max(part.bit_length() for part in value.as_integer_ratio()) - 1) * exponent > MAX_BITS:
        raise OverflowError
    return value


def _add(left: Value, right: Value) -> Value:
    if not isinstance(right, Percent):
        return left + right
    return Percent(left + right) if isinstance(left, Percent) else left + left * right


def _percent(value: Value) -> Value:
    if isinstance(value, float):
        raise ToolError("a percentage needs an exact number")
    return Percent(value / 100)


def _power(base: Value, exponent: Value) -> Value:
    """`base ** exponent`, exact where it can be."""
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if isinstance(base, Fraction):
            _bounded(base, abs(exponent))
        return base ** int(exponent)
    if base < 0:
        raise ToolError("a negative number has no real root")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        root = Fraction(*(round(part ** (1 / exponent.denominator)) for part in base.as_integer_ratio()))
        if root**exponent.denominator == base:
            return _power(root, Fraction(exponent.numerator))
    return float(float(base) ** float(exponent))


def _logarithm(value: Value, base: Value = Fraction(10)) -> Value:
    if value <= 0 or base <= 0:
        raise ToolError("a logarithm needs numbers above zero")
    over, under = (Decimal(n) / Decimal(d) for n, d in (value.as_integer_ratio(), base.as_integer_ratio()))
    result = float(over.ln() / under.ln())
    whole = isinstance(value, Fraction) and isinstance(base, Fraction) and base.denominator == 1
    return Fraction(round(result)) if whole and Fraction(base) ** round(result) == value else result


def _round(value: Value, places: Value = Fraction(0)) -> Value:
    """Half away from zero, as people round; not half to even."""
    if places != int(places) or not -100 <= places <= 100:
        raise ToolError("round takes a whole number of places")
    scale = Fraction(10) ** int(places)
    rounded = math.floor(abs(Fraction(value)) * scale + Fraction(1, 2)) / scale
    return rounded if value >= 0 else -rounded


def _factorial(value: Value) -> Value:
    if value < 0 or value != int(value):
        raise ToolError("factorial takes a whole number that is not negative")
    # 999! is beyond MAX_BITS.
    return Fraction(math.factorial(min(int(value), 999)))


def _trigonometric(compute: Callable[[float], float]) -> Callable[[Value], Value]:
    """Rounded, so that sin(pi) is 0; exact at 0 only."""
    return lambda value: round(compute(float(value)), SIGNIFICANT) if value else Fraction(compute(0))


def _sum(value: Value, *more: Value) -> Value:
    return reduce(lambda left, right: _bounded(left + right), more, value)


_CONSTANTS: dict[str, Value] = {"pi": math.pi, "π": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "sqrt": lambda value: _power(value, Fraction(1, 2)),
    "cbrt": lambda value: _power(abs(value), Fraction(1, 3)) * (1 if value >= 0 else -1),
    "abs": abs, "round": _round, "factorial": _factorial, "sum": _sum,
    "floor": lambda value: Fraction(math.floor(value)), "ceil": lambda value: Fraction(math.ceil(value)),
    "log": _logarithm, "log10": _logarithm, "log2": lambda value: _logarithm(value, Fraction(2)),
    "ln": lambda value: _logarithm(value, math.e), "exp": lambda value: _power(math.e, value),
    "sin": _trigonometric(math.sin), "cos": _trigonometric(math.cos), "tan": _trigonometric(math.tan),
    "avg": lambda value, *more: _sum(value, *more) / (1 + len(more)),
    "mean": lambda value, *more: _sum(value, *more) / (1 + len(more)),
    "min": lambda value, *more: min(value, *more, value), "max": lambda value, *more: max(value, *more, value),
}  # fmt: skip
_OPERATORS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Add: _add, ast.Sub: lambda left, right: _add(left, type(right)(-right)), ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: lambda left, right: Fraction(left // right), ast.Mod: operator.mod,
    ast.Pow: _power, ast.USub: lambda value: type(value)(-value), ast.UAdd: lambda value: value,
}  # fmt: skip
_NODES = (ast.Expr, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Attribute)
_POSTFIXES: dict[str, Callable[[Value], Value]] = {
    "percent": _percent,
    "squared": lambda value: _power(value, Fraction(2)),
    "cubed": lambda value: _power(value, Fraction(3)),
}
_MEANINGS = {
    "×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "^": "**",  # noqa: RUF001
    "plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "x": "*", "divided by": "/", "over": "/",
    "of": "*", "modulo": "mod", "percent": "%", "per cent": "%", "to the power of": "**", "square root of": "sqrt",
    "the square root of": "sqrt", "cube root of": "cbrt", "the cube root of": "cbrt",
}  # fmt: skip
_PYTHON = {"mod": "%", "squared": ".squared", "cubed": ".cubed"}
_CLOSING = (")", "squared", "cubed")
_WORDS = sorted((*_PYTHON, *_FUNCTIONS, *_CONSTANTS, *_MEANINGS), key=len, reverse=True)


def _piece(numbers: str, comma: str) -> re.Pattern[str]:
    """A token and what precedes it. A letter after a word makes it another word; a digit does not (2x4)."""
    words = "|".join(word for word in _WORDS if word[0].isalpha()).replace(" ", r"\s+")
    return re.compile(
        rf"[\s$€£¥]*(?:(?P<number>(?:{numbers}\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d{{1,4}}(?![\w.]))?)"
        rf"|(?P<word>(?:{words})(?![^\W\d]))|(?P<sign>\*\*|//|[-+*/%^()×·∙÷−–{comma}]))",  # noqa: RUF001
        re.IGNORECASE,
    )


# Inside a call a comma separates arguments; elsewhere it belongs to a number (2,480 or 17,5).
_PIECE = _piece(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+,\d{1,2}(?![\d,.])|", "")
_PIECE_OF_CALL = _piece("", ",")


def calculate(expression: str) -> Calculation:
    """The value of an expression. Raises ToolError, whose text says what is wrong with it."""
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"the expression is longer than {MAX_LENGTH} characters")
    tokens, end = tokenize(expression)
    if rest := expression[end:].strip().rstrip("=?!.").strip():
        raise ToolError(f"{rest.split()[0][:40]!r} is not part of an arithmetic expression")
    if not tokens:
        raise ToolError("the expression is empty")
    if len(tokens) > MAX_TOKENS:
        raise ToolError(f"the expression has more than {MAX_TOKENS} parts")
    try:
        return _text(_evaluate(tokens))
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except ArithmeticError:
        raise ToolError("the numbers are too large") from None
    except (SyntaxError, InvalidExpression):
        raise ToolError("the expression is incomplete, or a sign or parenthesis is missing or too many") from None


def tokenize(text: str) -> tuple[list[Token], int]:
    """The longest run of tokens that the text begins with, and where it ends: at what is not arithmetic."""
    tokens: list[Token] = []
    calls, end = [False], 0
    while piece := (_PIECE_OF_CALL if calls[-1] else _PIECE).match(text, end):
        end = piece.end()
        if number := piece["number"]:
            tokens.append(Token("number", re.sub(r",(?=\d{3})", "", number).replace(",", ".")))
            continue
        written = " ".join((piece["word"] or piece["sign"]).lower().split())
        meaning = _MEANINGS.get(written, written)
        if meaning == "(":
            calls.append(bool(tokens) and tokens[-1].text in _FUNCTIONS)
        elif meaning == ")":
            calls = calls[:-1] or [False]
        tokens.append(Token("name" if meaning in _FUNCTIONS or meaning in _CONSTANTS else "operator", meaning))
    return tokens, end


def _evaluate(tokens: list[Token]) -> Value:
    """The value of the Python expression that the tokens make, in which each number has a name."""
    names, parts = dict(_CONSTANTS), []
    edge = Token("operator", "")
    for before, token, after in zip([edge, *tokens], tokens, [*tokens[1:], edge], strict=False):
        part = _PYTHON.get(token.text, token.text)
        operand_follows = after.kind != "operator" or after.text == "("
        if token.kind == "number":
            part = f"n{len(names)}"
            names[part] = Fraction(token.text)
        elif part in _FUNCTIONS and (not operand_follows or after.text in _FUNCTIONS):
            raise ToolError(f"{part} needs its arguments in parentheses")
        elif token.text == "%" and not operand_follows:
            part = ".percent"
        if before.text in _FUNCTIONS:
            part = part if part == "(" or after.text == "%" else f"({part})"
        elif (part == "(" or token.kind == "name") and (before.kind != "operator" or before.text in _CLOSING):
            part = f"* {part}"
        parts.append(part)
    evaluator = _Evaluator(_OPERATORS, _FUNCTIONS, names)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    value: Value = evaluator.eval(" ".join(parts))
    return value


class _Evaluator(SimpleEval):  # type: ignore[misc]
    """Operators, calls of functions, names, and postfixes, which are written as attributes to bind as tightly."""

    def _eval(self, node: ast.AST) -> Value:
        return _bounded(super()._eval(node))

    def _eval_attribute(self, node: ast.Attribute) -> Value:
        return _POSTFIXES[node.attr](self._eval(node.value))

    def _eval_call(self, node: Any) -> Any:
        try:
            inspect.signature(self.functions[node.func.id]).bind(*node.args)
        except TypeError as error:
            raise ToolError(f"{node.func.id}: {error}") from None
        return super()._eval_call(node)


def _text(value: Value) -> Calculation:
    """Decimal digits without noise: all of them, or the significant ones."""
    context = decimal.Context(prec=MAX_DIGITS)
    digits = context.divide(*map(Decimal, value.as_integer_ratio()))
    exact = isinstance(value, Fraction) and not context.flags[decimal.Inexact]
    if not exact:
        digits = decimal.Context(prec=SIGNIFICANT).plus(digits)
    digits = context.normalize(digits)
    # An exponent only where the digits would be unreadable without one.
    plain = abs(digits.adjusted()) < (MAX_DIGITS if exact else MAX_DIGITS // 3)
    return Calculation(f"{digits:f}" if plain else f"{digits:E}", exact)
