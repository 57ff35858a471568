#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # the verbs set src, out and log
#
# Configure and build a kernel: the source $src in the directory $out, messages in $log.
# Sourced by the verbs that do so.

# The fragments of every kernel that runs the tests, beside its own.
# shellcheck disable=SC2034 # the verbs use it
common=(base devices calls stacking machine rdma trim)

# fragments NAME...: sets fragments to the files of lab/config.
fragments() {
	local name

	fragments=()
	for name; do
		fragments+=("$top/lab/config/$name.config")
		[ -f "${fragments[-1]}" ] || die "lab/config/$name.config is missing"
	done
}

# worktree COMMIT [DIRECTORY]: sets src to another work tree of build/linux with COMMIT in it; files equal
# in two commits keep their time. Without DIRECTORY it is build/steps/linux, which verbs that build other
# commits share, one at a time. They build beside it, in build/steps/*, since ccache then sees the paths
# that the kernels in build/* have.
worktree() {
	src=${2:-$build/steps/linux}
	if [ ! -e "$src/.git" ] || ! git -C "$src" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		step "making another work tree, ${src#"$top"/}"
		rm -rf "$src"
		git -C "$linux" worktree prune
		git -C "$linux" worktree add -q --detach "$src" "$1"
	fi
	git -C "$src" checkout -q -f --detach "$1"
}

# series_options: the options of the series, in the work tree $src or in lab/config/p2p.config.
series_options() {
	{
		sed -n -E 's/^(menu)?config ([A-Za-z0-9_]+)$/CONFIG_\2/p' "$src/Kconfig.p2p" 2>/dev/null
		sed -n -E 's/^(# )?(CONFIG_[A-Za-z0-9_]+)[= ].*/\2/p' "$top/lab/config/p2p.config"
	} | sort -u
}

# series_objects [A]: the objects of the files in $src that the series, or who edits it, adds or
# changes; with A of those that it adds.
series_objects() {
	{
		git -C "$src" diff --name-only --no-renames --diff-filter="${1-d}" base -- '*.c'
		git -C "$src" ls-files -o --exclude-standard -- '*.c'
	} | sed -n '/^tools\//d; s/\.c$/.o/p' | sort -u | tr '\n' ' '
}

if command -v ccache >/dev/null; then ccache=ccache; else ccache=; fi
# Objects do not depend on where the repository is.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1

# make_kernel ARGUMENT...: kbuild. LOCALVERSION= keeps git's "+" out of the release.
make_kernel() {
	make --no-print-directory -C "$src" O="$out" ARCH=x86_64 LOCALVERSION= \
		KBUILD_BUILD_USER=p2p KBUILD_BUILD_HOST=lab \
		CC="${ccache:+ccache }gcc" HOSTCC="${ccache:+ccache }gcc" "$@"
}

# config_key FRAGMENT...: changes when a configuration made of them might.
config_key() {
	{
		cat "$@"
		gcc --version
		git -C "$src" ls-files -s -- '*Kconfig*'
		git -C "$src" diff HEAD -- '*Kconfig*'
		git -C "$src" ls-files -oz --exclude-standard -- '*Kconfig*' |
			(cd "$src" && xargs -0 -r cat)
	} | sha256sum | cut -d ' ' -f 1
}

# build_key FRAGMENT...: changes when the kernel made of them does, which has nothing of Documentation/ and
# of some tools; nothing while $src has edits.
build_key() {
	[ -z "$(git -C "$src" status --porcelain | head -n 1)" ] || return 0
	{
		git -C "$src" ls-tree HEAD | grep -vP '\t(Documentation|MAINTAINERS|tools)$'
		git -C "$src" ls-tree HEAD:tools | grep -vP '\t(p2p|testing)$'
		config_key "$@"
	} | sha256sum | cut -d ' ' -f 1
}

# unmet_options FRAGMENT...: what they ask for, a later one overriding an earlier one, and $out/.config
# does not have.
unmet_options() {
	awk -v config="$out/.config" '
		{ key = "" }
		/^CONFIG_[A-Za-z0-9_]+=/ {
			key = substr($0, 1, index($0, "=") - 1)
			value = substr($0, index($0, "=") + 1)
		}
		/^# CONFIG_[A-Za-z0-9_]+ is not set$/ { key = $2; value = "n" }
		key == "" { next }
		FILENAME == config { has[key] = value; next }
		{
			if (!(key in wants))
				order[++n] = key
			wants[key] = value
			from[key] = FILENAME
			sub(/.*\//, "", from[key])
		}
		END {
			for (i = 1; i <= n; i++) {
				key = order[i]
				got = key in has ? has[key] : "n"
				if (got != wants[key])
					printf "%s: %s asks for %s, it became %s\n", key, from[key], wants[key], got
			}
		}' "$@" "$out/.config"
}

# configure FRAGMENT...: $out/.config from tinyconfig and the fragments. Leaves it alone while neither
# they nor the Kconfig files change, so that nothing is built again for it. Options that a fragment
# called optional.config asks for may vanish.
configure() {
	local key
	local -a unmet

	key=$(config_key "$@")
	[ "$(cat "$out/.p2p-config" 2>/dev/null)" != "$key" ] || return 0
	step "configuring ${out#"$top"/}"
	mkdir -p "$out"
	rm -f "$out/.p2p-config"
	{
		make_kernel tinyconfig &&
			"$src/scripts/kconfig/merge_config.sh" -m -O "$out" "$out/.config" "$@" &&
			make_kernel olddefconfig
	} >"$log" 2>&1 || die "${out#"$top"/} cannot be configured:" "$(tail -n 5 "$log")" "all of it: $log"
	mapfile -t unmet < <(unmet_options "$@" | grep -v '^[A-Za-z0-9_]*: optional\.config ' || :)
	[ ${#unmet[@]} -eq 0 ] ||
		die "${out#"$top"/}/.config lacks what its fragments in lab/config ask for:" "${unmet[@]}" \
			"an option vanishes when its name is wrong or one it depends on is off; look it up with" \
			"git -C ${src#"$top"/} grep -n -A 9 'config <NAME>' -- '*Kconfig*'"
	echo "$key" >"$out/.p2p-config"
}

# show_build: the progress of kbuild's output on stdin, every second on a terminal, else every 30.
show_build() {
	local line last='' n=0 start=$SECONDS next every=30

	[ ! -t 1 ] || every=1
	next=$((start + every))
	while :; do
		if IFS= read -r -t 1 line; then
			case $line in
			'  CC '* | '  AS '* | '  AR '* | '  LD '* | '  HOSTCC '*) n=$((n + 1)) last=${line##* } ;;
			esac
		elif [ $? -le 128 ]; then
			break
		fi
		[ "$SECONDS" -ge "$next" ] || continue
		next=$((SECONDS + every))
		line="$verb: $n files built, $((SECONDS - start)) s, ${last}"
		if [ -t 1 ]; then printf '\r%-79.79s' "$line"; else echo "$line"; fi
	done
	[ ! -t 1 ] || printf '\r%79s\r' ''
}

# compile GOAL...
compile() {
	step "building ${out#"$top"/} (log: ${log#"$top"/})"
	make_kernel -j"$(nproc)" "$@" 2>&1 | tee "$log" | show_build || {
		mapfile -t errors < <(grep -n -m 8 -A 2 -E '( error: |\*\*\* |undefined reference|multiple definition)' "$log")
		die "${out#"$top"/} does not build:" "${errors[@]:0:12}" "all of it: $log"
	}
}

# is_built IMAGE KEY: was the image made in $out from what the key stands for? Never without a key.
is_built() {
	[ "$2" ] && [ -f "$1" ] && [ "$(cat "$out/.p2p-built" 2>/dev/null)" = "$2" ]
}

# build_image IMAGE KEY [GOAL...]: the kernel in $src, configured by $fragments. The goals are those of
# make, bzImage if there are none.
build_image() {
	local image=$1 key=$2

	shift 2
	rm -f "$out/.p2p-built"
	configure "${fragments[@]}"
	compile "${@:-bzImage}"
	# Whoever boots the old image meanwhile keeps it.
	cp "$out/arch/x86/boot/bzImage" "$image.new"
	mv "$image.new" "$image"
	echo "$key" >"$out/.p2p-built"
}
