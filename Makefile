# SPDX-License-Identifier: GPL-2.0-only
#
# make help says what there is.  Everything that is built or downloaded goes
# below build/.

XENLAB := tools/testing/xenlab/xenlab.py

RELEASE := $(shell uname -r)
KDIR ?= /lib/modules/$(RELEASE)/build
BUILD ?= $(CURDIR)/build/modules/$(notdir $(abspath $(KDIR:%/build=%)))

# What the modules are made of; they are built in a copy, so that builds for
# several kernels stand side by side and the work tree stays clean.
MODULE_SOURCES := Kbuild compat drivers include tools/testing/selftests/xen/test_modules
MODULES := drivers/xen/xen-dm-op.ko drivers/xen/privcmd/xen-privcmd.ko \
	   $(addprefix tools/testing/selftests/xen/test_modules/,test_xen_dm_op.ko test_xen_frames.ko)

# Handed on to kbuild where given: make W=1 C=2 CF=... KCFLAGS=...
export W C CF KCFLAGS

# make takes a space for the end of a name, and would write to the parts of it.
ifneq ($(words $(CURDIR)) $(words $(KDIR)) $(words $(BUILD)),1 1 1)
$(error this clone, KDIR= and BUILD= have to be one path each, without a space: move or rename them)
endif
override KDIR := $(abspath $(KDIR))
override BUILD := $(abspath $(BUILD))

# By another target it would be lost, and all be run.
ifneq ($(ONLY),)
ifneq ($(filter-out check matrix mutants everything,$(or $(MAKECMDGOALS),modules)),)
$(error ONLY= goes with check, matrix, mutants and everything alone: leave it out)
endif
endif

# Hours later nothing would be recorded.
ifneq ($(filter-out 0 1,$(RECORD)),)
$(error RECORD= is 1 or left out)
endif
ifeq ($(RECORD),1)
ifneq ($(filter-out matrix,$(or $(MAKECMDGOALS),modules)),)
$(error RECORD= goes with matrix alone: leave it out)
endif
endif

.PHONY: modules
modules: kdir
	@mkdir -p $(BUILD)
	@cp -pr --parents $(MODULE_SOURCES) $(BUILD)
	@$(MAKE) --no-print-directory -C $(KDIR) M=$(BUILD) \
		CONFIG_XEN_DM_OP=m CONFIG_XEN_PRIVCMD=m modules
	@cd $(BUILD) && cp -p $(MODULES) .
	@sh compat/check-symvers $(KDIR) $(BUILD)/Module.symvers

.PHONY: kdir
kdir:
	@test -e $(KDIR)/Makefile -a -e $(KDIR)/include/config/auto.conf || { \
		echo "no kernel headers in $(KDIR): apt-get install linux-headers-$(RELEASE), or name others with KDIR=" >&2; \
		exit 1; }

# What the Debian packages are made of; again in a copy.  They take no compiler, as
# DKMS compiles where they are installed: -d, or build-essential would be asked for.
PACKAGE_SOURCES := COPYING Documentation Kbuild compat debian drivers include samples

.PHONY: deb
deb:
	@{ command -v dh && command -v dh_dkms; } > /dev/null || { \
		echo "debhelper is missing: apt-get install --no-install-recommends debhelper dh-dkms" >&2; \
		exit 1; }
	@rm -rf build/deb
	@mkdir -p build/deb/source
	@cp -pr --parents $(PACKAGE_SOURCES) build/deb/source
	@cd build/deb/source && dpkg-buildpackage -d -us -uc

# Runs a command of xenlab's: it looks at its arguments, and installs the packages of these
# groups before it begins.
FOR = @$(XENLAB) --packages
LANES_OPTION = $(if $(LANES),--lanes $(LANES))
CHECK = check $(LANES_OPTION)

.PHONY: demo
demo:
	$(FOR) demo demo

.PHONY: check
check:
	$(FOR) test,arm64,docs,patches $(CHECK) $(ONLY)

.PHONY: check-emulators
check-emulators:
	$(FOR) test $(CHECK) emulators

.PHONY: check-eventfds
check-eventfds:
	$(FOR) test,arm64 $(CHECK) eventfds

.PHONY: check-habits
check-habits:
	$(FOR) test,arm64,kernel $(CHECK) habits

.PHONY: check-debug
check-debug:
	$(FOR) test,arm64,kernel check-debug

.PHONY: coverage
coverage:
	$(FOR) test,kernel coverage --document

.PHONY: differential
differential:
	$(FOR) test,arm64 differential

.PHONY: check-toolstack
check-toolstack:
	$(FOR) test check-toolstack
	@$(XENLAB) check-toolstack --xen 4.20 hvm
	@$(XENLAB) check-toolstack --kernel 6.12 pv-stubdom
	@$(XENLAB) check-toolstack --kernel 6.12 --xen 4.20 stubdom pv-stubdom
	@$(XENLAB) check-toolstack kselftest
	@$(XENLAB) check-toolstack --driver stock kselftest

.PHONY: check-qemu
check-qemu:
	$(FOR) qemu check-qemu --driver both
	@$(XENLAB) check-qemu --xen 4.20 too-many stubdom

.PHONY: check-qemu-arm64
check-qemu-arm64:
	$(FOR) qemu,arm64 check-qemu-arm64
	@$(XENLAB) check-qemu-arm64 --driver stock

INSTALL_PATH ?= build/kselftest

.PHONY: kselftest-install
kselftest-install:
	$(FOR) test kselftest-install $(if $(XEN),--xen "$(XEN)") "$(INSTALL_PATH)"

.PHONY: matrix
matrix:
	$(FOR) test,arm64 matrix $(LANES_OPTION) $(if $(filter 1,$(RECORD)),--record) $(ONLY)

.PHONY: check-selinux
check-selinux:
	$(FOR) selinux check-selinux

.PHONY: check-deb
check-deb:
	$(FOR) deb check-deb

.PHONY: bench
bench:
	$(FOR) bench,arm64 bench
	@$(XENLAB) bench --eventfds
	@$(XENLAB) bench --pvh
	@$(XENLAB) bench --pvh --eventfds
	@$(XENLAB) bench --arch arm64
	@$(XENLAB) bench-scale

.PHONY: mutants
mutants:
	$(FOR) test,arm64 mutants $(ONLY)

# Before anything is installed.
.PHONY: kernel-source
kernel-source:
	@test -n "$(KSRC)" || { echo "name a kernel source: make overlay KSRC=<directory>" >&2; exit 2; }

.PHONY: overlay
overlay: kernel-source
	$(FOR) patches overlay "$(KSRC)" --output "$(OUT)"

.PHONY: one-source
one-source:
	@test $(words $(if $(KSRC),k) $(if $(XSRC),x) $(if $(QSRC),q)) = 1 || { \
		echo "name one source: make upstream-patch KSRC=<directory>, Linux's, XSRC=, Xen's, or QSRC=, QEMU's" >&2; \
		exit 2; }

.PHONY: upstream-patch
upstream-patch: one-source
	$(FOR) patches upstream-patch $(if $(KSRC),--kernel "$(KSRC)") $(if $(XSRC),--xen "$(XSRC)") \
		$(if $(QSRC),--qemu "$(QSRC)") --output "$(OUT)"

.PHONY: linux-source
linux-source:
	@test -n "$(KSRC)" || { echo "name a kernel source: make series KSRC=<directory>" >&2; exit 2; }

.PHONY: series
series: linux-source
	$(FOR) patches series --kernel "$(KSRC)" $(if $(XSRC),--xen "$(XSRC)") \
		$(if $(QSRC),--qemu "$(QSRC)")

.PHONY: check-series
check-series:
	$(FOR) test,patches,kernel check-series

.PHONY: check-overlay
check-overlay:
	$(FOR) arm64,patches,kernel,lint check-overlay
	@$(XENLAB) overlay-test

.PHONY: check-upstream
check-upstream:
	$(FOR) test,patches check-upstream

.PHONY: everything
everything:
	$(FOR) all everything $(ONLY)

.PHONY: lint
lint:
	$(FOR) lint lint

.PHONY: docs
docs:
	@$(XENLAB) setup docs
	@tree="$$($(XENLAB) path source)" && KERNEL_TREE="$$tree" sphinx-build -q -W --keep-going \
		-E -b html -d build/doctrees Documentation build/html

.PHONY: clean
clean:
	@rm -rf build

.PHONY: help
help:
	@echo 'make           build the modules for the running kernel (KDIR=: for another)'
	@echo 'make deb       build the Debian packages into build/deb'
	@echo 'make demo      boot Xen and the driver in QEMU and show a sandboxed query'
	@echo 'make check     run all tests, two machines at a time (LANES=1: one; ONLY=: some checks)'
	@echo 'make check-emulators  run those of emulators: the one in samples/xen, also in a stub domain, and QEMU'
	@echo 'make check-eventfds  count 100,000 interrupts and doorbells of a guest, on both architectures'
	@echo 'make check-habits  run what programs in use do, with full counts; builds a Xen'
	@echo 'make check-debug  run tests on kernels with lockdep, kmemleak, KASAN, ...'
	@echo 'make coverage     tell which lines of the driver the tests reach'
	@echo 'make check-toolstack  run Debian'"'"'s toolstack and QEMU on the driver: PVH and HVM guests'
	@echo 'make check-qemu  build QEMU so that it asks Xen for the vCPUs, and run it in its own sandbox'
	@echo 'make check-qemu-arm64  the same for a guest on arm64, whose QEMU nobody tells how many there are'
	@echo 'make kselftest-install  put the tests into INSTALL_PATH=, for a dom0 with Xen 4.17 (XEN=: another)'
	@echo 'make check-selinux  compile the manual'"'"'s SELinux policy, and enforce it in dom0'
	@echo 'make check-deb  install the packages on a Debian dom0, run the tests, remove them'
	@echo 'make differential  compare with the driver of Debian'"'"'s kernel'
	@echo 'make matrix    run the selftests on all kernels and Xens (ONLY=: on one; RECORD=1)'
	@echo 'make mutants   show that the tests fail when the driver is broken'
	@echo 'make bench     count what calls cost, beside the driver of Debian'"'"'s kernel'
	@echo 'make overlay KSRC=  make a patch that puts the driver into a kernel source (OUT=: its name)'
	@echo 'make upstream-patch KSRC=, XSRC= or QSRC=  one with the new command alone, for a kernel or Xen, or for QEMU'
	@echo 'make series KSRC=  make series of small patches: fixes of the driver, and the command (also XSRC=, QSRC=)'
	@echo 'make check-series  show what each fix of a series repairs'
	@echo 'make check-overlay  build the driver in kernel sources 6.1, 6.12 and 7.2'
	@echo 'make check-upstream  run what upstream-patch makes on real Xen'
	@echo 'make everything  run all that check something, for hours, and record it (ONLY=: some of them)'
	@echo 'make lint      check the sources; silent when clean'
	@echo 'make docs      build the documentation into build/html'
	@echo 'make clean     remove all that was built and downloaded'
	@echo 'All but make, deb and clean first install the packages that they need; on a terminal'
	@echo 'they ask, unless YES=1 is given.'
