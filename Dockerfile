# One image for both Deployments: docker build -t mesh-signer:0.1.0 .
# Two stages from the same base, so that the virtual environment of the first runs in the second.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What runs: from the lock, by hash, and never built from source.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/mesh-signer \
    && python -m pip --python /opt/mesh-signer install --require-hashes --only-binary=:all: -r requirements.lock
# What only builds stays in this stage.
COPY requirements-build.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary=:all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY issuers issuers
COPY signer signer
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && python -m pip --python /opt/mesh-signer install --no-deps --no-index /wheels/*.whl \
    && /opt/mesh-signer/bin/python -m compileall -q /opt/mesh-signer/lib \
    && /opt/mesh-signer/bin/mesh-signer --help > /dev/null

FROM ${BASE}
LABEL org.opencontainers.image.title="mesh-signer" \
      org.opencontainers.image.description="Signs Kubernetes CertificateSigningRequests with each tenant's CA." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mesh-signer /opt/mesh-signer
ENV PATH=/opt/mesh-signer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# Numbers, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 9402
ENTRYPOINT ["mesh-signer"]
CMD ["run"]
