"""Django's administration, with our site in the place of its own."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    """Imported before there are models: the site is named, and built when it is first asked for."""

    default = False
    default_site = "chat.admin_site.NetraSite"
