#!/usr/bin/env bash
# Installs the Debian packages named on the command line that are not there yet.
#
#   deploy/sample/apt.sh PACKAGE...
#
# Prints nothing and needs no rights when all of them are installed. A machine without dpkg is left alone: there the
# commands that need the packages say what is missing.
set -euo pipefail

command -v dpkg-query >/dev/null || exit 0

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = 'install ok installed' ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "These Debian packages are missing and there is no sudo to install them: ${missing[*]}" >&2
    echo "As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# DPkg::Lock::Timeout: another apt-get may be running just now.
if ! { "${as_root[@]}" apt-get update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Could not install ${missing[*]}. Install them by hand: apt-get install ${missing[*]}" >&2
  exit 1
fi
