"""Django settings. Everything that differs between installations is read from the environment;
docs/operating.md lists the variables."""

from pathlib import Path

from celery.schedules import crontab

from config import (
    celery,  # noqa: F401 wherever a task is handed on from, it goes to our broker
    env,
)
from config.admin_site import UNFOLD  # noqa: F401 read by Unfold

BASE_DIR = Path(__file__).resolve().parent.parent
HOSTMETER_HOME = env.folder("HOSTMETER_HOME", BASE_DIR / ".hostmeter")

DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
BASE_URL = env.text("BASE_URL", "http://localhost:8000").rstrip("/")

INSTALLED_APPS = [
    "tenants.apps.TenantsConfig",
    "metering.apps.MeteringConfig",
    "billing.apps.BillingConfig",
    "portal.apps.PortalConfig",
    "django_cotton",
    "django_htmx",
    "unfold",
    "unfold.contrib.import_export",
    "import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    # For allauth's list of passkeys, which says how long ago each was used.
    "django.contrib.humanize",
    "pgtrigger",
    "pghistory",
]

MIDDLEWARE = [
    "tenants.middleware.RequestIdMiddleware",
    # Before whatever asks for the host.
    "tenants.domains.TenantDomainMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.security.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "portal.language.PortalLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Outside of the tenant's transaction: it answers what a view raises to have someone sign in.
    "allauth.account.middleware.AccountMiddleware",
    "tenants.middleware.TenantMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.branding.context",
            ],
        },
    },
]

# "default" is what web, workers and commands use: a role that owns nothing and cannot bypass
# row-level security. "owner" migrates.
DATABASES = {
    "default": env.database("APP_DATABASE_URL", "postgresql://hostmeter_app@localhost/hostmeter"),
    "owner": env.database("DATABASE_URL", "postgresql://hostmeter_owner@localhost/hostmeter"),
}
DATABASES["default"] |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
DATABASE_ROUTERS = ["tenants.routers.OwnerMigrates"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL", "redis://localhost:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "hostmeter",
        # Without the cache the product goes on: a server that hangs must not be waited for.
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
}

AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# A link to choose a new password by is good for an hour.
PASSWORD_RESET_TIMEOUT = 3600
# Invitations make accounts and prove e-mail addresses; allauth checks second factors and passkeys.
ACCOUNT_ADAPTER = "portal.accounts.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ADAPTER = "portal.accounts.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
# There is no address to prove beside the one that the invitation went to.
MFA_ALLOW_UNVERIFIED_EMAIL = True
# Each tenant's own provider, from its row. The way there changes nothing, so a link may begin it.
SOCIALACCOUNT_ADAPTER = "portal.provider_sign_in.ProviderAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_URL = "portal:sign-in"
LOGIN_REDIRECT_URL = "portal:overview"
LOGOUT_REDIRECT_URL = "portal:sign-in"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "/static/"
STATIC_ROOT = HOSTMETER_HOME / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if env.flag("MANIFEST_STATIC", default=True)
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# Behind TLS these are switched on together; `up` serves plain HTTP on loopback.
HTTPS = env.flag("HTTPS", default=BASE_URL.startswith("https://"))
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
# Browsers offer passkeys over plain HTTP to this machine alone.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# Without a mail server, messages are shown in the worker's log.
globals().update(env.mail_server("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "hostmeter@localhost")

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
# Without this a killed pool child loses its task in spite of acks_late.
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_DEFAULT_QUEUE = env.text("CELERY_QUEUE", "hostmeter")
# A task longer than this would be delivered again while it runs; the time limit is shorter.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(HOSTMETER_HOME / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "roll-up": {"task": "metering.tasks.roll_up_all", "schedule": 5.0, "options": {"expires": 5}},
    "keep-partitions": {"task": "metering.tasks.keep_partitions", "schedule": crontab(minute="7")},
    "prune-samples": {
        "task": "metering.tasks.prune_samples",
        "schedule": crontab(hour="4", minute="41"),
    },
    # Hours are settled half an hour after their end.
    "allocate": {
        "task": "metering.tasks.allocate_all",
        "schedule": crontab(minute="2-59/10"),
        "options": {"expires": 600},
    },
    "watch-hosts": {
        "task": "metering.tasks.watch_hosts_all",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "watch-limits": {
        "task": "metering.tasks.watch_limits_all",
        "schedule": crontab(minute="9-59/10"),
        "options": {"expires": 600},
    },
    "keep-local-days": {
        "task": "metering.tasks.keep_local_days_all",
        "schedule": crontab(minute="6-59/10"),
        "options": {"expires": 600},
    },
    "prune-idempotency-records": {
        "task": "tenants.tasks.prune_idempotency_records",
        "schedule": crontab(minute="37"),
    },
    "deliver-webhooks": {
        "task": "tenants.tasks.deliver_webhooks",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "prune-webhook-events": {
        "task": "tenants.tasks.prune_webhook_events",
        "schedule": crontab(minute="47"),
    },
    "send-mail": {
        "task": "tenants.tasks.send_mail",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "prune-mail": {"task": "tenants.tasks.prune_mail", "schedule": crontab(minute="52")},
    "close-due-periods": {
        "task": "billing.tasks.close_due_periods",
        "schedule": crontab(minute="*/5"),
    },
    "watch-budgets": {
        "task": "billing.tasks.watch_budgets",
        "schedule": crontab(minute="4-59/10"),
        "options": {"expires": 600},
    },
    "note-tenants-usage": {
        "task": "billing.tasks.note_tenants_usage",
        "schedule": crontab(minute="4-59/10"),
        "options": {"expires": 600},
    },
    "review-new-drafts": {
        "task": "billing.tasks.review_new_drafts",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 300},
    },
    "resume-finalizing": {
        "task": "billing.tasks.resume_finalizing",
        "schedule": crontab(minute="*/2"),
        "options": {"expires": 120},
    },
    "count-accrued-revenue": {
        "task": "billing.tasks.count_accrued_revenue",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 300},
    },
    "keep-large-months": {
        "task": "portal.tasks.keep_large_months",
        "schedule": crontab(minute="2-59/10"),
        "options": {"expires": 600},
    },
    "keep-exports": {
        "task": "billing.tasks.keep_exports",
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "keep-credit": {"task": "billing.tasks.keep_credit", "schedule": crontab(minute="17")},
    "restate-changed": {
        "task": "billing.tasks.restate_changed",
        "schedule": crontab(minute="11,41"),
    },
    "reconcile-payments": {
        "task": "billing.tasks.reconcile_payments",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "check-vat-ids": {
        "task": "billing.tasks.check_vat_ids",
        "schedule": crontab(minute="27"),
        "options": {"expires": 3600},
    },
    "dun": {
        "task": "billing.tasks.dun_overdue",
        "schedule": crontab(minute="33"),
        "options": {"expires": 3_600},
    },
    "mark-overdue": {
        "task": "billing.tasks.mark_overdue_invoices",
        "schedule": crontab(hour="3", minute="23"),
    },
}

# Fonts for scripts that documents cannot show without them; see docs/documents.md.
DOCUMENT_FONTS = env.folder("DOCUMENT_FONTS", HOSTMETER_HOME / "fonts")

# Where VAT ids are confirmed; empty where nobody is to be asked.
VIES_URL = env.text("VIES_URL", "https://ec.europa.eu/taxation_customs/vies/rest-api")

# Tenants without a Stripe account of their own use this one. With an address alone, payments go to
# the fake that answers there; `up` starts one where neither is set.
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET", "")
STRIPE_API_BASE = env.text("STRIPE_API_BASE", "").rstrip("/")

# Far above what an agent sends when it catches up after an outage.
INGEST_BATCHES_PER_MINUTE_HOST = env.whole_number(
    "INGEST_BATCHES_PER_MINUTE_HOST", 6_000, least=1, most=10_000_000
)
INGEST_BATCHES_PER_MINUTE_TENANT = env.whole_number(
    "INGEST_BATCHES_PER_MINUTE_TENANT", 600_000, least=1, most=100_000_000
)
API_REQUESTS_PER_MINUTE_KEY = env.whole_number(
    "API_REQUESTS_PER_MINUTE_KEY", 600, least=1, most=1_000_000
)
API_REQUESTS_PER_MINUTE_TENANT = env.whole_number(
    "API_REQUESTS_PER_MINUTE_TENANT", 6_000, least=1, most=10_000_000
)
API_REQUESTS_BURST_KEY = env.whole_number("API_REQUESTS_BURST_KEY", 300, least=1, most=1_000_000)
API_REQUESTS_BURST_TENANT = env.whole_number(
    "API_REQUESTS_BURST_TENANT", 3_000, least=1, most=10_000_000
)
# For receivers on the developer's own machine; on a server it would let customers look inside.
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.flag("WEBHOOKS_TO_PRIVATE_ADDRESSES", default=False)
SAMPLE_RETENTION_DAYS = env.whole_number("SAMPLE_RETENTION_DAYS", 401, least=401, most=3650)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # They tell of every file that they make, and of every request.
    "loggers": {"factur-x": {"level": "WARNING"}, "stripe": {"level": "WARNING"}},
}
