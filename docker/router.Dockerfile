# syntax=docker/dockerfile:1
# vllm-router between the gateway and several engines.
ARG PYTHON_VERSION=3.11.14
ARG PYTHON_DIGEST=

FROM python:${PYTHON_VERSION}-slim-bookworm${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS base
ENV PATH=/opt/gazal/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

FROM base AS build
COPY requirements/router.txt requirements/
RUN python -m venv --without-pip /opt/gazal \
    && python -m pip --python /opt/gazal/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/router.txt

FROM base
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gazal-router" \
    org.opencontainers.image.description="vllm-router for Gazal-R1" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/gazal /opt/gazal
ENV HOME=/tmp
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["vllm-router"]
