#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints the folder that holds llhttp's C sources (share/llhttp, share/include
# under it): /usr where Debian's package node-llhttp is installed, otherwise a
# copy of that package's files in the cache. Installing the package would pull
# in Node.js, of which nothing is needed.

set -eu

cache=${DEMILUNE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/demilune}/llhttp

if [ -f /usr/share/llhttp/llhttp.c ] && [ -f /usr/share/include/llhttp/llhttp.h ]; then
    echo /usr
    exit
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -f "$cache/usr/share/llhttp/llhttp.c" ]; then
    printf 'llhttp: fetching the package node-llhttp into %s\n' "$cache" >&2
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 download node-llhttp >&2 || {
        echo 'llhttp: apt-get can not get node-llhttp (run core/install-dependencies)' >&2
        exit 1
    }
    dpkg -x node-llhttp_*.deb "$cache/new"
    mkdir -p "$cache/usr/share"
    cp -r "$cache/new/usr/share/include" "$cache/new/usr/share/doc" "$cache/usr/share/"
    cp -r "$cache/new/usr/share/llhttp" "$cache/usr/share/" # last: it marks the set as whole
    rm -rf "$cache/new"
fi
printf '%s\n' "$cache/usr"
