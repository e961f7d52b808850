from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from chat import health, pages

urlpatterns = [
    path("", pages.chat_page),
    path("t/<uuid:thread_id>", pages.chat_page),
    path("health", health.health),
    path("health/", health.health),
    path("health/ready", health.ready),
    path("api/docs", pages.api_page),
    path("api/", include("chat.api.urls")),
    path("admin/", admin.site.urls),
]
