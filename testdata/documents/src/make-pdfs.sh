#!/usr/bin/env bash
# Makes the PDF samples from the sources beside this script.
#
#   testdata/documents/src/make-pdfs.sh
#
# English letters are printed by headless Chromium. The Urdu letter is set by pango-view (cairo), because its PDF keeps
# the letters in reading order; Chromium writes each line of Arabic script back to front. The dates inside the PDFs are
# fixed, so that a second run with the same programs and fonts changes nothing.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)

"$root/deploy/sample/apt.sh" chromium pango1.0-tools fonts-liberation fonts-noto-core

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

# fix_dates FILE replaces the two dates by one of the same length, so that the offsets in the file stay right.
fix_dates() {
  LC_ALL=C sed -i -E "s/(D:)[0-9]{14}/\120260101000000/g" "$1"
}

for source in *.html; do
  out=../${source%.html}.pdf
  chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update \
    --disable-sync --no-pdf-header-footer --user-data-dir="$profile" \
    --print-to-pdf="$out" "file://$PWD/$source" 2>"$profile/log" || { cat "$profile/log" >&2; exit 1; }
  fix_dates "$out"
done

for source in *-urdu-*.txt; do
  out=../${source%.txt}.pdf
  pango-view --no-display --backend=cairo --dpi=72 --rtl --width=491 --margin=52 --font='Noto Naskh Arabic,Liberation Serif 9.5' \
    --output="$out" "$source"
  fix_dates "$out"
done
