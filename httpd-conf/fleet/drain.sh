#!/bin/sh
# Takes this httpd out of service without a failed request: the readiness page turns to
# 503, the balancer in front stops sending users, requests under way finish, httpd ends.
# (An address that moves, keepalived, has a limit of its own: docs/fleet.md.)
#
#     drain.sh          # drain and stop
#     drain.sh start    # take the drain file away and start
#
# Adapt: DRAIN_FILE as in httpd.conf; DRAIN_WAIT: longer than the balancer needs to notice
# and than KeepAliveTimeout (5 s), so that no idle client connection is left.
# With systemd: docs/fleet.md has the lines for `systemctl stop apache2`.
set -eu

DRAIN_FILE=${DRAIN_FILE:-/run/apache2/drain}
DRAIN_WAIT=${DRAIN_WAIT:-10}
PID_FILE=${PID_FILE:-/run/apache2/apache2.pid}
APACHECTL=${APACHECTL:-apachectl}

# running: the parent process of httpd is there.
running() {
    [ -s "$PID_FILE" ] && kill -0 "$(cat "$PID_FILE")" 2>/dev/null
}

case ${1:-stop} in
start)
    rm -f "$DRAIN_FILE"
    exec "$APACHECTL" start
    ;;
stop)
    running || exit 0
    touch "$DRAIN_FILE"
    sleep "$DRAIN_WAIT"
    # It returns at once; httpd ends when the last request is done, at the latest after
    # GracefulShutdownTimeout.
    "$APACHECTL" graceful-stop
    while running; do sleep 1; done
    ;;
*)
    echo "usage: $0 [stop|start]" >&2
    exit 2
    ;;
esac
