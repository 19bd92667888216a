#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Gives the build its LuaJIT: Debian's source package with Debian's patches,
# compiled as a static library with CHECKHOOK (without it a hook can't stop a
# compiled loop) and the Lua 5.2 metamethods. The archive and the result stay
# in a cache outside all build folders, so a machine compiles it once.
#
#   core/cmake/luajit.sh            print the folder of the built library, making it if need be
#   core/cmake/luajit.sh --fetch    only see to it that the source archive is in the cache
#
# The machine's APT settings are not touched, and root is not needed.

set -eu

FLAGS="-DLUAJIT_ENABLE_CHECKHOOK -DLUAJIT_ENABLE_LUA52COMPAT"
CC=${DEMILUNE_LUAJIT_CC:-gcc}
RECIPE=3 # raise it when this script builds differently

cache=${DEMILUNE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/demilune}/luajit
source=$cache/source

say() { printf '%s\n' "luajit: $*" >&2; }
die() { say "$*"; exit 1; }

archive() { # the newest .dsc in the cache, or nothing
    find "$source" -maxdepth 1 -name 'luajit_*.dsc' 2>/dev/null | sort -V | tail -n 1
}

# Source lists of our own: what the machine has, with deb-src in place of deb.
source_lists() {
    mkdir -p "$1"
    for file in /etc/apt/sources.list.d/*.sources; do
        if [ -f "$file" ] && grep -qi '^URIs:.*debian' "$file"; then
            sed 's/^Types:.*/Types: deb-src/' "$file" >"$1/${file##*/}"
        fi
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -f "$file" ] && grep -qi '^deb .*debian' "$file"; then
            sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' "$file" >"$1/${file##*/}.list"
        fi
    done
    [ -n "$(ls "$1")" ] || die "no Debian source is configured in /etc/apt"
}

fetch() {
    [ -z "$(archive)" ] || return 0
    command -v apt-get >/dev/null || die "apt-get is missing, and the source is not in $source"
    say "fetching Debian's source package into $source"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    chmod 755 "$scratch" # apt drops its rights while it downloads
    source_lists "$scratch/parts"
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/get"
    set -- -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$scratch/parts" \
        -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1 -o Acquire::Retries=3
    apt-get "$@" update >&2 || say "apt-get update complained; trying all the same"
    (cd "$scratch/get" && apt-get "$@" source --download-only luajit >&2) ||
        die "apt-get can't get the source package luajit"
    mkdir -p "$source"
    for file in "$scratch"/get/*.tar.* "$scratch"/get/*.dsc; do # the .dsc last: it marks the set as whole
        cp "$file" "$source/.incoming" && mv "$source/.incoming" "$source/${file##*/}"
    done
}

# With CHECKHOOK each trace begins with three instructions that look at the hook. This release takes them for a turn of
# the loop when a trace starts at a pairs(), and compiles it into a loop that does nothing and never ends.
mend() {
    sed -i '/static LoopEvent rec_itern/,/^}/s/REF_FIRST+1/REF_FIRST+4/; /static LoopEvent rec_itern/,/^}/s/ir\[REF_FIRST\]/ir[REF_FIRST+3]/' "$1"
    [ "$(grep -c 'REF_FIRST+4' "$1")" = 2 ] || die "lj_record.c is not the one that is known here"
}

build() {
    dsc=$(archive)
    version=${dsc##*/luajit_}
    version=${version%.dsc}
    machine=$(uname -m)
    key=$(printf '%s' "$RECIPE $FLAGS $CC $machine" | sha256sum | cut -c1-8)
    prefix=$cache/$version-$key
    if [ ! -f "$prefix/libluajit.a" ]; then
        say "building $version in $prefix (20 seconds)"
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        command -v dpkg-source >/dev/null || die "dpkg-source is missing (package dpkg-dev)"
        dpkg-source --no-check -x "$dsc" "$scratch/luajit" >"$scratch/log" 2>&1 &&
            mend "$scratch/luajit/src/lj_record.c" &&
            env -u MAKEFLAGS -u MAKELEVEL make -C "$scratch/luajit/src" amalg BUILDMODE=static CC="$CC" \
                CCDEBUG="-g -ffile-prefix-map=$scratch/=" XCFLAGS="$FLAGS" >>"$scratch/log" 2>&1 || {
            cat "$scratch/log" >&2
            die "the build failed"
        }
        fresh=$prefix.new
        rm -rf "$fresh"
        mkdir -p "$fresh/include" "$fresh/share/jit"
        for header in lua.h luaconf.h lualib.h lauxlib.h luajit.h; do
            cp "$scratch/luajit/src/$header" "$fresh/include/"
        done
        cp "$scratch"/luajit/src/jit/*.lua "$fresh/share/jit/"
        cp "$scratch/luajit/COPYRIGHT" "$fresh/"
        cp "$scratch/luajit/src/libluajit.a" "$fresh/"
        rm -rf "$prefix"
        mv "$fresh" "$prefix"
    fi
    printf '%s\n' "$prefix"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # several build trees may be configured at once
fetch
[ "${1:-}" = --fetch ] || build
