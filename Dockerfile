# gym-http in a container; docs/deploy.md says how to run it.
#
#   docker build -t gym-http .
#   docker build -t gym-http --build-arg EXTRAS=postgres,atari,mujoco .
#
# EXTRAS are those of pyproject.toml, separated by commas. What is installed, and the hash of each
# file, is in uv.lock; `make lock` renews it.

ARG PYTHON=3.13-slim-trixie

FROM python:${PYTHON} AS build
ARG EXTRAS=postgres
ENV UV_PROJECT_ENVIRONMENT=/opt/gym-http \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1
WORKDIR /src
COPY deploy/uv.txt deploy/uv.txt
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r deploy/uv.txt
ENV PATH=/opt/uv/bin:$PATH
COPY pyproject.toml uv.lock ./
# First what builds packages, so that what it builds is built with that and with nothing newer.
RUN uv sync --frozen --only-group build
RUN uv sync --frozen --no-install-project --no-build-isolation --group build \
      $(echo "$EXTRAS" | sed 's/[^,][^,]*/--extra &/g; s/,/ /g')
COPY gym_http gym_http
COPY conformance conformance
COPY README.md LICENSE gym_http_client.py gym_http_server.py ./
RUN uv pip install --python /opt/gym-http --no-deps --no-build-isolation . \
 && uv pip uninstall --python /opt/gym-http setuptools


FROM python:${PYTHON}
ARG EXTRAS=postgres
# tini is process 1, which takes in what environments leave behind; Mesa draws MuJoCo's frames.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
      $(case ",$EXTRAS," in *,mujoco,*) echo libegl1 libopengl0 libgl1-mesa-dri;; esac) \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 gym \
 && useradd --uid 10001 --gid gym --no-create-home --home-dir /data --shell /usr/sbin/nologin gym \
 && install --directory --owner=gym --group=gym /data
COPY --from=build /opt/gym-http /opt/gym-http
ENV PATH=/opt/gym-http/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GYM_HTTP_LISTEN=0.0.0.0 \
    GYM_HTTP_DATA_DIR=/data \
    GYM_HTTP_DATA_ROOT=/data \
    GYM_HTTP_LOG_FORMAT=json
LABEL org.opencontainers.image.title="gym-http" \
      org.opencontainers.image.description="Gymnasium's and Gym's environments over HTTP" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["gym-http", "health"]
ENTRYPOINT ["tini", "--", "gym-http"]
CMD ["serve"]
