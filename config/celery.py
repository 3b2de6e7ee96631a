"""The Celery application: `celery -A config.celery worker`."""

import gc
import os

from celery import Celery
from celery.signals import worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("hostmeter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def collect_rarely(**_: object) -> None:
    """Rating makes many small values and hardly a cycle: looking for cycles at every 700th value
    took three tenths of closing's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
