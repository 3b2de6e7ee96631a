"""What gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
# Django would load the views at the first request, in each worker anew; loaded here, they are
# shared by all workers, and nobody waits for them.
len(get_resolver().url_patterns)
