#!/bin/sh
# Renews the JavaScript libraries of the console page, as their authors publish them; the page is
# served without a build, so the name by which one finds the other becomes a path.
set -eu
cd "$(dirname "$0")/.."
to=$PWD/web/static/vendor
work=$(mktemp -d)
cd "$work"
npm pack --silent preact@10.29.8 htm@3.1.1 >/dev/null
for package in *.tgz; do
    mkdir "${package%.tgz}"
    tar xzf "$package" -C "${package%.tgz}"
done
clean() { sed '/^\/\/# sourceMappingURL/d' "$1"; }
clean preact-*/package/dist/preact.mjs >"$to/preact.js"
clean preact-*/package/hooks/dist/hooks.mjs | sed 's|from"preact"|from"./preact.js"|' >"$to/hooks.js"
clean htm-*/package/dist/htm.mjs >"$to/htm.js"
cp preact-*/package/LICENSE "$to/preact.LICENSE"
cp htm-*/package/LICENSE "$to/htm.LICENSE"
rm -r "$work"
