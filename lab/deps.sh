#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make deps: install through apt what lab/packages names and the machine lacks. Silent and quick when
# nothing is missing, so that every verb can begin with it. DEPS=skip trusts the machine.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"

[ "${DEPS-}" != skip ] || exit 0

mapfile -t wanted < <(sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$top/lab/packages")

# missing: the wanted packages that are not installed.
missing() {
	comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
			sed -n 's/^installed //p' | sort)
}

command -v dpkg-query >/dev/null ||
	die "this is no Debian machine, so nobody knows what it lacks" \
		"install what these Debian packages hold: ${wanted[*]}" "then give DEPS=skip to every make"
mapfile -t lacking < <(missing)
[ ${#lacking[@]} -gt 0 ] || exit 0

hint="as root: apt-get update; apt-get install --no-install-recommends ${lacking[*]}"
command -v apt-get >/dev/null || die "missing, and there is no apt-get: ${lacking[*]}" "$hint"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || die "missing, and there is no sudo: ${lacking[*]}" "$hint"
	sudo=(sudo)
fi

step "installing ${lacking[*]}"
# Somebody else may be installing, as unattended-upgrades does after a boot.
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
"${apt[@]}" update || die "apt-get update failed; missing: ${lacking[*]}" "$hint"
"${apt[@]}" install -y --no-install-recommends "${lacking[@]}" ||
	die "apt-get install failed; missing: ${lacking[*]}" "$hint" "or leave them out with DEPS=skip"
mapfile -t lacking < <(missing)
[ ${#lacking[@]} -eq 0 ] || die "still missing after apt-get install: ${lacking[*]}"
ok "installed"
