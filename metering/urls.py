"""The agents' and programs' interface."""

from django.urls import path, re_path

from metering import host_views, views

urlpatterns = [
    path("hosts/enrol", views.enrol, name="enrol"),
    path("hosts/keys", host_views.keys, name="host-keys"),
    path("hosts/desired-state", host_views.desired_state, name="desired-state"),
    path("hosts/applied-state", host_views.applied_state, name="applied-state"),
    path("batches", views.batches, name="batches"),
    re_path(r"^", views.unknown_endpoint, name="unknown-endpoint"),
]
