"""The site of the administration: its sign-in, its pages, and that every change in it is in the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from chat import audit
from chat.addresses import client_address
from chat.apps import ChatConfig
from chat.attempt_limit import Guarded
from chat.errors import ChatError, ErrorCode
from chat.models import AuditAction
from chat.names import same_name

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin


class SignInForm(AuthenticationForm):
    """The sign-in of the administration, where a password is guessed no more often than over REST."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # noqa: S101 - the view gives it
        name, address = same_name(self.cleaned_data.get("username") or ""), client_address(self.request)
        limit = cast("ChatConfig", apps.get_app_config("chat")).attempt_limit
        try:
            limit.spend(Guarded.SIGN_IN, name, address)
        except ChatError as error:
            audit.record_refusal(AuditAction.SIGN_IN, error.code, address=address, where="administration")
            raise ValidationError(error.message) from None
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            # Also for who has a password and is no staff: it is the same answer, and the same entry.
            audit.record_refusal(
                AuditAction.SIGN_IN, ErrorCode.INVALID_CREDENTIALS, address=address, where="administration"
            )
            raise
        limit.succeeded(Guarded.SIGN_IN, name, address)
        user_id = self.get_user().pk
        audit.record(AuditAction.SIGN_IN, actor=user_id, subject=user_id, address=address, where="administration")
        return cleaned


class Audited:
    """Mixed into every class that is registered: what Django writes down of a change, the audit log has, too.

    Of a change it has the names of the fields, and no values.
    """

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        record_change(request, [obj], "added", message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        record_change(request, [obj], "changed", message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Any]) -> Any:
        record_change(request, queryset, "deleted", "")
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def record_change(request: HttpRequest, changed: Iterable[Any], what: str, message: Any) -> None:
    """One entry for each. Its target is `kind number`, its subject the person that it is, or belongs to."""
    users = get_user_model()
    for each in changed:
        subject = each.pk if isinstance(each, users) else getattr(each, "user_id", None)
        audit.record(
            AuditAction.ADMINISTRATION,
            actor=request.user.pk,
            subject=subject,
            address=client_address(request),
            target=f"{each._meta.model_name} {each.pk}"[:100],
            what=what,
            **({"fields": fields} if (fields := changed_fields(message)) else {}),
        )


def changed_fields(message: Any) -> list[str]:
    """The names in what Django says of a change: a list, or that list as JSON; of a text nothing is taken."""
    if isinstance(message, str):
        try:
            message = json.loads(message)
        except ValueError:
            return []
    parts = message if isinstance(message, list) else []
    named = [part[kind].get("fields") or [] for part in parts for kind in part if isinstance(part[kind], dict)]
    return [str(field) for fields in named for field in fields]


class Suggestions(AutocompleteJsonView):
    """Suggests rows by their text. Of the chat's own tables that may be what people wrote, and none is suggested."""

    def process_request(self, request: HttpRequest) -> Any:
        found: Any = super().process_request(request)
        if found[1].model._meta.app_label == "chat":
            raise Http404
        return found


class NetraSite(UnfoldAdminSite):
    """Beside the pages of models it has those that were added before its addresses are asked for."""

    login_form = SignInForm
    index_title = "Overview"
    index_template = "administration/overview.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: list[tuple[str, Callable[..., HttpResponse], str]] = []

    def add_page(self, route: str, view: Callable[..., HttpResponse], *, name: str) -> None:
        self._pages.append((route, view, name))

    def register(self, models: Any, admin_class: type[ModelAdmin[Any]] | None = None, **options: Any) -> None:
        from unfold.admin import ModelAdmin as UnfoldModelAdmin

        plain: Any = admin_class or UnfoldModelAdmin
        audited = type(plain.__name__, (Audited, plain), {"__module__": plain.__module__})
        super().register(models, audited, **options)

    def get_urls(self) -> list[URLPattern]:
        pages = [path(route, self.admin_view(view), name=name) for route, view, name in self._pages]
        # unfold's own search keeps what it has found for minutes, whatever is taken from the person meanwhile.
        return pages + [url for url in super().get_urls() if getattr(url, "name", "") != "search"]

    def app_index(self, request: HttpRequest, *_args: Any, **_options: Any) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:index"))

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        answer: Any = Suggestions.as_view(admin_site=self)(request)
        return answer  # type: ignore[no-any-return]

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        user_id = request.user.pk
        response: HttpResponse = super().logout(request, extra_context)
        if request.method == "POST" and user_id is not None:
            self._record(AuditAction.SIGN_OUT, request, user_id)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            self._record(AuditAction.PASSWORD, request, request.user.pk)
        return response

    @staticmethod
    def _record(action: AuditAction, request: HttpRequest, user_id: Any) -> None:
        address = client_address(request)
        audit.record(action, actor=user_id, subject=user_id, address=address, where="administration")
