"""`/api/notes`: what a person asked agents to remember."""

from __future__ import annotations

from django.db.models import Q
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import notes
from chat.api import schemas
from chat.api.documented import documented
from chat.api.paging import PageSerializer, cut, decode_cursor, encode_cursor, moment, number, query_of
from chat.api.shapes import note_json
from chat.errors import ChatError, ErrorCode


class Notes(APIView):
    """`GET ?limit=&cursor=` → {notes, next}, the newest first. `DELETE`: all of them."""

    @documented(
        "list_notes",
        "What agents remember for the person, the newest first.",
        answer=schemas.NotePage,
        parameters=[PageSerializer],
        tag="notes",
    )
    def get(self, request: Request) -> Response:
        asked = query_of(PageSerializer, request)
        limit, rows = asked["limit"], notes.notes_of(request.user.pk)
        if cursor := asked.get("cursor"):
            at, pk = decode_cursor(cursor, moment, number)
            rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=pk))
        page, more = cut(rows[: limit + 1], limit)
        following = encode_cursor(page[-1].created_at.isoformat(), page[-1].pk) if more else None
        return Response({"notes": [note_json(note) for note in page], "next": following})

    @documented("forget_notes", "Have agents forget everything.", code=204, tag="notes")
    def delete(self, request: Request) -> Response:
        notes.notes_of(request.user.pk).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class NoteDetail(APIView):
    """`DELETE`: one note. Raises NOTE_NOT_FOUND."""

    @documented("forget_note", "Have agents forget a note.", code=204, errors=[ErrorCode.NOTE_NOT_FOUND], tag="notes")
    def delete(self, request: Request, note_id: int) -> Response:
        if notes.forget(request.user.pk, note_id) is None:
            raise ChatError(ErrorCode.NOTE_NOT_FOUND, "There is no such note")
        return Response(status=status.HTTP_204_NO_CONTENT)
