"""What a model request costs, by the prices that come with genai-prices. No network."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from genai_prices import calc_price
from pydantic_ai.messages import ModelResponse

Pricing = Literal["free", "by_address", "by_provider"]
"""Free: it runs inside Netra. By address: only the server's URL tells whose prices these are, since any server may call
its model as it likes. By provider: its name tells, too."""


def request_cost(response: ModelResponse, *, model: str, pricing: Pricing) -> Decimal | None:
    """In US dollars; None when no price is known. `model` is what was asked for, if the answer does not say."""
    if pricing == "free":
        return Decimal(0)
    if response.usage.cost is not None:
        return response.usage.cost
    places = [{"provider_api_url": response.provider_url}]
    if pricing == "by_provider":
        places.append({"provider_id": response.provider_name})
    for place in places:
        if not all(place.values()):
            continue
        try:
            calculated = calc_price(
                response.usage,
                response.model_name or model,
                **place,
                genai_request_timestamp=response.timestamp,
                price_context=response.provider_details,
            )
        except (LookupError, ValueError):
            # An unknown provider or model, or tokens that no price fits.
            continue
        return calculated.total_price
    return None
