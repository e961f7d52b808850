"""What models cost by the price list of genai-prices, and exact arithmetic on it.

A rate is US dollars for a million tokens. An amount has eight places, as the account keeps it, and is rounded half up;
sums are of amounts that are rounded already, so that every column adds up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from genai_prices import Usage, calc_price
from genai_prices.types import TieredPrices

from agents.account import UsageRow

CANDIDATES = (
    "openai:gpt-6.1-sol",
    "openai:gpt-6.1-terra",
    "openai:gpt-6-luna",
    "openai:gpt-5-mini",
    "anthropic:claude-opus-5-5",
    "anthropic:claude-sonnet-5-5",
    "anthropic:claude-haiku-5-5",
    "google:gemini-2.5-pro",
    "google:gemini-3.8-flash",
    "google:gemini-3.1-flash-lite",
    "mistral:mistral-large-2512",
    "mistral:mistral-small-latest",
    "groq:openai/gpt-oss-120b",
)
MILLION = Decimal(1_000_000)

_PLACES = Decimal("0.00000001")
_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """What requests consumed. `input` includes what was read from a cache and written to one."""

    requests: int
    input: int
    cache_read: int
    cache_write: int
    output: int

    @property
    def plain_input(self) -> int:
        return max(0, self.input - self.cache_read - self.cache_write)

    @property
    def input_per_request(self) -> int:
        return self.input // self.requests if self.requests else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """A model's prices. What a list does not name separately costs what plain input costs."""

    model: str
    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal

    def cost(self, tokens: Tokens) -> Decimal:
        return rounded(sum((count * rate for count, rate, _ in self._terms(tokens)), Decimal(0)) / MILLION)

    def arithmetic(self, tokens: Tokens) -> str:
        """The calculation of `cost`, for a person to follow."""
        terms = [
            f"{count:,} {kind} × ${rate.normalize():f}"  # noqa: RUF001
            for count, rate, kind in self._terms(tokens)
            if count
        ]
        return f"({' + '.join(terms) or '0'}) / 1,000,000 = ${usd(self.cost(tokens))}"

    def _terms(self, tokens: Tokens) -> Iterable[tuple[int, Decimal, str]]:
        return (
            (tokens.plain_input, self.input, "input"),
            (tokens.cache_read, self.cache_read, "input from cache"),
            (tokens.cache_write, self.cache_write, "input to cache"),
            (tokens.output, self.output, "output"),
        )


def find_rates(name: str, *, at: datetime, input_per_request: int) -> Rates | None:
    """The prices of `provider:model`, or of a model's bare name, at a time; None when the list has none by token.

    Some cost more for long requests: what an average request of this many input tokens costs is taken.
    """
    provider, _, model = name.strip().partition(":") if ":" in name else ("", "", name.strip())
    try:
        found = calc_price(Usage(input_tokens=1), model, provider_id=provider or None, genai_request_timestamp=at)
    except LookupError:
        return None
    price = found.model_price
    plain, output = (_rate(value, input_per_request) for value in (price.input_mtok, price.output_mtok))
    if plain is None or output is None:
        return None
    cache_read, cache_write = (
        _rate(value, input_per_request) for value in (price.cache_read_mtok, price.cache_write_mtok)
    )
    return Rates(
        model=name.strip() if provider else f"{found.provider.id}:{found.model.id}",
        input=plain,
        cache_read=plain if cache_read is None else cache_read,
        cache_write=plain if cache_write is None else cache_write,
        output=output,
    )


def _rate(price: Decimal | TieredPrices | None, input_tokens: int) -> Decimal | None:
    if not isinstance(price, TieredPrices):
        return price
    return next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)


def tokens_of(row: UsageRow) -> Tokens:
    return Tokens(
        requests=row.requests,
        input=row.input_tokens,
        cache_read=row.cache_read_tokens,
        cache_write=row.cache_write_tokens,
        output=row.output_tokens,
    )


def provider_of(model: str) -> str:
    return model.partition(":")[0] if ":" in model else ""


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_PLACES, ROUND_HALF_UP)


def usd(amount: Decimal) -> str:
    """The whole amount, with at least two places."""
    short = amount.normalize()
    exponent = short.as_tuple().exponent
    return f"{short:f}" if isinstance(exponent, int) and exponent <= -2 else f"{short.quantize(_CENT):f}"


def percent(part: Decimal, whole: Decimal) -> str:
    """How much of the whole the part is, to a tenth of a percent; of nothing it is 0."""
    share = part * 100 / whole if whole else Decimal(0)
    return f"{share.quantize(Decimal('0.1'), ROUND_HALF_UP):f}"
