# One image for the worker, the review desk, the topics job and the bundle build, which differ in the command.
#
#   docker build --build-arg EXTRA=cpu -t mimamori:0.1.0-cpu .      ONNX Runtime and OpenVINO
#   docker build --build-arg EXTRA=gpu -t mimamori:0.1.0-gpu .      ONNX Runtime with CUDA and cuDNN
# It holds no torch, no bundle, no secret, and no tools that start servers or kill workers (.dockerignore). Its
# only model is the file that the shipped recipes are filled from, so that `mimamori bundle build` downloads
# nothing (--build-arg MODEL= leaves it out). The root file system may be read-only: files are written only to
# /tmp, /bundle, /var/cache/mimamori and /var/lib/mimamori, which should be mounted.
# Pinned by the digest of the index for all platforms, since a tag can be moved. For a security release, look
# up the tag's new digest (docker buildx imagetools inspect python:3.11-slim-bookworm) and change it here.
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS build
ARG EXTRA=cpu
ARG MODEL=requirements/model.txt
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/mimamori && python -m venv /opt/build
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY schemas schemas
COPY tracing tracing
COPY engine engine
COPY export export
COPY worker worker
COPY front front
COPY review review
COPY mimamori mimamori
# The extra `adapt` is for `bundle build`, which fills a recipe without torch; the last lines check that torch
# stays out. Every download is verified by its hash, including the packages that build the project's wheel.
RUN --mount=type=cache,target=/root/.cache/pip \
    case "${EXTRA}" in cpu | gpu) ;; *) echo "EXTRA must be cpu or gpu, not ${EXTRA}" >&2; exit 1 ;; esac \
    && /opt/build/bin/pip install --no-deps --require-hashes --requirement requirements/build.txt \
    && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/mimamori/bin/pip install --compile --no-deps --require-hashes --requirement "requirements/${EXTRA}.txt" \
    && if [ -n "${MODEL}" ]; then \
        /opt/mimamori/bin/pip install --no-deps --require-hashes --requirement "${MODEL}"; \
    fi \
    && /opt/mimamori/bin/pip install --compile --no-deps /wheels/*.whl \
    && /opt/mimamori/bin/python -c \
        "import importlib.util, sys; sys.exit('torch got into the image' if importlib.util.find_spec('torch') else 0)"

FROM ${PYTHON_IMAGE} AS runtime
ARG EXTRA=cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mimamori" \
      org.opencontainers.image.description="Screens a stream of text messages with small language models; people decide severity" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}-${EXTRA}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="python:3.11.16-slim-bookworm"
# A named volume gets the owner of the image's folder, so every folder that may be mounted is made here.
RUN groupadd --gid 10001 mimamori \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/mimamori --shell /usr/sbin/nologin mimamori \
    && install --directory --owner=10001 --group=10001 --mode=0750 /bundle /var/cache/mimamori /var/lib/mimamori
COPY --from=build /opt/mimamori /opt/mimamori
# Telemetry is off as in engine/quiet.py, also for other programs in the container.
# NVIDIA_DRIVER_CAPABILITIES is read only by the NVIDIA container runtime. Whoever starts a container decides
# which GPUs it sees.
ENV PATH=/opt/mimamori/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/cache/mimamori \
    MIMAMORI_HOME=/var/cache/mimamori \
    MIMAMORI_BUNDLE=/bundle/current \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_XET_TELEMETRY_ENABLED=0 \
    ORT_DISABLE_TELEMETRY=1 \
    DISABLE_SAFETENSORS_CONVERSION=true \
    HEALTHCHECK_URL=http://127.0.0.1:8080/livez
WORKDIR /var/lib/mimamori
# The user is given by number, so that Kubernetes can check runAsNonRoot.
USER 10001:10001
EXPOSE 8080 6066 6067
STOPSIGNAL SIGTERM
# It checks liveness and not readiness, so that a worker that waits for its broker is not killed.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['HEALTHCHECK_URL'], timeout=2)"]
ENTRYPOINT ["mimamori"]
CMD ["run"]
