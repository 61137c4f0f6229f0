#!/bin/bash
# Formats Kafka's data folder at the first start, with the administrator's account in it, then becomes Kafka.
# All other accounts, the topics and the access rights are made by deploy/kafka/provision.py.
set -eu
bin=/opt/kafka/bin
properties=/etc/daibiaotong/server.properties
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  # From a file, because the arguments of a process can be read by others. Formatting writes meta.properties last.
  umask 077
  arguments=$(mktemp)
  cluster_id=$(head -c 16 /dev/urandom | base64 | tr +/ AB | cut -c 1-22)
  printf '%s\n' format --cluster-id "$cluster_id" --config $properties \
    --add-scram "SCRAM-SHA-512=[name=admin,password=$(cat /run/secrets/admin)]" > "$arguments"
  $bin/kafka-storage.sh "@$arguments"
  rm "$arguments"
fi
exec $bin/kafka-server-start.sh $properties
