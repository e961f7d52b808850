"""A proxy in front that signs people in, and names them in a header of each request."""

from __future__ import annotations

from django.conf import settings

from chat.identity.claims import Identity, Presented, Refused, Speaks


class HeaderProvider:
    """Believes the header `user_header` of requests that come through the trusted proxy, and of no others.

    The proxy must set the header on every request, whatever the client said in it. Raises ValueError without
    NETRA_TRUSTED_PROXY.
    """

    speaks: Speaks = "proxy"

    def __init__(
        self, *, user_header: str = "X-Forwarded-User", email_header: str = "", provider: str = "proxy"
    ) -> None:
        if not settings.NETRA.trusted_proxy:
            raise ValueError("a header is believed only with NETRA_TRUSTED_PROXY")
        self._user, self._email, self._provider = user_header.lower(), email_header.lower(), provider

    def identify(self, presented: Presented) -> Identity:
        if not settings.NETRA.trusted_proxy:
            raise Refused("there is no trusted proxy")
        subject = presented.headers.get(self._user, "")
        # Two headers of a name are one with a comma: one of them is the client's.
        if not subject or "," in subject:
            raise Refused("the proxy names nobody")
        email = presented.headers.get(self._email, "") if self._email else ""
        return Identity(provider=self._provider, subject=subject, username=subject, email=email)
