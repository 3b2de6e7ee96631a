"""The Celery application: `celery -A config.celery worker`."""

import gc
import os

from celery import Celery
from celery.signals import task_prerun, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("hostmeter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def keep_what_is_loaded(**_: object) -> None:
    """Code and settings stay for good: no search for garbage looks through them again."""
    gc.collect()
    gc.freeze()


@task_prerun.connect
def name_who_acts(task: object = None, **_: object) -> None:
    """What a task changes is kept as its own. It names itself anew each time: a process runs one
    task after the other."""
    # The settings load this module before there are applications.
    from tenants.authorship import begin_acting

    begin_acting(f"task {getattr(task, 'name', '')}")
