# Four images, see docs/images.md, and docs/deploy.md for the last:
#   relay    /opt/git-credential-relay and nothing else, for `COPY --from` into an image of your own
#   agent    git and gh, wired to the relay, for an agent to work in (the default)
#   sidecar  the sidecar as a container of its own, beside agents without any secret
#   broker   the broker, with what it needs for PostgreSQL and Valkey too
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

FROM ${BASE_IMAGE} AS sidecar
LABEL org.opencontainers.image.title="git-credential-relay sidecar" \
      org.opencontainers.image.description="Holds the workspace's secret, and answers the git and gh of agents over unix sockets" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
COPY --from=relay /opt/git-credential-relay /opt/git-credential-relay
# A volume that is mounted there for the first time becomes the sidecar's own, too.
RUN groupadd --gid 10002 sidecar \
    && useradd --uid 10002 --gid sidecar --no-create-home --home-dir /run/git-credential-relay \
        --shell /usr/sbin/nologin sidecar \
    && ln -s /opt/git-credential-relay/bin/git-credential-relay /usr/local/bin/ \
    && install --directory --owner=sidecar --group=sidecar --mode=0755 /run/git-credential-relay
# Whom it answers, which here is the user `agent` of our own image.
ENV GIT_CREDENTIAL_RELAY_ALLOW_UIDS=1000
# By number, so that an orchestrator can see that it is not root.
USER 10002:10002
WORKDIR /
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["git-credential-relay", "status"]
# At /run/git-credential-relay/git.sock, unless GIT_CREDENTIAL_RELAY_SOCKET names another socket.
ENTRYPOINT ["/opt/git-credential-relay/bin/git-credential-relay", "sidecar"]

FROM ${BASE_IMAGE} AS broker-build
WORKDIR /src
COPY requirements/broker.txt requirements/
RUN python -m venv /build \
    && /build/bin/pip --quiet --disable-pip-version-check wheel --require-hashes \
        --requirement requirements/broker.txt --wheel-dir /wheels \
    && python -m venv --without-pip /opt/git-credential-relay
COPY --from=build /wheels/git_credential_relay-*.whl /wheels/
# Of the wheels those that the broker needs; hatchling and pip are there to build ours.
RUN /build/bin/pip --quiet --disable-pip-version-check \
        --python /opt/git-credential-relay/bin/python install --no-index --no-compile \
        --find-links /wheels "git-credential-relay[broker,replicas]" \
    && python -m compileall -q -j0 --invalidation-mode unchecked-hash /opt/git-credential-relay

FROM ${BASE_IMAGE} AS broker
LABEL org.opencontainers.image.title="git-credential-relay broker" \
      org.opencontainers.image.description="The cloud API that decides, mints and records: short-lived git credentials for agents" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
COPY --from=broker-build /opt/git-credential-relay /opt/git-credential-relay
# The official images have no byte code of the standard library, which the broker could not write.
RUN python -m compileall -q -j0 --invalidation-mode unchecked-hash \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && ln -s /opt/git-credential-relay/bin/git-credential-relay /usr/local/bin/ \
    && groupadd --gid 10001 broker \
    && useradd --uid 10001 --gid broker --no-create-home --home-dir /var/lib/git-credential-relay \
        --shell /usr/sbin/nologin broker \
    && install --directory --mode=0755 /etc/git-credential-relay \
    # The database and its key are in it: for nobody else.
    && install --directory --owner=broker --group=broker --mode=0700 /var/lib/git-credential-relay
VOLUME /var/lib/git-credential-relay
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/git-credential-relay
EXPOSE 8750
# Not by urllib, which would ask a proxy for what is on loopback.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["/opt/git-credential-relay/bin/python", "-I", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8750, timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["/opt/git-credential-relay/bin/git-credential-relay"]
CMD ["broker", "serve", "--config", "/etc/git-credential-relay/broker.toml", "--listen", "0.0.0.0:8750"]

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
