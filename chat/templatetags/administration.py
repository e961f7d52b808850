"""How the administration writes numbers: the same whatever the language of the browser."""

from __future__ import annotations

from decimal import Decimal

from django.template import Library

register = Library()


@register.filter
def grouped(number: int | Decimal) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"


@register.filter
def money(amount: Decimal) -> str:
    """Of US dollars; of less than a cent as much as there is to see."""
    return f"${amount:,.2f}" if amount == 0 or amount >= Decimal("0.01") else f"${amount:.4f}"


@register.filter
def dotted(number: float) -> str:
    """As attributes of SVG take it."""
    return f"{number:.2f}"
