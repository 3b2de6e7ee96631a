"""Shows e-mails in the log instead of sending them, for an installation without a mail server."""

import logging
from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

logger = logging.getLogger(__name__)


class EmailBackend(BaseEmailBackend):
    """Headers and text alone; of a message with a secret link, only that there is one."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for each in email_messages:
            body = (
                "(its link is not shown here)" if getattr(each, "is_secret", False) else each.body
            )
            files = ", ".join(str(getattr(file, "filename", file[0])) for file in each.attachments)
            logger.info(
                "e-mail, not sent: EMAIL_URL is not set\nFrom: %s\nTo: %s\nSubject: %s\n\n%s%s",
                *(each.from_email, ", ".join(each.to), each.subject, body),
                f"\nAttached: {files}" if files else "",
            )
        return len(email_messages)
