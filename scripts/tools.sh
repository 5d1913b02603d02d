#!/usr/bin/env bash
# Says which build tools are missing and how to get them. $1: the Python to use.
missing=()
note() { missing+=("$1"); printf 'missing: %-8s %s\n' "$1" "$2" >&2; }

command -v cargo >/dev/null || note cargo "the Rust toolchain: https://rustup.rs, then run this again"
command -v "${1:-python3}" >/dev/null || note "${1:-python3}" "Debian/Ubuntu: apt install python3; macOS: xcode-select --install"
command -v "${CXX:-c++}" >/dev/null || note "${CXX:-c++}" "a C++ compiler; Debian/Ubuntu: apt install g++; macOS: xcode-select --install"
command -v "${CC:-cc}" >/dev/null || note "${CC:-cc}" "a C compiler; Debian/Ubuntu: apt install gcc; macOS: xcode-select --install"
[ "${#missing[@]}" -eq 0 ] || exit 1

if ! "${1:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
    echo "${1:-python3} is too old: Python 3.8 or newer is needed (PYTHON=... names another)" >&2
    exit 1
fi
