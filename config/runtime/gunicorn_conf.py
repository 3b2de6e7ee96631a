"""How gunicorn serves the product, under `up` and in the container image."""

import gc
import os
from typing import Any

from config.runtime.processes import die_with_parent

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Threads, so that a slow page or a slow client never holds up the hosts' batches; few, because each
# keeps a database connection.
worker_class = "config.runtime.web_worker.BoundedThreadWorker"
threads = 4
# The application is loaded once and shared by the workers: less memory, and one start to wait for.
preload_app = True
timeout = 60
graceful_timeout = 10
# The pages of one visit share a connection; an agent opens one for each push.
keepalive = 15
accesslog = None
errorlog = "-"
# The heartbeat file is touched every second; on a disk that could block the worker.
_memory = "/dev/shm"  # noqa: S108
worker_tmp_dir = _memory if os.access(_memory, os.W_OK | os.X_OK) else None
# Nothing here manages gunicorn but its supervisor.
control_socket_disable = True


def pre_fork(_server: Any, _worker: Any) -> None:
    """What is loaded by now stays for good: no collection needs to look at it again, nor to touch,
    and so copy, its pages."""
    gc.collect()
    gc.freeze()
    # A batch makes thousands of objects that are all alive until it is stored.
    gc.set_threshold(50_000, 20, 20)


def post_fork(_server: Any, worker: Any) -> None:
    """A worker whose master was killed ends with it instead of serving on unsupervised."""
    die_with_parent(9, worker.ppid)
