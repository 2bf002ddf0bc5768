# One image for both Deployments: docker build -t mesh-signer:0.1.0 .
# Two stages from the same base, so that the virtual environment of the first runs in the second.
# docs/install.md says what may be given with --build-arg, and what is in the image besides.
# Name the base by its digest for an image that can be built again: --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# An index of your own, and its CA: put the file at release/ca.crt and give PIP_CERT=/src/release/ca.crt.
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG VERSION=0.1.0
ARG SOURCE_DATE_EPOCH
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY release release
# What runs: from the lock, by hash, and never built from source.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/mesh-signer \
    && python -m pip --python /opt/mesh-signer install --no-compile --require-hashes --only-binary=:all: -r requirements.lock
# What only builds stays in this stage.
COPY requirements-build.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary=:all: -r requirements-build.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY issuers issuers
COPY signer signer
# The compiled modules are never compared with their source: a layer may round the times that would be compared.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && python -m pip --python /opt/mesh-signer install --no-compile --no-deps --no-index /wheels/*.whl \
    && python release/prepare.py /opt/mesh-signer \
    && /opt/build/bin/python release/sbom.py /opt/mesh-signer/share/sbom.cdx.json "${VERSION}" \
    && /opt/mesh-signer/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/mesh-signer/lib \
    && /opt/mesh-signer/bin/mesh-signer --help > /dev/null

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=https://github.com/mesh-signer/mesh-signer
LABEL org.opencontainers.image.title="mesh-signer" \
      org.opencontainers.image.description="Signs Kubernetes CertificateSigningRequests with each tenant's CA." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /opt/mesh-signer /opt/mesh-signer
ENV PATH=/opt/mesh-signer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BUILD_REVISION=${REVISION}
WORKDIR /
# Numbers, so that Kubernetes can see that it is not root.
USER 65532:65532
# Metrics and probes; answers of HTTP-01 challenges.
EXPOSE 9402 8089
ENTRYPOINT ["mesh-signer"]
CMD ["run"]
