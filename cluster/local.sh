#!/bin/sh
# Starts a Ray cluster on this machine that raymm can join, and stays until Ctrl-C ends it.
#
#   cluster/local.sh &
#   RAY_ADDRESS=127.0.0.2:6380 raymm run churn.yaml
#   raymm submit churn.yaml --address http://127.0.0.1:8266
#
# Every port is set, so that it can stand beside another Ray. The dashboard and the job server listen
# on loopback, and the node's address is 127.0.0.2, which Ray leaves alone (it replaces 127.0.0.1 by
# the machine's outer address). Ray binds its control ports (6380 to 6382, 52376) to every interface
# whatever it is told: the token is what guards them, and it goes over the wire in clear text, so use
# this on a machine whose network you trust or whose firewall closes these ports.
set -eu

umask 077
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
if [ "$RAY_AUTH_MODE" = token ] && [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
fi

# Serve answers through HAProxy only where the process that starts Ray says so. A gRPC message takes
# 4096 times serving.max_body_kb: raise its size where that is over 4096.
export RAY_SERVE_ENABLE_HA_PROXY=1
export RAY_SERVE_THROUGHPUT_OPTIMIZED=1
export RAY_SERVE_HAPROXY_METRICS_ENABLED=0
export RAY_SERVE_HAPROXY_LOG_TARGET='127.0.0.1:514 sample 1:1000000'
export RAY_SERVE_HAPROXY_RETRY_ON='conn-failure empty-response'
export RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S=30
export RAY_SERVE_GRPC_MAX_MESSAGE_SIZE=16777216
export RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=raymm.serving.ingress:middlewares

# The folder's name is short, because a socket's path holds 107 bytes.
exec ray start --head --block \
    --node-ip-address=127.0.0.2 \
    --port=6380 \
    --node-manager-port=6381 \
    --object-manager-port=6382 \
    --ray-client-server-port=10011 \
    --min-worker-port=20000 \
    --max-worker-port=20999 \
    --include-dashboard=true \
    --dashboard-host=127.0.0.1 \
    --dashboard-port=8266 \
    --dashboard-agent-listen-port=52375 \
    --dashboard-agent-grpc-port=52376 \
    --runtime-env-agent-port=52377 \
    --metrics-export-port=8081 \
    --temp-dir="${RAY_TMPDIR:-/tmp/rl}" \
    --disable-usage-stats
