#!/usr/bin/env bash
# Builds the images without Docker, a registry or a daemon, and runs the gateway and the detector until they answer.
#
# deploy/docker/prove.sh [FOLDER]: needs root, and Debian's buildah and debootstrap. Debian itself takes the place of
# the Python image, so what this shows is the Dockerfile, not that image. PIP_CONF and CA as for `make images`.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "${1:-build/images}"
place=$(realpath "${1:-build/images}")
base=docker.io/library/python:3.11.14-slim-bookworm
export BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=true
run() { buildah --root "$place/storage" --runroot "$place/run" "$@"; }

if ! run inspect --type image "$base" >"$place/base.json" 2>&1; then
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$place/debian"
  ln -sf python3 "$place/debian/usr/bin/python"
  tar -C "$place/debian" -cf "$place/debian.tar" .
  container=$(run from scratch)
  run add --quiet "$container" "$place/debian.tar" /
  run config --env PATH=/usr/local/bin:/usr/bin:/bin "$container"
  run commit --quiet --rm "$container" "$base"
fi

cat >"$place/builder" <<END
#!/bin/sh
command=\$1 && shift
exec buildah --root "$place/storage" --runroot "$place/run" "\$command" --pull-never "\$@"
END
chmod +x "$place/builder"
make images BUILDER="$place/builder" REGISTRY=localhost TAG=proof

# Containers share this machine's network. One that ends by itself shows why in its log.
models=$(run mount "$(run from --pull-never localhost/models:proof)")/models
groups=()
trap 'for group in "${groups[@]}"; do kill -- "-$group" || true; done' EXIT
for service in gateway detector; do
  container=$(run from --pull-never "localhost/$service:proof")
  setting=${service^^}_SERVER__
  [ "$service" = gateway ] && port=45050 || port=45051
  setsid buildah --root "$place/storage" --runroot "$place/run" run --volume "$models:/models:ro" \
    --env "${setting}PORT=$port" --env "${setting}HEALTH_PORT=$((port + 10))" --env GATEWAY_MODELS=/models \
    --env DETECTOR_MODEL=/models/detector-lite0 "$container" -- python -m "services.$service" \
    >"$place/$service.log" 2>&1 &
  groups+=("$!")
  # The gateway is alive but not ready: it waits for peers that are not there.
  run run "$container" -- python -c '
import sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
health = health_pb2_grpc.HealthStub(grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}"))
for name in ("liveness", ""):
    answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=60, wait_for_ready=True)
    print(sys.argv[1], repr(name), health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
' "$service" "$((port + 10))"
  run run "$container" -- python -c '
import os, sys
from importlib.metadata import version
print("shiwu", version("shiwu"), "as user", os.getuid(), "on Python", sys.version.split()[0])
'
done
run images
