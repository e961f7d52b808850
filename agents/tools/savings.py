"""A plan to spend less: which agents to move to which models, and what else would save. Arithmetic only, no I/O.

An agent has one model, so its requests move together. The mildest step that saves the wished share is preferred: of
the same provider, whose key is there, and the dearest that is cheap enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.account import UsageRow
from agents.tools.prices import Rates, Tokens, provider_of, rounded, tokens_of

FindRates = Callable[[str, int], Rates | None]
TENTH = Decimal("0.1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """An agent on another model. `costs` has one amount for each row of its use, its present one where it stays."""

    model: str
    costs: tuple[Decimal, ...]
    rates: tuple[Rates | None, ...]

    @property
    def cost(self) -> Decimal:
        return sum(self.costs, Decimal(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentUse:
    """What one agent's requests cost, by model, the dearest first. Each has a price."""

    agent: str
    rows: tuple[UsageRow, ...]

    @property
    def cost(self) -> Decimal:
        return sum((row.cost_usd for row in self.rows), Decimal(0))

    @property
    def models(self) -> list[str]:
        return [row.group["model"] for row in self.rows]

    def option(self, model: str, find_rates: FindRates) -> Option | None:
        """This agent on `model`; None when that has no price."""
        costs, rates = [], list[Rates | None]()
        for row in self.rows:
            tokens = tokens_of(row)
            rate = find_rates(model, tokens.input_per_request)
            if rate is None:
                return None
            stays = row.group["model"] == model
            costs.append(row.cost_usd if stays else rate.cost(tokens))
            rates.append(None if stays else rate)
        return Option(model=model, costs=tuple(costs), rates=tuple(rates))


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One measure: an agent gets another model."""

    use: AgentUse
    option: Option

    @property
    def saves(self) -> Decimal:
        return self.use.cost - self.option.cost


def uses_by_agent(rows: Sequence[UsageRow]) -> list[AgentUse]:
    """The agents whose requests cost something and all have a price, the dearest first."""
    agents = dict.fromkeys(row.group["agent"] for row in rows)
    uses = [AgentUse(agent=name, rows=tuple(row for row in rows if row.group["agent"] == name)) for name in agents]
    priced = [use for use in uses if use.cost and not any(row.unpriced for row in use.rows)]
    return sorted(priced, key=lambda use: (-use.cost, use.agent))


def plan_moves(
    uses: Sequence[AgentUse], *, target: Decimal, share: Decimal, candidates: Sequence[str], find_rates: FindRates
) -> list[Move]:
    """Moves that save `target` together, or as much as there is. `share`, 0 to 1, is wished of each agent's cost."""
    moves = list[Move]()
    cheapest = list[Option]()
    for use in uses:
        missing = target - sum((move.saves for move in moves), Decimal(0))
        if missing <= 0:
            break
        known = (use.option(model, find_rates) for model in candidates)
        options = [option for option in known if option is not None and option.cost < use.cost]
        if options:
            moves.append(Move(use=use, option=_mildest(use, options, min(missing, use.cost * share))))
            cheapest.append(min(options, key=lambda option: option.cost))
    for number, option in enumerate(cheapest):
        if sum((move.saves for move in moves), Decimal(0)) >= target:
            break
        moves[number] = Move(use=moves[number].use, option=option)
    return moves


def _mildest(use: AgentUse, options: Sequence[Option], wanted: Decimal) -> Option:
    enough = [option for option in options if use.cost - option.cost >= wanted]
    provider = provider_of(use.models[0])
    at_home = [option for option in enough if provider_of(option.model) == provider]
    if at_home or enough:
        return max(at_home or enough, key=lambda option: option.cost)
    return min(options, key=lambda option: option.cost)


@dataclass(kw_only=True, slots=True)
class Remaining:
    """What the parts of the bill are once the moves are made, of the requests whose rates are known."""

    requests: int = 0
    plain_input_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    plain_input: Decimal = Decimal(0)
    from_cache_instead: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    failed_requests: int = 0
    failed: Decimal = Decimal(0)


def remaining(uses: Sequence[AgentUse], moves: Sequence[Move], find_rates: FindRates) -> Remaining:
    """The bill after the moves, in parts. What failed requests cost shrinks as all of their agent and model do."""
    moved = {move.use.agent: move.option for move in moves}
    parts = Remaining()
    for use in uses:
        option = moved.get(use.agent)
        for number, row in enumerate(use.rows):
            tokens = tokens_of(row)
            model = option.model if option else row.group["model"]
            rates = find_rates(model, tokens.input_per_request)
            cost = option.costs[number] if option else row.cost_usd
            parts.failed_requests += row.failed
            if row.cost_usd:
                parts.failed += rounded(row.failed_cost_usd * cost / row.cost_usd)
            if rates is not None:
                _add(parts, tokens, rates)
    return parts


def _add(parts: Remaining, tokens: Tokens, rates: Rates) -> None:
    only_input = Tokens(requests=0, input=tokens.plain_input, cache_read=0, cache_write=0, output=0)
    only_cached = Tokens(requests=0, input=tokens.plain_input, cache_read=tokens.plain_input, cache_write=0, output=0)
    only_output = Tokens(requests=0, input=0, cache_read=0, cache_write=0, output=tokens.output)
    parts.requests += tokens.requests
    parts.input_tokens += tokens.input
    parts.plain_input_tokens += tokens.plain_input
    parts.output_tokens += tokens.output
    parts.plain_input += rates.cost(only_input)
    parts.from_cache_instead += rates.cost(only_cached)
    parts.output += rates.cost(only_output)
