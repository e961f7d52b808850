"""People: what they do and spend, who they are here, the end of their sessions and of their accounts.

Who is no superuser raises nobody, and neither changes nor removes the accounts of staff. A password and an address lead
into an account, and so to what is written in it: setting them takes the right to read that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from procrastinate.contrib.django.models import ProcrastinateJob
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import StackedInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from chat import deactivation, removal, sessions
from chat.admin.access import VIEW_CONTENT, deed, may_read, require
from chat.admin.activity import activity_of, held_by
from chat.admin.rows import BoundedPaginator, PlainAdmin, RowList, deleted_people, moment, said
from chat.api.own_data import archive_of
from chat.api.serving import chat_config
from chat.models import Allowance, AuditAction, IdentityLink

if TYPE_CHECKING:
    DjangoUserAdmin = auth_admin.UserAdmin[Any]
    DjangoGroupAdmin = auth_admin.GroupAdmin
else:
    # The stubs know a type parameter that the class itself does not take.
    DjangoUserAdmin, DjangoGroupAdmin = auth_admin.UserAdmin, auth_admin.GroupAdmin

# Their pages show refresh tokens, with which whoever reads them can act as another person.
admin.site.unregister([BlacklistedToken, OutstandingToken])
# Netra has its own, below.
admin.site.unregister([get_user_model(), Group])
# What the worker engine keeps for itself, by the hundred thousand; what it is about is in runs.
admin.site.unregister(ProcrastinateJob)

SESSIONS_SHOWN = 20
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class PeopleList(RowList):
    """Knows what the people of its page do, read at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        found = activity_of([user.pk for user in self.result_list])
        for user in self.result_list:
            user.activity = found[user.pk]


class AllowanceInline(StackedInline):
    """What this person may use, where it is not what everybody may."""

    model = Allowance
    can_delete = True
    max_num = 1
    hide_title = True
    verbose_name_plural = "What the person may use"


class IdentityInline(StackedInline):
    """Who the person is at an identity provider. Whoever could change it could be anybody: superusers may."""

    model = IdentityLink
    extra = 0
    readonly_fields = ("created_at", "last_used_at")
    verbose_name_plural = "Who the person is elsewhere"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(get_user_model())
class PeopleAdmin(DjangoUserAdmin, PlainAdmin):
    """Django's own; but an account is deleted as its person does it: out of reach at once, and removed in steps."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        *("username", "email", "standing", "runs_today", "open_runs", "tokens", "cost"),
        *("last_activity", "open_sessions"),
    )
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_help_text = "Name or address"
    ordering = ("username",)
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    list_disable_select_all = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    filter_horizontal = ()
    actions = ("activate", "deactivate", "end_sessions")
    inlines = (AllowanceInline, IdentityInline)
    change_form_template = "administration/person.html"
    delete_confirmation_template = "administration/erase.html"
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "first_name", "last_name", "is_active")}),
        ("What they may do here", {"fields": RIGHTS}),
        ("When", {"fields": ("last_login", "date_joined")}),
    )

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[Any]:
        return PeopleList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(pk__in=deleted_people())

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """What is filtered by, and no other field: the beginning of a password's hash would tell the hash."""
        return lookup.partition("__")[0] in self.list_filter

    # Who may

    def _may_manage(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or request.user.is_superuser or not (obj.is_staff or obj.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_manage(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        dates = ("last_login", "date_joined")
        if request.user.is_superuser:
            return dates
        return (*dates, *RIGHTS) if may_read(request) else (*dates, *RIGHTS, "email")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or may_read(request):
            return fieldsets
        return [
            (name, {**options, "fields": tuple(field for field in options["fields"] if field != "password")})
            for name, options in fieldsets
        ]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        return tall(super().formfield_for_manytomany(db_field, request, **options))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        require(request, VIEW_CONTENT)
        return super().user_change_password(request, id, form_url)

    # The list

    @admin.display(description="is")
    def standing(self, user: Any) -> str:
        role = "superuser" if user.is_superuser else "staff" if user.is_staff else "person"
        if not user.is_active:
            return format_html('<span class="badge badge-bad">inactive</span> {}', "" if role == "person" else role)
        return format_html('<span class="badge badge-plain">{}</span>', role) if role != "person" else "-"

    @admin.display(description="runs today")
    def runs_today(self, user: Any) -> str:
        return f"{user.activity.standing.runs:,}"

    @admin.display(description="open")
    def open_runs(self, user: Any) -> str:
        return f"{len(user.activity.standing.open_in):,}"

    @admin.display(description="tokens (30 d)")
    def tokens(self, user: Any) -> str:
        return f"{user.activity.tokens:,}"

    @admin.display(description="cost (30 d)")
    def cost(self, user: Any) -> str:
        return f"${user.activity.cost_usd:,.2f}"

    @admin.display(description="last here (UTC)")
    def last_activity(self, user: Any) -> str:
        return moment(user.activity.last)

    @admin.display(description="sessions")
    def open_sessions(self, user: Any) -> str:
        return f"{user.activity.sessions:,}"

    @admin.action(description="Deactivate: cancel runs, and end all sessions", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._of_each(request, queryset, _deactivate, "deactivated")

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._of_each(request, queryset, _activate, "activated")

    @admin.action(description="End all sessions", permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._of_each(request, queryset, _end_sessions, "sessions ended")

    def _of_each(
        self, request: HttpRequest, people: Iterable[Any], work: Callable[[HttpRequest, Any], None], told: str
    ) -> None:
        """What is done to one person, to several; those whom the asker may not change are named, and left."""
        done, refused = [], []
        for user in people:
            if not self.has_change_permission(request, user):
                refused.append(user.get_username())
                continue
            work(request, user)
            done.append(user.get_username())
        if done:
            messages.success(request, f"{', '.join(done)}: {told}.")
        if refused:
            messages.error(request, f"Not changed, since only a superuser may: {', '.join(refused)}.")

    # One person

    def get_urls(self) -> list[URLPattern]:
        def posted(view: Callable[..., HttpResponseBase]) -> Any:
            return self.admin_site.admin_view(require_POST(view))

        return [
            path("<int:user_id>/sessions/", posted(self.end_sessions_view), name="auth_user_sessions"),
            path("<int:user_id>/active/", posted(self.active_view), name="auth_user_active"),
            path("<int:user_id>/export/", posted(self.export_view), name="auth_user_export"),
            *super().get_urls(),
        ]

    def render_change_form(  # noqa: PLR0917 - Django's signature
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            activity = context["activity"] = activity_of([obj.pk])[obj.pk]
            context["uses"] = [(said(use.limit), use.used, use.allowed, use.is_near) for use in activity.standing.uses]
            context["sessions"] = sessions.living_sessions(obj)[:SESSIONS_SHOWN]
            context["reads"] = may_read(request)
            context["may_export"] = may_read(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _managed(self, request: HttpRequest, user_id: int) -> Any:
        """The person. Raises PermissionDenied for one whom the asker may not change."""
        user = self.get_object(request, str(user_id))
        if user is not None and not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    def _one(
        self, request: HttpRequest, user_id: int, work: Callable[[HttpRequest, Any], None], told: str
    ) -> HttpResponse:
        user = self._managed(request, user_id)
        if user is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(user_id))  # type: ignore[attr-defined, no-any-return]
        self._of_each(request, [user], work, told)
        return HttpResponseRedirect(reverse("admin:auth_user_change", args=[user.pk]))

    def end_sessions_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        return self._one(request, user_id, _end_sessions, "all sessions have ended")

    def active_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        if request.POST.get("active") == "1":
            return self._one(request, user_id, _activate, "activated")
        return self._one(request, user_id, _deactivate, "deactivated; runs are cancelled, and all sessions have ended")

    def export_view(self, request: HttpRequest, user_id: int) -> HttpResponseBase:
        """Everything that is kept of the person, as long as who asks may have it."""
        require(request, "auth.view_user", VIEW_CONTENT)
        user = self.get_object(request, str(user_id))
        if user is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(user_id))  # type: ignore[attr-defined, no-any-return]
        deed(request, "exported", subject=user.pk, target=f"user {user.pk}", action=AuditAction.EXPORT)
        asker = request.user.pk
        return archive_of(user.pk, as_long_as=lambda: _may_still_read(asker))

    # The end of an account

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with them is told by `held_by`: a list may be millions of rows."""
        people = list(objs)
        named = [user.get_username() for user in people]
        lacking = {user.get_username() for user in people if not self.has_delete_permission(request, user)}
        return named, {"accounts, with all that is in them": len(named)}, lacking, []

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        user = self.get_object(request, object_id) if request.method == "GET" else None
        held = {"held": held_by(user.pk)} if user is not None else {}
        return super().delete_view(request, object_id, {**(extra_context or {}), **held})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._erase(request, obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for pk in list(queryset.values_list("pk", flat=True)):
            self._erase(request, pk)

    def _erase(self, request: HttpRequest, user_id: int) -> None:
        with transaction.atomic():
            if removal.delete_account(user_id, chat_config().event_log.publisher):
                deed(
                    request,
                    "erased",
                    subject=user_id,
                    target=f"user {user_id}",
                    action=AuditAction.ACCOUNT_DELETED,
                )


def tall(formfield: Any) -> Any:
    """A list of permissions from which one can choose without scrolling all the time."""
    formfield.widget.attrs["size"] = min(14, max(4, formfield.queryset.count()))
    return formfield


def _may_still_read(user_id: Any) -> bool:
    user = get_user_model().objects.filter(pk=user_id, is_active=True, is_staff=True).first()
    return user is not None and user.has_perms(["auth.view_user", VIEW_CONTENT])


@transaction.atomic
def _deactivate(request: HttpRequest, user: Any) -> None:
    # In the order of locks: counters before users.
    deactivation.shut_out(user.pk, chat_config().event_log.publisher)
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    deed(request, "deactivated", subject=user.pk, target=f"user {user.pk}")


@transaction.atomic
def _activate(request: HttpRequest, user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(is_active=True)
    deed(request, "activated", subject=user.pk, target=f"user {user.pk}")


@transaction.atomic
def _end_sessions(request: HttpRequest, user: Any) -> None:
    sessions.end_all(user.pk, chat_config().event_log.publisher)
    deed(request, "sessions ended", subject=user.pk, target=f"user {user.pk}", action=AuditAction.SESSIONS_ENDED)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, PlainAdmin):
    """What a group may do is a superuser's to say: who could change a group could raise themselves."""

    filter_horizontal = ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **options: Any) -> Any:
        return tall(super().formfield_for_manytomany(db_field, request, **options))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)
