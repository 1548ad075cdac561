# The image carries a Python with Fieldgate and its locked packages, and nothing that built them.

FROM python:3.13-slim AS builder
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock ./
RUN python -m venv /opt/fieldgate \
 && /opt/fieldgate/bin/pip install --require-hashes -r requirements.lock
COPY . .
# Builds the page too: Node comes as a build requirement and stays in this stage.
RUN /opt/fieldgate/bin/pip install --no-deps .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Fieldgate" org.opencontainers.image.licenses="MIT"
# `dialout` owns serial ports; on a host where its id is not 20, compose's `group_add` says which.
RUN useradd --system --user-group --groups dialout --home-dir /data --no-create-home fieldgate \
 && install --directory --owner=fieldgate --group=fieldgate --mode=0750 /data
COPY --from=builder /opt/fieldgate /opt/fieldgate
ENV PATH=/opt/fieldgate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER fieldgate
# Holds fieldgate.yaml, if there is one, users.yaml and the data.
WORKDIR /data
VOLUME /data
EXPOSE 8088 1883
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8088/health/live', timeout=4)"]
ENTRYPOINT ["fieldgate"]
CMD ["run"]
