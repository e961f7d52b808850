"""Forms of the administration, as a browser would send them."""

from __future__ import annotations

from bs4 import BeautifulSoup, Tag


def filled(page: str, **changes: str | None) -> dict[str, list[str]]:
    """What the page's largest form has, but for the changes. A change to None clears the field, or a check mark."""
    forms = BeautifulSoup(page, "html.parser").select("form[method=post]")
    form = max(forms, key=lambda each: len(each.select("[name]")))
    values: dict[str, list[str]] = {}
    for field in form.select("input[name], select[name], textarea[name]"):
        if (told := _value(field)) is not None:
            values.setdefault(str(field["name"]), []).extend(told)
    for name, value in changes.items():
        values.pop(name, None)
        if value is not None:
            values[name] = [value]
    return values


def _value(field: Tag) -> list[str] | None:
    if field.name == "select":
        return [str(option.get("value", "")) for option in field.select("option[selected]")]
    if field.name == "textarea":
        return [field.get_text()]
    kind = field.get("type")
    if kind in ("submit", "button", "image", "reset", "file"):
        return None
    if kind in ("checkbox", "radio") and not field.has_attr("checked"):
        return None
    return [str(field.get("value", "on" if kind == "checkbox" else ""))]
