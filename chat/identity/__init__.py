"""The sign-in of an existing identity provider, as docs/identity.md tells it: who says who somebody is."""

from chat.identity.claims import Identity, IdentityProvider, Presented, Refused, Unavailable
from chat.identity.header import HeaderProvider
from chat.identity.oidc import OidcProvider

__all__ = ["HeaderProvider", "Identity", "IdentityProvider", "OidcProvider", "Presented", "Refused", "Unavailable"]
