"""Django's settings, made from `netra.config`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from chat.postgres_connection import BoundedConnection
from chat.security_headers import FRAME_OPTIONS, OPENER_POLICY, REFERRER_POLICY
from chat.signing_keys import derived_key, signing_keys
from netra import (
    VERSION,  # noqa: F401 - a setting, too
    config,
    email_url,
    metrics_folder,
    telemetry,
)
from netra.own_apps import check_own_apps
from netra.postgres import EmbeddedPostgres
from netra.redis_url import channels_host

NETRA = config.load()
if NETRA.metrics_dir is not None:
    try:
        metrics_folder.join(NETRA.metrics_dir)
    except OSError as error:
        config.stop(f"NETRA_METRICS_DIR: {NETRA.metrics_dir} cannot be made or written ({error.strerror}).")
BASE_DIR = config.PROJECT_ROOT

DEBUG = NETRA.debug
SECRET_KEY = NETRA.effective_secret_key
SECRET_KEY_FALLBACKS = [key.get_secret_value() for key in NETRA.secret_key_fallbacks]
TOKEN_KEYS = signing_keys([key.get_secret_value() for key in NETRA.signing_keys], [SECRET_KEY, *SECRET_KEY_FALLBACKS])
DEVELOPMENT = NETRA.environment == "development"
# Health checks of this machine and of a proxy ask for localhost, whatever the public name is.
ALLOWED_HOSTS = [*NETRA.allowed_hosts, "localhost"]
if not NETRA.allowed_hosts:
    ALLOWED_HOSTS += ["127.0.0.1", "[::1]", "testserver"]
CSRF_TRUSTED_ORIGINS = list(NETRA.allowed_origins)

INSTALLED_APPS = [
    "daphne",
    "unfold.apps.BasicAppConfig",
    "chat.admin_config.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "procrastinate.contrib.django",
    "agents",
    "chat",
    "netra",
    *NETRA.apps,
]
MIDDLEWARE = [
    "netra.exposition.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "netra.request_metrics.RequestMetricsMiddleware",
    "netra.telemetry.CorrelationMiddleware",
    "netra.body_length.BodyLengthMiddleware",
    "chat.api.rate_limit.RateLimitHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "netra.urls"
ASGI_APPLICATION = "netra.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of applications: some templates of the administration stand in the place of unfold's.
        "DIRS": [BASE_DIR / "chat/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    shared: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            # What is asked again and again is planned once, of a connection by psycopg's own rule. Django's default is
            # for poolers that give each transaction another session; LISTEN does not work through these, either.
            "server_side_binding": True,
            "prepare_threshold": 5,
            # A peer that is gone without a word is noticed in seconds. Of no effect on the socket of a machine.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 5000,
            "pool": {
                "connection_class": BoundedConnection,
                "min_size": 1,
                "max_size": 16,
                "timeout": 3,
                "reconnect_timeout": 2,
            },
        },
    }
    if NETRA.database_url is None:
        embedded = EmbeddedPostgres(NETRA.data_dir).connection_params
        return shared | {
            "NAME": embedded["dbname"],
            "USER": embedded["user"],
            "HOST": embedded["host"],
            "PORT": embedded["port"],
        }
    given = conninfo_to_dict(NETRA.database_url)
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    # What Django has no setting for, such as sslmode, goes to libpq as it is.
    shared["OPTIONS"] |= {name: value for name, value in given.items() if name not in named}
    return shared | {setting: str(given.get(name) or "") for name, setting in named.items()}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_HOSTS = [channels_host(url) for url in NETRA.redis_url]
# Every layer is treated as lossy: what it drops, delivery reads from the log. Capacity makes that rare.
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "chat.redis_layer.RedisLayer",
        "CONFIG": {"hosts": REDIS_HOSTS},
    }
    if REDIS_HOSTS
    else {"BACKEND": "chat.process_layer.ProcessLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["chat.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["chat.api.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "chat.api.errors.exception_response",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "chat.api.documented.Schema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Netra",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api",
    "COMPONENT_SPLIT_PATCH": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["chat.api.openapi.complete"],
    "SORT_OPERATIONS": True,
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    # For what asks the library itself. Our tokens (`chat.tokens`) have the whole ring, TOKEN_KEYS.
    "SIGNING_KEY": derived_key(SECRET_KEY),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=NETRA.access_token_minutes),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=NETRA.refresh_token_days),
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": True,
}

UNFOLD = {
    "SITE_TITLE": "Netra",
    "SITE_HEADER": "Netra",
    "SITE_SUBHEADER": "Administration",
    "SITE_ICON": lambda _request: f"{STATIC_URL}chat/icon.svg",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: f"{STATIC_URL}chat/icon.svg"}],
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "chat.admin.navigation.environment",
    "DASHBOARD_CALLBACK": "chat.admin.overview.into",
    "SIDEBAR": {"navigation": "chat.admin.navigation.sidebar"},
}

PASSWORD_RESET_TIMEOUT = 3600
EMAIL = email_url.settings_of(NETRA.email_url.get_secret_value()) if NETRA.email_url else email_url.NONE
EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = EMAIL.backend, EMAIL.host, EMAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL.user, EMAIL.password
EMAIL_USE_SSL, EMAIL_USE_TLS, EMAIL_TIMEOUT = EMAIL.tls, EMAIL.starttls, 10
DEFAULT_FROM_EMAIL = NETRA.email_from or "netra@localhost"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "attachments": NETRA.attachment_storage_settings,
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Found where the applications keep them: there is no collecting step.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# The page's files keep their names: a browser asks each time whether they have changed.
WHITENOISE_MAX_AGE = 0
# They are for this server's own pages.
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Cookies of the administration; that of the chat is `chat.api.sessions.COOKIE`.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEVELOPMENT
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/admin"
SESSION_COOKIE_AGE = CSRF_COOKIE_AGE = 12 * 3600
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if NETRA.trusted_proxy else None
SECURE_HSTS_SECONDS = NETRA.effective_hsts_seconds
SECURE_CONTENT_TYPE_NOSNIFF = True
# Set where every answer passes, Django's or not (chat.security_headers).
SECURE_REFERRER_POLICY = REFERRER_POLICY
SECURE_CROSS_ORIGIN_OPENER_POLICY = OPENER_POLICY
X_FRAME_OPTIONS = FRAME_OPTIONS
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # other names below this one, and lists that browsers come with, are decided on by who owns the
    "security.W021",  # domain: NETRA_HSTS_SECONDS is about this name alone
    "security.W008",  # the proxy leads to HTTPS (deploy/haproxy.cfg); it asks for /health by HTTP
]

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "tasks"

LOGGING_CONFIG = None
telemetry.configure_logging(human=DEVELOPMENT)

# The last statement: what an application imports may ask for any of the settings above.
check_own_apps(NETRA.apps, INSTALLED_APPS)
