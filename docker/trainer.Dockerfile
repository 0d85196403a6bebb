# syntax=docker/dockerfile:1
# Training on GPUs. torch's wheels bring CUDA's libraries, so the host's driver is all that is needed beside this.
ARG PYTHON_VERSION=3.11.14
ARG PYTHON_DIGEST=

FROM python:${PYTHON_VERSION}-slim-bookworm${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS base
ENV PATH=/opt/gazal/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

FROM base AS build
COPY requirements/trainer.txt requirements/
RUN python -m venv --without-pip /opt/gazal \
    && python -m pip --python /opt/gazal/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/trainer.txt
COPY gazal gazal
COPY training training
RUN python -m compileall -q gazal training

FROM base
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="gazal-trainer" \
    org.opencontainers.image.description="Gazal-R1: both training stages; research use only" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
# Triton compiles kernels while it runs, and a run's manifest names the commit.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc git libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/gazal /opt/gazal
COPY --from=build /app /app
ENV GAZAL_HOME=/var/lib/gazal HOME=/tmp USER=gazal NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN install -d -o 10001 -g 10001 /var/lib/gazal
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "training"]
