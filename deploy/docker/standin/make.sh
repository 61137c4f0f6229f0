#!/bin/bash
# Makes stand-ins for the three official images where no registry can be reached. Needs Debian, root, mmdebstrap,
# docker and Maven. They are called daibiaotong-standin-*, never by an official name; to use them afterwards:
#
#   export PYTHON_IMAGE=daibiaotong-standin-python POSTGRES_IMAGE=daibiaotong-standin-postgres
#   export KAFKA_IMAGE=daibiaotong-standin-kafka DOCKER_BUILDKIT=0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/* /etc/ssl/certs/ca-certificates.crt "$work"
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$work/debian.tar"
docker import "$work/debian.tar" daibiaotong-standin-debian
rm "$work/debian.tar"
mvn -q -B -f "$here/../../kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars"
for name in python postgres kafka; do
  DOCKER_BUILDKIT=0 docker build --quiet --tag "daibiaotong-standin-$name" --file "$work/Dockerfile.$name" "$work" 2> "$work/build.log" \
    || { cat "$work/build.log"; exit 1; }
done
