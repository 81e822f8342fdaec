# What the scripts in this directory share. Sourced, never executed.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=apxs/packages
. "$ROOT/apxs/packages"

# rustup installs into ~/.cargo/bin, which a non-login shell may not know.
if ! command -v cargo >/dev/null && [[ -x ${HOME:-}/.cargo/bin/cargo ]]; then
    PATH=$HOME/.cargo/bin:$PATH
fi
# Debian keeps a2enmod, apache2 and ip in sbin, which is not in every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "== $*"; }
die() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 1
}

# as_root command...: runs it as root, through sudo when needed.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root and there is no sudo; as root, run: $*"
    fi
}

is_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# install_missing LIST...: installs the packages of the named lists (apxs/packages)
# that are not there yet. Starts no service and restarts none.
install_missing() {
    local list package missing=()
    for list in "$@"; do
        local -n packages=$list
        for package in "${packages[@]}"; do
            if command -v dpkg-query >/dev/null && is_installed "$package"; then
                continue
            fi
            [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
        done
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! command -v apt-get >/dev/null; then
        say "not a Debian system: make sure that what these packages hold is installed:"
        say "  ${missing[*]}"
        return 0
    fi
    say "installing missing packages with apt-get: ${missing[*]}"
    apt_install "${missing[@]}"
}

# apt_install package...: one update, one install. A policy-rc.d that says no keeps
# the packages from starting servers (port 80, port 53) and from restarting an
# httpd that runs; one that the administrator wrote is left alone.
apt_install() (
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        say "(a temporary $policy keeps the packages from starting or restarting services)"
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get -qq update || say "apt-get update failed; trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "$@" ||
        die "apt-get could not install: $*"
    not_at_boot "$@"
)

# not_at_boot package...: what was installed here only for its programs shall not
# start with the machine either.
not_at_boot() {
    [[ -d /run/systemd/system ]] || return 0
    local package unit
    for package in "$@"; do
        case $package in
        apache2) unit=apache2 ;;
        bind9) unit=named ;;
        haproxy) unit=haproxy ;;
        keepalived) unit=keepalived ;;
        nginx) unit=nginx ;;
        *) continue ;;
        esac
        as_root systemctl --quiet disable "$unit" || true
        say "the new service $unit is neither running nor enabled (to use it: systemctl enable --now $unit)"
    done
}

# need_rust: cargo is there and new enough for Cargo.toml's rust-version.
need_rust() {
    command -v cargo >/dev/null ||
        die "no Rust toolchain (cargo) found; install one, for example from https://rustup.rs"
    local want have
    want=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$ROOT/Cargo.toml")
    have=$(cd "$ROOT" && rustc --version | cut -d' ' -f2)
    if [[ -n $want && $(printf '%s\n' "$want" "${have%%-*}" | sort -V | head -n 1) != "$want" ]]; then
        die "Rust $have is too old, this module needs $want or later; see https://rustup.rs"
    fi
}

# apxs_query NAME: what the httpd named by apxs (or APXS=...) says.
apxs_query() {
    local apxs=${APXS:-}
    if [[ -z $apxs ]]; then
        apxs=$(command -v apxs || command -v apxs2) ||
            die "apxs not found: install apache2-dev (Debian) or httpd-devel, or set APXS=/path/to/apxs"
    fi
    "$apxs" -q "$1"
}

# target_dir: where cargo puts what it builds.
target_dir() {
    (cd "$ROOT" && cargo metadata --format-version 1 --no-deps) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# strip_debug SOURCE TARGET: the module as it is installed. The names of functions stay,
# for back traces; what only a debugger needs goes (nine tenths of the file).
strip_debug() {
    strip --strip-debug -o "$2" "$1" 2>/dev/null || cp "$1" "$2"
}
