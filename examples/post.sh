#!/usr/bin/env bash
# Takes one post in and prints the answer.
#
#   SEALPRINT_API_KEY=… examples/post.sh 'What somebody posted'
set -euo pipefail
url=${SEALPRINT_URL:-http://127.0.0.1:8080}
text=${1:?usage: post.sh TEXT}

# The id is the pipeline's own; here it is made of the text, so that the same text is the same post.
id=$(printf %s "$text" | sha256sum | cut -c1-16)
# JSON is not put together by hand: a quotation mark in a post would break it.
escaped=$(printf %s "$text" | tr '\t\r' '  ' | tr -d '\000-\011\013-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | awk '{ printf "%s%s", sep, $0; sep = "\\n" }')

# The key goes through standard input, so that no process list shows it.
printf 'header = "Authorization: Bearer %s"\n' "${SEALPRINT_API_KEY:?}" |
  curl --silent --show-error --fail-with-body --config - \
    --header 'Content-Type: application/json' --data-binary "{\"id\": \"$id\", \"text\": \"$escaped\"}" "$url/v1/posts"
