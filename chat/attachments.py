"""Files of people: kept in the storage, given to messages, read again, and removed with what they belong to.

A file is stored before its row is committed, and removed after its row is gone. So there is never a row without its
file, whenever a process ends; a file without a row is found by `remove_strays`.

    (upload) ──► unsent ──► of a message ──► removed with its message
                   │
                   └──► removed by its owner, or after UNSENT_FOR

Which message a file belongs to is decided under the lock of its owner's counters.
"""

from __future__ import annotations

import codecs
import contextlib
import datetime
import hashlib
import re
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import structlog
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.db.models import Q, Sum, Value
from django.db.models.functions import Greatest
from django.db.models.signals import post_delete
from django.dispatch import receiver

from agents.redaction import redact
from chat import file_kinds, metrics
from chat.errors import ChatError, ErrorCode, service_unavailable
from chat.models import Attachment, Message
from chat.own_threads import lock_counters
from chat.reachability import first_line
from chat.run_event import now

STORAGE = "attachments"
UNSENT_FOR = datetime.timedelta(days=1)
# Longer than any upload takes: what is younger may be about to get its row.
STRAY_AFTER = datetime.timedelta(hours=1)
# What a file counts at least: a disk is full of small ones, too, and so is a table.
SMALLEST_COUNTED = 4096
SHARDS = 256
# Those of a deleted thread are there as long as it can be restored, and nobody's meanwhile.
_IN_REACH = Q(message=None) | Q(message__thread__deleted_at=None)
_STORAGE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{62}")

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentLimits:
    """Of one file, of one message, and of all files of a person, unsent ones included."""

    file_bytes: int
    per_message: int
    person_bytes: int


DEFAULT_LIMITS = AttachmentLimits(file_bytes=10_485_760, per_message=10, person_bytes=1_073_741_824)


def storage() -> Storage:
    return storages[STORAGE]


@contextlib.contextmanager
def _storage_at_work(doing: str) -> Iterator[None]:
    """Storages fail in classes of their own. Raises FileNotFoundError, and ConnectionRefused with SERVICE_UNAVAILABLE.

    What the storage says stays in the log: it may name places and keys.
    """
    try:
        yield
    except (FileNotFoundError, ChatError):
        raise
    except Exception as error:  # noqa: BLE001 - the boundary to any storage: recorded, and told with a code
        cause, detail = type(error).__name__, redact(first_line(error))
        logger.warning("file_storage_failed", doing=doing, cause=cause, detail=detail)
        raise service_unavailable("file_storage") from None


# Coming in


def store(user_id: Any, file: File[bytes], name: str, limits: AttachmentLimits) -> Attachment:
    """Keep a file of a person, which no message has yet.

    Raises ChatError with ATTACHMENT_TYPE_NOT_SUPPORTED or ATTACHMENT_SPACE_FULL, and ConnectionRefused with
    SERVICE_UNAVAILABLE.
    """
    media_type = file_kinds.media_type_of(cast("IO[bytes]", file))
    if media_type is None:
        raise ChatError(
            ErrorCode.ATTACHMENT_TYPE_NOT_SUPPORTED,
            "Only images (PNG, JPEG, GIF, WebP, at most 50 megapixels) and text can be attached",
            details={"supported": list(file_kinds.SUPPORTED)},
        )
    size = int(file.size)
    _check_space(user_id, size, limits)
    digest = _digest(file)
    token = secrets.token_hex(32)
    with _storage_at_work("store"):
        stored = storage().save(f"{token[:2]}/{token[2:]}", file)
    try:
        with transaction.atomic():
            lock_counters(user_id)
            _check_space(user_id, size, limits)
            return Attachment.objects.create(
                user_id=user_id,
                name=file_kinds.shown_name(name),
                media_type=media_type,
                bytes=size,
                digest=digest,
                storage_name=stored,
                created_at=now(),
            )
    except ChatError:
        # Of any other error nobody knows whether the row is there.
        _remove_file(stored)
        raise


def _check_space(user_id: Any, size: int, limits: AttachmentLimits) -> None:
    counted = Greatest("bytes", Value(SMALLEST_COUNTED))
    # A row that shares the file of another takes no space of its own, and a deleted thread is about to give it free.
    own = Attachment.objects.filter(_IN_REACH, user_id=user_id, sent_as=None)
    used = own.aggregate(total=Sum(counted))["total"] or 0
    if used + max(size, SMALLEST_COUNTED) > limits.person_bytes:
        metrics.limited("attachment_space")
        raise ChatError(
            ErrorCode.ATTACHMENT_SPACE_FULL,
            "Your files take all the space that you have: delete threads with files in them",
            details={"max_bytes": limits.person_bytes, "used_bytes": used},
        )


def _digest(file: File[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


# Being sent


def same_files(message: Message, named: Sequence[uuid.UUID]) -> bool:
    """Whether a message was sent with the files of these ids, in this order."""
    return [each.sent_as or each.id for each in in_order(message)] == list(named)


def in_order(message: Message) -> list[Attachment]:
    """Its files, which `chat.branches.with_attachments` has read with it, or are read now."""
    known: Sequence[Attachment] | None = vars(message).get("files")
    files = message.attachments.all() if known is None else known
    return sorted(files, key=lambda each: each.position)


def give_to(message: Message, named: Sequence[uuid.UUID], *, edited: Message | None, limits: AttachmentLimits) -> None:
    """In the message's transaction, under the lock of its person's counters: the files belong to it from now on.

    Those of the message that it edits may be named again. Raises ChatError with TOO_MANY_ATTACHMENTS,
    ATTACHMENT_NOT_FOUND or ATTACHMENT_SENT.
    """
    if not named:
        return
    if len(named) > limits.per_message:
        metrics.limited("attachments")
        raise ChatError(
            ErrorCode.TOO_MANY_ATTACHMENTS,
            f"A message may have at most {limits.per_message} files",
            details={"max_attachments": limits.per_message},
        )
    # Locked: the sweep may be about to remove what was not sent for long.
    own = Attachment.objects.select_for_update().filter(user_id=message.user_id)
    found = own.in_bulk(list(named))
    for position, identity in enumerate(named):
        attachment = found.get(identity)
        if attachment is None:
            raise _not_found()
        if attachment.message_id is not None:
            if edited is None or attachment.message_id != edited.pk:
                raise ChatError(ErrorCode.ATTACHMENT_SENT, f"{attachment.name} belongs to a message already")
            attachment.id, attachment.sent_as = uuid.uuid4(), identity
            attachment._state.adding = True
        attachment.message, attachment.position = message, position
        attachment.save()


# Being read


def get(user_id: Any, attachment_id: uuid.UUID) -> Attachment:
    """The only way to a file. Unknown and other people's are alike ATTACHMENT_NOT_FOUND."""
    attachment = Attachment.objects.filter(_IN_REACH, user_id=user_id, id=attachment_id).first()
    if attachment is None:
        raise _not_found()
    return attachment


def opened(attachment: Attachment) -> IO[bytes]:
    """The file. Raises ChatError with ATTACHMENT_NOT_FOUND when it is not there, and SERVICE_UNAVAILABLE."""
    try:
        with _storage_at_work("open"):
            return storage().open(attachment.storage_name)
    except FileNotFoundError:
        logger.warning("attachment_without_file", attachment_id=str(attachment.id))
        raise _not_found() from None


def read(user_id: Any, attachment_id: uuid.UUID, limit: int) -> bytes:
    """The first `limit` bytes of a person's file; a text as UTF-8, cut between characters. Raises as `opened`."""
    attachment = get(user_id, attachment_id)
    with contextlib.closing(opened(attachment)) as file, _storage_at_work("read"):
        content = file.read(limit)
    if attachment.media_type != file_kinds.TEXT:
        return content
    decoder = codecs.getincrementaldecoder(file_kinds.encoding_of(content))("replace")
    return decoder.decode(content, final=len(content) >= attachment.bytes).encode()


def attachment_json(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": str(attachment.id),
        "name": attachment.name,
        "media_type": attachment.media_type,
        "bytes": attachment.bytes,
        "href": f"/api/attachments/{attachment.id}",
    }


# Going away


def remove_unsent(user_id: Any, attachment_id: uuid.UUID) -> None:
    """Take a file back. Raises ChatError with ATTACHMENT_NOT_FOUND, or ATTACHMENT_SENT when a message has it."""
    with transaction.atomic():
        lock_counters(user_id)
        attachment = get(user_id, attachment_id)
        if attachment.message_id is not None:
            raise ChatError(ErrorCode.ATTACHMENT_SENT, "The file belongs to a message")
        attachment.delete()


@receiver(post_delete, sender=Attachment, dispatch_uid="remove the file of an attachment")
def _row_deleted(instance: Attachment, **_signal: Any) -> None:
    """Whatever deletes a row, the thread's end or the person's, its file goes after the commit."""
    name = instance.storage_name
    transaction.on_commit(lambda: _remove_file(name), robust=True)


def _remove_file(name: str) -> None:
    """Unless another row shares it. What the storage does not remove now is a stray, and found again."""
    if Attachment.objects.filter(storage_name=name).exists():
        return
    with contextlib.suppress(ChatError), _storage_at_work("remove"):
        storage().delete(name)


@transaction.atomic
def remove_old_unsent(*, older_than: datetime.timedelta, limit: int) -> int:
    """Remove a batch of the files that nobody sent for so long. Returns how many."""
    unsent = Attachment.objects.select_for_update(skip_locked=True).filter(message=None)
    due = unsent.filter(created_at__lt=now() - older_than).order_by("created_at")
    found = [attachment.pk for attachment in due[:limit]]
    Attachment.objects.filter(pk__in=found).delete()
    return len(found)


def remove_strays(shard: int, *, older_than: datetime.timedelta) -> int:
    """Remove files without a row from one of the SHARDS folders of the storage. Returns how many.

    Files of another kind, and younger ones, are left alone.
    """
    folder = f"{shard:02x}"
    names = set[str]()
    with contextlib.suppress(FileNotFoundError, ChatError), _storage_at_work("list"):
        names = {f"{folder}/{name}" for name in storage().listdir(folder)[1]}
    ours = {name for name in names if _STORAGE_NAME.fullmatch(name)}
    known = Attachment.objects.filter(storage_name__in=ours).values_list("storage_name", flat=True)
    removed = 0
    for name in sorted(ours.difference(known)):
        with contextlib.suppress(FileNotFoundError, ChatError), _storage_at_work("remove"):
            if storage().get_modified_time(name) < now() - older_than:
                storage().delete(name)
                removed += 1
    return removed


def _not_found() -> ChatError:
    return ChatError(ErrorCode.ATTACHMENT_NOT_FOUND, "There is no such file")
