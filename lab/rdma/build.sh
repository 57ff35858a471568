#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the libraries that stand in for those of RDMA in QEMU; lab/runner/verbs.py calls it.
#   build.sh DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
flags=(-O2 -g -Wall -Wextra -fPIC -shared -pthread)
gcc "${flags[@]}" -Wl,-soname,libibverbs.so.1 -Wl,--version-script="$here/verbs.map" \
	-o "$1/libibverbs.so.1" "$here"/{verbs,transfer,wire,guest,mads}.c
gcc "${flags[@]}" -Wl,-soname,librdmacm.so.1 -Wl,--version-script="$here/cm.map" \
	-o "$1/librdmacm.so.1" "$here/cm.c"
