#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints the folder of the public test suite for HTTP caches (https://cache-tests.fyi); with --fetch npm puts it into the
# user's cache before. With nothing printed it is not there, and spec/gate/cache_suite_spec.lua is left out.

set -eu

version=0.4.5
cache=${DEMILUNE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/demilune}/cache-tests
suite=$cache/$version/node_modules/http-cache-tests

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -d "$suite" ]; then
    [ "${1:-}" = --fetch ] || exit 0
    command -v npm >/dev/null && command -v node >/dev/null || exit 0
    printf 'cache-tests: fetching http-cache-tests %s into %s\n' "$version" "$cache" >&2
    rm -rf "$cache/new"
    npm install --silent --no-audit --no-fund --ignore-scripts --omit=dev --prefix "$cache/new" \
        "http-cache-tests@$version" >&2 || {
        echo 'cache-tests: npm can not get the suite' >&2
        exit 1
    }
    rm -rf "${cache:?}/$version"
    mv "$cache/new" "$cache/$version"
fi
printf '%s\n' "$suite"
