# syntax=docker/dockerfile:1
# The gateway (default target) and the page for clinicians (target `ui`): no torch, no compiler, no shell script.
# With PYTHON_DIGEST=sha256:... the base is pinned to one image; docker/bake.hcl passes it.
ARG PYTHON_VERSION=3.11.14
ARG PYTHON_DIGEST=

FROM python:${PYTHON_VERSION}-slim-bookworm${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS base
ENV PATH=/opt/gazal/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

FROM base AS gateway-build
COPY requirements/gateway.txt requirements/
RUN python -m venv --without-pip /opt/gazal \
    && python -m pip --python /opt/gazal/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/gateway.txt
COPY gazal gazal
COPY server server
RUN python -m compileall -q gazal server

FROM base AS ui-build
COPY requirements/ui.txt requirements/
RUN python -m venv --without-pip /opt/gazal \
    && python -m pip --python /opt/gazal/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/ui.txt
COPY gazal gazal
COPY ui ui
RUN python -m compileall -q gazal ui

FROM base AS ui
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gazal-ui" \
    org.opencontainers.image.description="Gazal-R1: the page for clinicians; research use only" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
COPY --from=ui-build /opt/gazal /opt/gazal
COPY --from=ui-build /app /app
ENV GAZAL_HOME=/var/lib/gazal HOME=/tmp
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
ENTRYPOINT ["python", "-m", "ui"]

FROM base AS gateway
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gazal-gateway" \
    org.opencontainers.image.description="Gazal-R1: the gateway before vLLM; research use only" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
COPY --from=gateway-build /opt/gazal /opt/gazal
COPY --from=gateway-build /app /app
ENV GAZAL_HOME=/var/lib/gazal HOME=/tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-m", "server", "probe", "http://127.0.0.1:8000"]
ENTRYPOINT ["python", "-m", "server"]
