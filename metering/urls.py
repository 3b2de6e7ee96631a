"""The agents' and programs' interface."""

from django.urls import path, re_path

from metering import views

urlpatterns = [
    path("hosts/enrol", views.enrol, name="enrol"),
    path("batches", views.batches, name="batches"),
    re_path(r"^", views.unknown_endpoint, name="unknown-endpoint"),
]
