#!/bin/sh
# Installs the real telephony programs the tests talk to. Where that is not allowed the tests
# that need them are skipped by name; in CI nothing may be missing.
set -eu

packages="age libportaudio2 sip-tester baresip-core baresip-ffmpeg linphone-cli kamailio kamailio-tls-modules
          kamailio-postgres-modules kamailio-websocket-modules rtpengine-daemon
          dnsmasq-base coturn espeak-ng flite sox gcc libc6-dev
          prosody ejabberd go-sendxmpp profanity zbar-tools postgresql chromium
          faketime iproute2 nftables"
missing=""
for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    missing="$missing nodejs npm"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        printf 'not installed, their tests will be skipped:%s\n' "$missing"
        [ -z "${CI:-}" ] || exit 1
        exit 0
    fi
    printf 'installing the programs to test against:%s …\n' "$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null 2>&1 ||
        { printf 'apt-get could not install:%s\n' "$missing"; [ -z "${CI:-}" ]; }
fi

# The official Waves libraries, and SIP.js.
for libraries in waves_js browser; do
    npm ci --prefix "tests/peers/$libraries" --silent --no-fund --no-audit ||
        { printf 'npm could not install the libraries of %s\n' "$libraries"; [ -z "${CI:-}" ]; }
done
