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

override KDIR := $(abspath $(KDIR))
override BUILD := $(abspath $(BUILD))

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
	@test -e $(KDIR)/Makefile || { \
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

# Installs what the command after it needs, one target at a time.
SETUP = @$(XENLAB) setup
CHECK = @$(XENLAB) check $(if $(LANES),--lanes $(LANES))

.PHONY: demo
demo:
	$(SETUP) demo
	@$(XENLAB) demo

.PHONY: check
check:
	$(SETUP) test arm64 docs patches
	$(CHECK) $(ONLY)

.PHONY: check-emulators
check-emulators:
	$(SETUP) test
	$(CHECK) emulators

.PHONY: check-eventfds
check-eventfds:
	$(SETUP) test arm64
	$(CHECK) eventfds

.PHONY: check-habits
check-habits:
	$(SETUP) test kernel
	$(CHECK) habits

.PHONY: check-debug
check-debug:
	$(SETUP) test arm64 kernel
	@$(XENLAB) check-debug

.PHONY: coverage
coverage:
	$(SETUP) test kernel
	@$(XENLAB) coverage --document

.PHONY: differential
differential:
	$(SETUP) test arm64
	@$(XENLAB) differential

.PHONY: check-toolstack
check-toolstack:
	$(SETUP) test
	@$(XENLAB) check-toolstack
	@$(XENLAB) check-toolstack --xen 4.20 hvm
	@$(XENLAB) check-toolstack --kernel 6.12 pv-stubdom
	@$(XENLAB) check-toolstack --kernel 6.12 --xen 4.20 stubdom pv-stubdom
	@$(XENLAB) check-toolstack kselftest
	@$(XENLAB) check-toolstack --driver stock kselftest

.PHONY: check-qemu
check-qemu:
	$(SETUP) qemu
	@$(XENLAB) check-qemu --driver both
	@$(XENLAB) check-qemu --xen 4.20 stubdom

INSTALL_PATH ?= build/kselftest

.PHONY: check-qemu-arm64
check-qemu-arm64:
	$(SETUP) qemu arm64
	@$(XENLAB) check-qemu-arm64
	@$(XENLAB) check-qemu-arm64 --driver stock

.PHONY: kselftest-install
kselftest-install:
	$(SETUP) test
	@$(XENLAB) kselftest-install $(if $(XEN),--xen "$(XEN)") "$(INSTALL_PATH)"

.PHONY: matrix
matrix:
	$(SETUP) test arm64
	@$(XENLAB) matrix $(if $(RECORD),--record) $(ONLY)

.PHONY: check-selinux
check-selinux:
	$(SETUP) selinux
	@$(XENLAB) check-selinux

.PHONY: check-deb
check-deb:
	$(SETUP) deb
	@$(XENLAB) check-deb

.PHONY: bench
bench:
	$(SETUP) bench
	@$(XENLAB) bench
	@$(XENLAB) bench --eventfds

.PHONY: mutants
mutants:
	$(SETUP) test arm64
	@$(XENLAB) mutants

# Before anything is installed.
.PHONY: kernel-source
kernel-source:
	@test -n "$(KSRC)" || { echo "name a kernel source: make overlay KSRC=<directory>" >&2; exit 2; }

.PHONY: overlay
overlay: kernel-source
	$(SETUP) patches
	@$(XENLAB) overlay "$(KSRC)" --output "$(OUT)"

.PHONY: one-source
one-source:
	@test $(words $(if $(KSRC),k) $(if $(XSRC),x) $(if $(QSRC),q)) = 1 || { \
		echo "name one source: make upstream-patch KSRC=<directory>, Linux's, XSRC=, Xen's, or QSRC=, QEMU's" >&2; \
		exit 2; }

.PHONY: upstream-patch
upstream-patch: one-source
	$(SETUP) patches
	@$(XENLAB) upstream-patch $(if $(KSRC),--kernel "$(KSRC)") $(if $(XSRC),--xen "$(XSRC)") \
		$(if $(QSRC),--qemu "$(QSRC)") --output "$(OUT)"

.PHONY: linux-source
linux-source:
	@test -n "$(KSRC)" || { echo "name a kernel source: make series KSRC=<directory>" >&2; exit 2; }

.PHONY: series
series: linux-source
	$(SETUP) patches
	@$(XENLAB) series --kernel "$(KSRC)" $(if $(XSRC),--xen "$(XSRC)") \
		$(if $(QSRC),--qemu "$(QSRC)")

.PHONY: check-series
check-series:
	$(SETUP) test patches kernel
	@$(XENLAB) check-series

.PHONY: check-overlay
check-overlay:
	$(SETUP) arm64 patches kernel lint
	@$(XENLAB) check-overlay
	@$(XENLAB) overlay-test

.PHONY: check-upstream
check-upstream:
	$(SETUP) test patches
	@$(XENLAB) check-upstream

.PHONY: everything
everything:
	$(SETUP) all
	@$(XENLAB) everything $(ONLY)

.PHONY: lint
lint:
	$(SETUP) lint
	@$(XENLAB) lint

.PHONY: docs
docs:
	$(SETUP) docs
	@KERNEL_TREE="$$($(XENLAB) path source)" sphinx-build -q -W --keep-going -E -b html \
		-d build/doctrees Documentation build/html

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
