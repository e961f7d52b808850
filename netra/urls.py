from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from chat import health, pages
from chat.api.errors import NothingHere

handler400 = "chat.api.errors.bad_request"
handler404 = "chat.api.errors.not_found"
handler500 = "chat.api.errors.server_error"

urlpatterns = [
    path("", pages.chat_page),
    path("t/<uuid:thread_id>", pages.chat_page),
    path("settings", pages.chat_page),
    path("settings/<slug:section>", pages.chat_page),
    path("register", pages.chat_page),
    path("forgot", pages.chat_page),
    path("reset", pages.chat_page),
    path("reset/<str:uid>/<str:token>", pages.reset_page),
    path("health", health.health),
    path("health/", health.health),
    path("health/ready", health.ready),
    path("api", NothingHere.as_view()),
    path("api/", include("chat.api.urls")),
    path("admin/", admin.site.urls),
]
