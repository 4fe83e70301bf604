# Two images, see docs/images.md:
#   relay   /opt/git-credential-relay and nothing else, for `COPY --from` into an image of your own
#   agent   git and gh, wired to the relay, for an agent to work in (the default)
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends patchelf \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/runtime.txt requirements/
RUN python -m venv /build \
    && /build/bin/pip --quiet --disable-pip-version-check wheel --require-hashes \
        --requirement requirements/runtime.txt --wheel-dir /wheels \
    && /build/bin/pip --quiet --disable-pip-version-check install --no-index \
        --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY entrypoint entrypoint
COPY git_credential_relay git_credential_relay
RUN /build/bin/pip --quiet --disable-pip-version-check wheel --no-deps --no-build-isolation \
        --wheel-dir /wheels . \
    && /build/bin/python entrypoint/make_tree.py /opt/git-credential-relay /wheels

FROM scratch AS relay
LABEL org.opencontainers.image.title="git-credential-relay" \
      org.opencontainers.image.description="/opt/git-credential-relay with its own Python, for COPY --from into Debian-based images" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /opt/git-credential-relay /opt/git-credential-relay

FROM ${BASE_IMAGE} AS agent
LABEL org.opencontainers.image.title="git-credential-relay agent" \
      org.opencontainers.image.description="git and gh with a fresh, short-lived, narrowly scoped credential at the moment of use" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gh git util-linux \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --user-group --shell /bin/bash agent \
    # The agent's own until a start as root takes it over; what is in it must not be for others.
    && install --directory --owner=agent --group=agent --mode=0700 /run/git-credential-relay
COPY --from=relay /opt/git-credential-relay /opt/git-credential-relay
RUN /opt/git-credential-relay/bin/git-credential-relay install --gh
# An agent on a terminal would wait for ever for somebody to type a password.
ENV GIT_TERMINAL_PROMPT=0
# By number, so that an orchestrator can see that it is not root.
USER 1000:1000
WORKDIR /home/agent
HEALTHCHECK --interval=5m --timeout=30s --start-period=10s \
    CMD ["git-credential-relay", "doctor", "--offline"]
ENTRYPOINT ["/opt/git-credential-relay/bin/git-credential-relay-entrypoint"]
CMD ["bash"]
