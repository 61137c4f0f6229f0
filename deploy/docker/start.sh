#!/bin/sh
# Starts the module $SERVICE with its secrets: each file of /run/secrets (or $SECRETS_DIR) that is named like an
# environment variable becomes that variable. The program takes this process over, so it gets the signals.
set -eu
for file in "${SECRETS_DIR:-/run/secrets}"/*; do
  name=${file##*/}
  case $name in
    *[!A-Z_]*) ;;
    *) export "$name=$(cat "$file")" ;;
  esac
done
export INSTANCE="${INSTANCE:-$(hostname)}"
exec python -m "${SERVICE:?is not set: build the image with --build-arg SERVICE=module}" "$@"
