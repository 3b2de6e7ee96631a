"""Exports that were asked for in the admin: made by a worker, kept for a week on its disk."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from billing.exporting import export_parts, write_archive, write_missing
from tenants.export_models import TenantExport
from tenants.scope import tenant_scope

KEPT_FOR: Final = timedelta(days=7)
ATTEMPTS_MAX: Final = 20


def archive_of(tenant_id: UUID, export_id: UUID) -> Path:
    """Where the archive is, or will be."""
    return _folder(tenant_id) / f"{export_id}.zip"


def make_export(tenant_id: UUID, export_id: UUID, *, until: datetime) -> bool:
    """Go on with an export; whether it is finished. It stops at `until`, for a task may not take
    longer, and whoever comes next goes on with the part that is missing."""
    with _alone(archive_of(tenant_id, export_id)) as is_alone:
        if not is_alone:
            return False
        return not _begin_attempt(tenant_id, export_id) or _attempt(tenant_id, export_id, until)


@contextmanager
def _alone(archive: Path) -> Iterator[bool]:
    """Whether nobody else is at the archive, and then nobody comes to it meanwhile. The lock ends
    with its process."""
    archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with archive.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _attempt(tenant_id: UUID, export_id: UUID, until: datetime) -> bool:
    try:
        return _make(tenant_id, export_id, until)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        with tenant_scope(tenant_id):
            TenantExport.objects.filter(pk=export_id).update(failure=reason[:200])
        raise


def unfinished_exports(tenant_id: UUID) -> list[UUID]:
    with tenant_scope(tenant_id):
        waiting = TenantExport.objects.filter(finished_at=None)
        return list(waiting.values_list("pk", flat=True))


def forget_old_exports(tenant_id: UUID, *, as_of: datetime) -> int:
    """Remove archives after a week; how many. The record that there was one stays."""
    with tenant_scope(tenant_id):
        old = TenantExport.objects.filter(finished_at__lt=as_of - KEPT_FOR)
        paths = [archive_of(tenant_id, pk) for pk in old.values_list("pk", flat=True)]
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
    return len(there)


def _begin_attempt(tenant_id: UUID, export_id: UUID) -> bool:
    """Whether there is anything to do. One that fails again and again is given up, with its
    reason."""
    with tenant_scope(tenant_id):
        export = TenantExport.objects.select_for_update().filter(pk=export_id).first()
        if export is None or export.finished_at is not None:
            return False
        export.attempts += 1
        if export.failure and export.attempts > ATTEMPTS_MAX:
            export.finished_at = timezone.now()
        export.save(update_fields=["attempts", "finished_at"])
        return export.finished_at is None


def _make(tenant_id: UUID, export_id: UUID, until: datetime) -> bool:
    archive = archive_of(tenant_id, export_id)
    folder = archive.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    parts = export_parts(tenant_id)
    for done in write_missing(folder, parts):
        _note(tenant_id, export_id, parts=len(parts), parts_done=done)
        if timezone.now() >= until and done < len(parts):
            return False
    size = write_archive(folder, parts, archive)
    _note(tenant_id, export_id, size_bytes=size, finished_at=timezone.now(), failure="")
    return True


def _note(tenant_id: UUID, export_id: UUID, **changes: object) -> None:
    with tenant_scope(tenant_id):
        TenantExport.objects.filter(pk=export_id).update(**changes)


def _folder(tenant_id: UUID) -> Path:
    home: Path = settings.HOSTMETER_HOME
    return home / "exports" / str(tenant_id)
