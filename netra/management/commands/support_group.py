"""`manage.py support_group`: a group for staff who help people, and do not read what they write."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

NAME = "Support"
VIEWS = (
    ("auth", "view_user"),
    ("chat", "view_thread"),
    ("chat", "view_run"),
    ("chat", "view_approval"),
    ("chat", "view_messagefeedback"),
    ("chat", "view_modelrequest"),
    ("chat", "view_mcpserver"),
)


class Command(BaseCommand):
    help = (
        f"Makes the group “{NAME}”, or gives it back what it may see: that people and agents wrote, when, and how it "
        "ended, and not what. Whatever else the group was given, it keeps."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--add", metavar="USERNAME", nargs="+", default=[], help="staff who are to be in it")

    @transaction.atomic
    def handle(self, *_args: Any, **options: Any) -> None:
        group, made = Group.objects.get_or_create(name=NAME)
        for app, codename in VIEWS:
            group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        users = get_user_model()
        for name in options["add"]:
            person = users.objects.filter(username=name, is_staff=True).first()
            if person is None:
                raise CommandError(f"There is no member of staff named {name}.")
            person.groups.add(group)
        told = f"{NAME} was {'made' if made else 'there'}; {len(options['add'])} added to it."
        self.stdout.write(told)
