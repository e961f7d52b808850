"""Whose name is whose, for people who were there before names were claimed."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model

from chat.models import ClaimedName
from chat.registration import username_of

pytestmark = pytest.mark.django_db


def test_of_twins_from_before_the_older_one_has_the_name_and_each_signs_in() -> None:
    users = get_user_model().objects
    for name in ("Ann", "ann", "ANN", "bob"):
        users.create_user(name)
    ClaimedName.objects.all().delete()
    importlib.import_module("chat.migrations.0006_accounts").claim_names(apps, None)
    claims = {claim.name: claim.user.get_username() for claim in ClaimedName.objects.all()}
    assert claims == {"ann": "Ann", "bob": "bob"}
    named = {given: username_of(given) for given in ("Ann", "ann", "ANN", "aNN", "BOB", "nobody")}
    assert named == {"Ann": "Ann", "ann": "ann", "ANN": "ANN", "aNN": "Ann", "BOB": "bob", "nobody": "nobody"}


def test_whose_name_is_changed_gives_the_old_one_free() -> None:
    ann = get_user_model().objects.create_user("ann")
    ann.username = "anna"
    ann.save()
    assert list(ClaimedName.objects.values_list("name", "user")) == [("anna", ann.pk)]
    ann.first_name = "Ann"
    ann.save(update_fields=["first_name"])
    assert ClaimedName.objects.count() == 1
