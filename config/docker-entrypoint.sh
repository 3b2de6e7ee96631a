#!/bin/sh
# What a container runs: web, worker, beat or migrate; anything else is a command of manage.py.
set -eu
cd "$(dirname "$0")/.."

require() {
    for name in "$@"; do
        eval "value=\${$name:-}"
        if [ -z "$value" ]; then
            echo "hostmeter: $name is not set" >&2
            exit 1
        fi
    done
}

case "${1:-web}" in
    web)
        require SECRET_KEY APP_DATABASE_URL REDIS_URL
        exec python -m gunicorn --config python:config.runtime.gunicorn_conf \
            --bind "${BIND:-0.0.0.0:8000}" config.wsgi:application
        ;;
    worker)
        require SECRET_KEY APP_DATABASE_URL REDIS_URL
        exec python -m celery -A config worker --loglevel INFO \
            --concurrency "${WORKER_PROCESSES:-2}" --max-tasks-per-child 1000 \
            --max-memory-per-child 400000
        ;;
    beat)
        require SECRET_KEY APP_DATABASE_URL REDIS_URL
        exec python -m celery -A config beat --loglevel INFO --pidfile= \
            --schedule "${TMPDIR:-/tmp}/celerybeat-schedule"
        ;;
    migrate)
        require SECRET_KEY DATABASE_URL APP_DATABASE_URL ADMIN_DATABASE_URL
        python manage.py provision_database
        exec python manage.py migrate
        ;;
    health)
        exec python -m config.runtime.health "${BIND:-0.0.0.0:8000}"
        ;;
    *)
        exec python manage.py "$@"
        ;;
esac
