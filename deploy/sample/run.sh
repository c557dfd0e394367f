#!/usr/bin/env bash
# Starts bin/sealprint together with an S3 server that holds the sample documents, and registers them.
#
#   deploy/sample/run.sh
#
# `make run` builds what is needed first. Stays in the foreground; Ctrl-C stops both servers. The index and the keys
# stay in ./data for the next run; the S3 server, its objects and its credentials are new each time and are removed at
# the end. SEALPRINT_LISTEN and SEALPRINT_DATA change the address (127.0.0.1:8080) and the folder (./data).
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077

listen=${SEALPRINT_LISTEN:-127.0.0.1:8080}
data=${SEALPRINT_DATA:-./data}
versitygw=.tools/versitygw
bucket=records
work=$(mktemp -d "${TMPDIR:-/tmp}/sealprint-sample.XXXXXX")
s3_pid=
server_pid=

fail() {
  echo "$1" >&2
  [ -z "${2:-}" ] || tail -n 20 "$2" >&2
  exit 1
}

# stop PID asks the process to end and waits for it; one that has not ended after 20 seconds is killed.
stop() {
  [ -n "$1" ] || return 0
  kill -TERM "$1" 2>/dev/null || true
  for _ in {1..200}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# shellcheck disable=SC2317 # called by the traps
# The server goes first: it may still be reading from the other one.
cleanup() {
  status=$?
  trap '' INT TERM HUP
  trap - EXIT
  stop "$server_pid"
  stop "$s3_pid"
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# start LOG COMMAND... runs it in the background, in a process group of its own: Ctrl-C then reaches this script only,
# which stops the servers in order.
start() {
  local log=$1
  shift
  set -m
  "$@" </dev/null >"$log" 2>&1 &
  set +m
}

listens() {
  (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# wait_for URL PID waits until the URL answers with 200; false when the process ends before, or after a minute.
wait_for() {
  local deadline=$((SECONDS + 60))
  until curl --noproxy '*' -fs -o /dev/null --max-time 5 "$1"; do
    kill -0 "$2" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

host=${listen%:*}
port=${listen##*:}
case $host in
  '' | 0.0.0.0 | '[::]') host=127.0.0.1 ;;
esac
url=http://$host:$port
if listens "${host//[\[\]]/}" "$port"; then
  fail "Something else listens on $host:$port. Stop it, or choose another address: SEALPRINT_LISTEN=127.0.0.1:8081 make run"
fi
for program in bin/sealprint "$versitygw"; do
  [ -x "$program" ] || fail "$program is missing: start this with make run"
done

# The S3 server, with credentials that nobody else knows.
random() {
  od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}
access_key=sample$(random 6)
secret_key=$(random 24)
printf '%s' "$access_key" >"$work/access.key"
printf '%s' "$secret_key" >"$work/secret.key"
mkdir "$work/objects"

s3_url=
for _ in 1 2 3 4 5; do
  s3_port=$((20000 + RANDOM % 12000))
  listens 127.0.0.1 "$s3_port" && continue
  ROOT_ACCESS_KEY=$access_key ROOT_SECRET_KEY=$secret_key \
    start "$work/s3.log" "$versitygw" --port "127.0.0.1:$s3_port" --health /health posix "$work/objects"
  s3_pid=$!
  if wait_for "http://127.0.0.1:$s3_port/health" "$s3_pid"; then
    s3_url=http://127.0.0.1:$s3_port
    break
  fi
  stop "$s3_pid"
  s3_pid=
done
[ -n "$s3_url" ] || fail "The S3 server did not start." "$work/s3.log"

# Uploaded, not copied into the folder: only an object that came in by S3 has an ETag, by which a second run knows it.
# The credentials are in a file because arguments can be read by every user of the machine.
printf '%s\n' "user = \"$access_key:$secret_key\"" 'aws-sigv4 = "aws:amz:us-east-1:s3"' 'noproxy = "*"' \
  'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"' >"$work/curl.conf"
s3() {
  curl --config "$work/curl.conf" -fsS "$@"
}
s3 -X PUT "$s3_url/$bucket"
for file in testdata/documents/*; do
  [ -f "$file" ] || continue
  s3 -T "$file" "$s3_url/$bucket/"
done

# The configuration names this run's S3 server, so it goes with it.
cat >"$work/sealprint.yaml" <<YAML
sources:
  - name: records
    endpoint: $s3_url
    region: us-east-1
    bucket: $bucket
    prefix: ""
    access_key_file: $work/access.key
    secret_key_file: $work/secret.key
    department: cabinet
    classification: restricted
YAML

start "$work/server.log" bin/sealprint serve --listen "$listen" --data "$data" --config "$work/sealprint.yaml"
server_pid=$!
wait_for "$url/readyz" "$server_pid" || fail "The server did not become ready." "$work/server.log"

# An API key in the caller's environment belongs to some other server.
unset SEALPRINT_API_KEY
SEALPRINT_URL=$url bin/sealprint register "s3://$bucket/" --key-file "$data/admin.key" ||
  fail "The sample documents could not be registered." "$work/server.log"

# A sentence of power-circular-debt-minutes.pdf, as somebody might post it.
post='Just in: The committee was of the view that the guarantee should be split over two financial years, and that the banks should not be told of the second part until the first has been subscribed in full. #leak'
key=$(cat "$data/admin.key")

cat <<TEXT

Console   $url/
API key   $key
Log       $work/server.log

This finds a leak:

curl -sS $url/v1/match -H 'Authorization: Bearer $key' -H 'Content-Type: application/json' -d '{"text": "$post"}'

Ctrl-C stops both servers.
TEXT

# Either server ending by itself ends the run.
wait -n "$server_pid" "$s3_pid" || true
fail "A server has ended." "$work/server.log"
