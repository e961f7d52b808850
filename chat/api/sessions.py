"""Signing in and out. Programs keep both tokens; the web page keeps the refresh token in a cookie it cannot read."""

from __future__ import annotations

import contextlib
from typing import Any

from django.conf import settings
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import AuthenticationFailed, TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from chat.errors import ChatError, ErrorCode

COOKIE = "netra_refresh"
COOKIE_PATH = "/api/auth"


class SignInSerializer(TokenObtainPairSerializer):
    """`session: "cookie"` asks for the refresh token as a cookie instead of in the answer."""

    session = serializers.ChoiceField(choices=["cookie"], required=False)


def _expires_in() -> int:
    return int(settings.NETRA.access_token_minutes * 60)


class SignIn(APIView):
    """`POST /api/auth/token` {username, password, session?} → {access, expires_in, refresh?}."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        serializer = SignInSerializer(data=request.data, context={"request": request})
        try:
            serializer.is_valid(raise_exception=True)
        except AuthenticationFailed:
            raise _refused("The user name or the password is wrong") from None
        except ValueError:
            # A NUL in a name or password: nobody has such a one.
            raise _refused("The user name or the password is wrong") from None
        tokens = serializer.validated_data
        body = {"access": tokens["access"], "expires_in": _expires_in()}
        if "session" not in tokens:
            return Response({**body, "refresh": tokens["refresh"]})
        response = Response(body)
        response.set_cookie(
            COOKIE,
            tokens["refresh"],
            max_age=int(settings.NETRA.refresh_token_days * 86_400),
            path=COOKIE_PATH,
            secure=not settings.DEVELOPMENT,
            httponly=True,
            samesite="Strict",
        )
        return response


class Refresh(APIView):
    """`POST /api/auth/token/refresh` {refresh?} → {access, expires_in}; without `refresh` the cookie is taken."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        token = _refresh_token(request)
        serializer = TokenRefreshSerializer(data={"refresh": token}, context={"request": request})
        try:
            serializer.is_valid(raise_exception=True)
        except (AuthenticationFailed, TokenError):
            raise ChatError(ErrorCode.INVALID_TOKEN, "The refresh token is not valid, or has expired") from None
        return Response({"access": serializer.validated_data["access"], "expires_in": _expires_in()})


class SignOut(APIView):
    """`POST /api/auth/logout` {refresh?}: the refresh token is good for nothing any more."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        with contextlib.suppress(TokenError, ChatError):  # an invalid token is signed out already
            RefreshToken(_refresh_token(request)).blacklist()
        response = Response(status=status.HTTP_204_NO_CONTENT)
        response.delete_cookie(COOKIE, path=COOKIE_PATH, samesite="Strict")
        return response


class Me(APIView):
    """`GET /api/me` → {id, username, is_staff}."""

    def get(self, request: Request) -> Response:
        user = request.user
        return Response({"id": str(user.pk), "username": user.get_username(), "is_staff": bool(user.is_staff)})


def _refresh_token(request: Request) -> str:
    data = request.data if isinstance(request.data, dict) else {}
    token = data.get("refresh") or request.COOKIES.get(COOKIE)
    if not isinstance(token, str) or not token:
        raise ChatError(ErrorCode.NO_TOKEN, "There is no refresh token")
    return token


def _refused(message: str) -> ChatError:
    return ChatError(ErrorCode.INVALID_CREDENTIALS, message)
