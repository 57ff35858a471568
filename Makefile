# SPDX-License-Identifier: GPL-2.0
# The verbs of this repository. Each is a script of lab/; this file only knows which verb needs which
# other one first. A variable given to make reaches the script through the environment.

topo  := $(or $(TOPO),switch)
image := build/bzImage$(if $(filter-out lean,$(KERNEL)),-$(KERNEL))
boot  := lab/run.py --topo $(topo) --kernel $(image)

.PHONY: help deps tree refresh series kernel p2pctl docs demo demo-two check check-all coverage soak fuzz shell run bisect unchanged
.PHONY: bench bench-gup latency regress lint clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## ; print this list
	@awk -F ' *## *| *; *' '/^[a-z-]+:.*##/ { sub(/:.*/, "", $$1); \
		printf "make %-9s %-22s %s\n", $$1, $$2, $$3 }' $(MAKEFILE_LIST)

deps: ## ; install the Debian packages that lab/packages names
	@lab/deps.sh

tree: deps ## [KSRC=] [DISCARD=1] ; build/linux: Linux 6.1 and the series on it, as git commits
	@lab/tree.sh

refresh: deps ## [DISCARD=1] ; bring the commits of build/linux back here
	@lab/refresh.sh

series: tree ## [REROLL=n] [SINCE=v1] ; each series as mails and as a mailbox, for git send-email, b4, git am
	@lab/series.sh

kernel: tree ## [KERNEL=debug] ; build/bzImage or build/bzImage-debug
	@lab/kernel.sh

p2pctl: tree ## ; build/p2pctl/p2pctl: tools/p2p, the program for users and administrators
	@mkdir -p build/p2pctl
	@$(MAKE) -s -C build/linux/tools/p2p O=$(CURDIR)/build/p2pctl

docs: tree ## ; build/docs: the documentation as HTML, without a warning that is ours
	@lab/docs.sh

demo: kernel ## ; a drive writes a picture straight into a graphics card
	@lab/demo.py

demo-two: kernel ## ; the data of one machine's drive goes to another machine's, through a BAR that both see
	@lab/demo-two.py

check: deps ## [TOPO=] [TEST=] [QUICK=1] ; every test, on both kernels and all topologies
	@lab/check.py

check-all: tree ## [MINUTES=30] ; for a night: every verb that judges the series, and a table at the end
	@lab/check-all.sh

coverage: deps ## [TOPO=] [TEST=] ; which lines of the series the tests run, and why not the others
	@lab/coverage.py

shell: kernel ## [TOPO=] [KERNEL=] ; a shell under the patched kernel, with this machine's programs
	@$(boot) --shell

run: kernel ## [TOPO=] CMD='...' ; one command under the patched kernel
	@$(boot) --cmd "$${CMD:?is empty, try make run CMD=uname}"

bisect: tree ## [FROM=] [TO=] ; build and boot every step of the series, options on and off (long)
	@lab/bisect.sh

unchanged: tree ## [ALL=1] ; show that with its options off the series changes no object code
	@lab/objdiff.sh

bench: tree ## [ONLY=] [FRESH=1] ; what BAR memory costs beside RAM and Linux 6.12, in instructions
	@lab/bench-kernels.sh
	@lab/bench.py

bench-gup: tree ## ; what the series costs ordinary memory, in instructions
	@lab/pair.sh
	@lab/bench-gup.py

latency: kernel ## [TOPO=] [TEST=] ; for how long each test keeps interrupts off, in instructions
	@lab/latency.py

regress: tree ## [TEST=] ; the kernel's own tests, without the series and with it (half an hour)
	@lab/pair.sh selftests
	@lab/regress.py

soak: kernel ## [MINUTES=] [UNPLUG=1] ; all at once, while providers come and go
	@lab/soak.py soak

fuzz: kernel ## [MINUTES=] [SEED=] ; random system calls around peer-to-peer memory
	@lab/soak.py fuzz

lint: series kernel ## ; checkpatch, sparse, W=1, kernel-doc, shellcheck
	@lab/lint.sh

clean: ## [DISCARD=1] ; remove build/
	@lab/clean.sh
