"""All settings, read from the environment. The README's table lists every variable, and a test compares.

A variable may also come from a file: `SECRET_KEY_FILE=/run/secrets/key` is read as `SECRET_KEY`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
from celery.schedules import crontab

from webhooks_project import env

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
# As in pyproject.toml, which need not be where we are installed; a test compares.
VERSION = "0.1.0"

# --- Django -----------------------------------------------------------------------------------------------

# Signs sessions and forms. Django refuses to use an empty one; `manage.py up` makes its own.
SECRET_KEY = env.text("SECRET_KEY", secret=True)
# Encrypts webhook secrets, credentials and header values. The first encrypts, every one decrypts.
ENCRYPTION_KEYS = env.texts("ENCRYPTION_KEYS", secret=True)
DEBUG = env.boolean("DEBUG", False)
ALLOWED_HOSTS = env.texts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
DEFAULT_EXCEPTION_REPORTER_FILTER = "webhooks_project.reports.ReporterFilter"
CSRF_TRUSTED_ORIGINS = env.texts("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "deliveries",
]
MIDDLEWARE = [
    # Before all that answer by themselves, so that theirs carry these as well.
    "webhooks_project.request_ids.RequestIdMiddleware",
    "webhooks_project.policies.PolicyMiddleware",
    "webhooks_project.debug_at_home.DebugAtHomeMiddleware",
    "deliveries.probes.middleware.ProbeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "webhooks_project.database_time.DatabaseTimeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "webhooks_project.sessions.RefreshMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "deliveries.admin.unavailable.UnavailableMiddleware",
    "deliveries.admin.ended.EndedSessionMiddleware",
    "deliveries.admin.logins.LoginLimitMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "webhooks_project.urls"
WSGI_APPLICATION = "webhooks_project.wsgi.application"
# A redirected POST loses its body, so the APIs spell their optional slash out and nothing is redirected.
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"console": "deliveries.admin.tags"},
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
USE_I18N = False
FORMAT_MODULE_PATH = "webhooks_project.formats"
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = env.text("STATIC_ROOT", str(BASE_DIR / "var" / "static"))
# Served from the packages themselves when `collectstatic` has not run, as under `manage.py up`.
WHITENOISE_USE_FINDERS = True

# Turn off only where no TLS stands in front, as under `manage.py up`.
_HTTPS = env.boolean("HTTPS", True)
SECURE_SSL_REDIRECT = _HTTPS
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
# Set only where a proxy in front sets this header itself; anyone could send it otherwise.
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.boolean("TRUST_X_FORWARDED_PROTO", False) else None
)
X_FRAME_OPTIONS = "DENY"

# --- The console: logins and sessions ---------------------------------------------------------------------

SESSION_ENGINE = "webhooks_project.sessions"
# Without a click for so long, a session is over.
SESSION_COOKIE_AGE = int(env.seconds("CONSOLE_SESSION_IDLE", 3600).total_seconds())
CSRF_COOKIE_HTTPONLY = True
# Proxies in front that each add an entry to X-Forwarded-For: the client's address is what the first of them
# saw. Without any, the header says nothing.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "webhooks_project.clients.address"
AXES_USERNAME_CALLABLE = "deliveries.admin.logins.name"
AXES_LOCKOUT_CALLABLE = "deliveries.admin.logins.locked_out"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Who tries again while locked out does not wait longer for it, so that the page can say until when.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
# Who and from where; the rest that axes would say, or list in pages of its own, is left out.
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS: list[str] = []
AXES_ENABLE_ADMIN = False

# --- Database ---------------------------------------------------------------------------------------------

_SQLITE_OPTIONS = {
    # A transaction that starts by reading and then writes would otherwise fail with "database is locked".
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
}
# A worker's; a request has less time, and a person's command more (see wsgi.py and manage.py).
_STATEMENT_TIMEOUT = env.count("WEBHOOKS_STATEMENT_TIMEOUT", 10)
# A worker whose database went silent must notice within seconds, and never hold a lock for long.
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    # In seconds: when the server should long have said that the time for a statement is over.
    "patience": _STATEMENT_TIMEOUT + 5,
    # Connections that can only read belong to a standby, or to a primary that no longer is one.
    "target_session_attrs": "read-write",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": (
        f"-c statement_timeout={_STATEMENT_TIMEOUT}s"
        " -c lock_timeout=2s -c idle_in_transaction_session_timeout=15s"
        # The server asks as well whether we are there: a machine that loses its power says no goodbye.
        " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
        # Where a count goes by thousands of webhooks, PostgreSQL compiled for 283 ms what then took 26.
        " -c jit=off"
    ),
}


def _database() -> dict[str, Any]:
    database = env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'var' / 'webhooks.sqlite3'}")
    sqlite = database["ENGINE"].endswith("sqlite3")
    ours, given = _SQLITE_OPTIONS if sqlite else _POSTGRESQL_OPTIONS, database.get("OPTIONS", {})
    database["OPTIONS"] = {**ours, **given}
    if "options" in given:
        # The later one wins, so whoever gives one setting of the server's keeps our others.
        database["OPTIONS"]["options"] = f"{ours['options']} {given['options']}"
    if not sqlite:
        database["ENGINE"] = "webhooks_project.postgresql"
    if sqlite:
        # A file also under test: threads share it as they do in earnest, which no in-memory database allows.
        database["TEST"] = {"NAME": f"{database['NAME']}.test"}
    database["CONN_MAX_AGE"] = None
    database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": _database()}

# --- Celery: the doorbell and the clock of the housekeeping -----------------------------------------------

REDIS_URL = env.redis("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {
        # Without `socket_timeout` a worker on a half-open connection never hears a message again.
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 5,
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "visibility_timeout": 300,
    }
    if REDIS_URL
    else {"polling_interval": 0.02}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that answers with errors, read-only after a failover or with a full disk, is one that is away.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
# Not the name everybody begins with: whoever shares a database takes no message from others.
CELERY_TASK_DEFAULT_QUEUE = "webhooks"
CELERY_TASK_IGNORE_RESULT = True
# A message has no value once a worker has heard it: acknowledged early, never delivered again.
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = 60
CELERY_TASK_TIME_LIMIT = 90
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Recycling a child empties its dispatcher, so seldom.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 100_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 25
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    # Kept for longer than its interval, so that busy workers get to it. It shows that beat is alive.
    "recover": {"task": "deliveries.recover", "schedule": 1.0, "options": {"expires": 5}},
    "note-queue": {"task": "deliveries.note_queue", "schedule": 60.0, "options": {"expires": 60}},
    "expire-idempotency-keys": {
        "task": "deliveries.expire_idempotency_keys",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "prune-logs": {"task": "deliveries.prune_logs", "schedule": 3600.0, "options": {"expires": 3600}},
    # At night, UTC: it reads the index of all attempts there are.
    "recount-logs": {
        "task": "deliveries.recount_logs",
        "schedule": crontab(hour="3", minute="20"),
        "options": {"expires": 3600},
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = env.text("CELERY_BEAT_SCHEDULE_FILENAME", "celerybeat-schedule")

# --- REST framework ---------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["deliveries.api.authentication.BearerKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["deliveries.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["deliveries.api.parsing.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "UNICODE_JSON": True,
}

# `make schema` makes each document with the settings of its contract: see deliveries/api/openapi.py.
SPECTACULAR_SETTINGS = {"ENABLE_DJANGO_DEPLOY_CHECK": False}

# --- Webhooks ---------------------------------------------------------------------------------------------

# Networks the address policy lets through although it would refuse them, for receivers of your own.
WEBHOOKS_ALLOWED_NETWORKS = env.networks("WEBHOOKS_ALLOWED_NETWORKS")
# Said twice, because such a receiver trusts whoever is in its network, and strangers choose where to send.
WEBHOOKS_ALLOW_PRIVATE_NETWORKS = env.boolean("WEBHOOKS_ALLOW_PRIVATE_NETWORKS", False)
WEBHOOKS_REQUIRE_HTTPS = env.boolean("WEBHOOKS_REQUIRE_HTTPS", True)
# Certificate authorities that receivers' certificates are checked against, in PEM; the usual ones without.
WEBHOOKS_CA_BUNDLE = env.authorities("WEBHOOKS_CA_BUNDLE")
# The one local address the sender may reach besides: the built-in receiver, "http://127.0.0.1:8000/demo/".
# Set by `manage.py up`, and by nobody else.
WEBHOOKS_DEMO_RECEIVER = env.text("WEBHOOKS_DEMO_RECEIVER")
# The engine that sends: see deliveries/transport. libcurl's takes a fraction of the CPU.
WEBHOOKS_TRANSPORT = env.choice(
    "WEBHOOKS_TRANSPORT", ["requests", "curl"], "curl" if env.has_pycurl() else "requests"
)
# Exchanges one process keeps under way at once. With `requests` each is a thread.
WEBHOOKS_SLOTS = env.count("WEBHOOKS_SLOTS", 256 if WEBHOOKS_TRANSPORT == "curl" else 32)
# How long an idle process waits before it looks for due deliveries by itself.
WEBHOOKS_POLL_INTERVAL = env.seconds("WEBHOOKS_POLL_INTERVAL", 1)
# A claimed delivery belongs to its worker for the webhook's timeout and this much longer.
WEBHOOKS_LEASE_GRACE = env.seconds("WEBHOOKS_LEASE_GRACE", 30)
# Waits between the automatic retries, in seconds; a webhook uses the first `max_retries` of them.
WEBHOOKS_RETRY_DELAYS = env.delays(
    "WEBHOOKS_RETRY_DELAYS", [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, 86400]
)
# How long a circuit stays open, in seconds: the first time, the second, and so on.
WEBHOOKS_CIRCUIT_DELAYS = env.delays("WEBHOOKS_CIRCUIT_DELAYS", [30, 60, 120, 240, 480, 900])
# A webhook that has had nothing but failures for this many days is turned off.
WEBHOOKS_DISABLE_AFTER = env.days("WEBHOOKS_DISABLE_AFTER_DAYS", 5)
# How long a stopping worker waits for exchanges under way.
WEBHOOKS_DRAIN_TIMEOUT = env.seconds("WEBHOOKS_DRAIN_TIMEOUT", 25)
# A worker process whose dispatcher has not turned for this long ends, so that another takes its place.
WEBHOOKS_WATCHDOG = env.seconds("WEBHOOKS_WATCHDOG", 120)
# Attempts, and finished deliveries with their events, are kept this many days.
WEBHOOKS_RETENTION = env.days("WEBHOOKS_RETENTION_DAYS", 30)
# What one API key may ask for: GETs, publishing (a batch is one request), and everything else.
WEBHOOKS_LIMIT_READ = env.limit("WEBHOOKS_LIMIT_READ", "1200/minute")
WEBHOOKS_LIMIT_PUBLISH = env.limit("WEBHOOKS_LIMIT_PUBLISH", "120000/minute")
WEBHOOKS_LIMIT_MANAGE = env.limit("WEBHOOKS_LIMIT_MANAGE", "600/minute")
# Who carries it may read /metrics; without one, only who asks from this machine.
WEBHOOKS_METRICS_TOKEN = env.text("WEBHOOKS_METRICS_TOKEN", secret=True)

# --- Logs -------------------------------------------------------------------------------------------------

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "webhooks_project.logs.JsonFormatter"},
        "plain": {
            "()": "webhooks_project.logs.PlainFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": env.choice("LOG_FORMAT", ["json", "plain"], "json"),
            "stream": "ext://sys.stderr",
        }
    },
    "root": {
        "handlers": ["stderr"],
        "level": env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO"),
    },
    "loggers": {
        # A line for every ring heard, or for every second, says nothing.
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        # Whoever asks may be refused as often as they like; our own faults are errors.
        "django.request": {"level": "ERROR"},
        # Such as a Host we do not answer to: all of these are what somebody sent. The answer says what.
        "django.security": {"level": "CRITICAL"},
        # A full pool of kept connections is no news either.
        "urllib3": {"level": "ERROR"},
    },
}

# What all of this was read from, for the console. It is the last to be read, since it holds all before it.
ENVIRONMENT = env.as_read()
