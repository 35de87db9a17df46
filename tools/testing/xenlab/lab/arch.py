# SPDX-License-Identifier: GPL-2.0-only
"""The processor architectures of the lab: all that differs between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Boot:
    """What a machine starts, and with which options."""

    xen: Path
    xen_options: str
    kernel: Path
    kernel_options: str
    initrd: Path


def escape(text: str) -> str:
    """Protects commas from QEMU's option parser."""
    return text.replace(",", ",,")


def _modules(boot: Boot) -> list[str]:
    """Returns QEMU's options for Xen with the kernel and the initrd as modules."""
    kernel = f"{boot.kernel} {boot.kernel_options}"
    return [
        *("-kernel", str(boot.xen)),
        *("-initrd", f"{escape(kernel)},{escape(str(boot.initrd))}"),
        *("-append", boot.xen_options),
    ]


# QEMU emulates all processors in one thread. With a thread each on a busy host, what
# should wake a processor comes late: a guest and dom0 that wait for each other all the
# time are several times slower. But only with a thread each do the processors run at
# once.
SINGLE_THREAD = "tcg-single"

# What QEMU is told, by the name that they have here.
ACCELERATORS: Mapping[str, str] = {
    "tcg": "tcg",
    SINGLE_THREAD: "tcg,thread=single",
    "kvm": "kvm",
}

# Where the kernel lies for Xen: in the first GiB of memory, above what QEMU
# puts there itself. Xen asks for a multiple of 2 MiB.
_GUEST_BASE = 0x49000000
_GUEST_ALIGN = 2 << 20


def _guest_loader(boot: Boot) -> list[str]:
    """Returns QEMU's options for Xen with the kernel and the initrd in memory."""
    size = -(-boot.kernel.stat().st_size // _GUEST_ALIGN) * _GUEST_ALIGN
    initrd = _GUEST_BASE + size
    return [
        *("-kernel", str(boot.xen)),
        *("-append", boot.xen_options),
        "-device",
        f"guest-loader,addr={_GUEST_BASE:#x},kernel={escape(str(boot.kernel))},"
        f"bootargs={escape(boot.kernel_options)}",
        "-device",
        f"guest-loader,addr={initrd:#x},initrd={escape(str(boot.initrd))}",
    ]


@dataclass(frozen=True)
class Architecture:
    """A processor architecture, and the machine that QEMU makes of it."""

    # As Debian calls it.
    name: str
    # As Linux calls it.
    linux: str
    # What building that makes a kernel that boots; it is in the architecture's boot/.
    image: str
    # What building modules takes of a kernel's tree only here.
    tools: tuple[str, ...]
    # Added to the Debian release's name: where the kernel comes from.
    kernel_suite: str
    # The hypervisor's file in its package.
    xen: str
    # As Xen calls it.
    xen_arch: str
    # What the names of the tools that build for it begin with.
    cross: str
    # The compiler for its 32-bit programs, where it takes another one.
    cc32: str
    # Says where programs look for the dynamic linker.
    linker: str
    qemu: str
    machine: str
    # By accelerator.
    cpus: Mapping[str, str]
    # Other ones, by what they have that guards user memory from the kernel.
    guarded_cpus: Mapping[str, str]
    # By the size of the pages that the kernels beside the usual one have: a processor
    # that has such pages.
    pages: Mapping[str, str]
    # More of QEMU's options.
    options: tuple[str, ...]
    # And for a PVH dom0, which Xen starts only where there is an IOMMU; none: there
    # is no such dom0.
    pvh_options: tuple[str, ...]
    xen_options: str
    # What Debian's Xen lacks here, so that one is built.
    xen_config: str
    kernel_options: str
    boot: Callable[[Boot], list[str]]


# With the default scheduler, credit2, all processors at times stay idle for good while
# vCPUs wait to run: seen on amd64; whether Xen's or QEMU's fault, is not known.
_SCHEDULER = "sched=credit"

AMD64 = Architecture(
    name="amd64",
    linux="x86",
    image="bzImage",
    tools=("tools/objtool/objtool",),
    kernel_suite="",
    xen="boot/xen-*-amd64.gz",
    xen_arch="x86_64",
    cross="",
    cc32="",
    linker="lib64",
    qemu="qemu-system-x86_64",
    machine="q35",
    cpus={"tcg": "qemu64,+svm,+npt", SINGLE_THREAD: "qemu64,+svm,+npt", "kvm": "host"},
    # QEMU's own processors with SMAP have what a PVH dom0 does not boot with: EPYC and
    # max make Xen idle by an MWAIT with a hint, which QEMU refuses, and Xen and QEMU
    # differ about RDTSCP. With XSAVE, which PKU takes, Linux warns that Xen gives another
    # size of what is saved.
    guarded_cpus={"smap": "qemu64,+svm,+npt,+smap,+smep,+umip"},
    pages={},
    options=("-no-reboot",),
    # dom0's addresses are not the machine's, but for a device behind the IOMMU.
    pvh_options=(
        *("-device", "amd-iommu,intremap=on"),
        *("-global", "virtio-pci.disable-legacy=on"),
        *("-global", "virtio-device.iommu_platform=on"),
    ),
    xen_options=f"console=com1 {_SCHEDULER}",
    xen_config="",
    kernel_options="earlyprintk=xen",
    boot=_modules,
)

# A dom0 is auto-translated here, and Debian's Xen has no device models.
ARM64 = Architecture(
    name="arm64",
    linux="arm64",
    image="Image",
    tools=(),
    kernel_suite="-backports",
    xen="boot/xen-*-arm64",
    xen_arch="arm64",
    cross="aarch64-linux-gnu-",
    cc32="arm-linux-gnueabihf-gcc",
    linker="lib",
    qemu="qemu-system-aarch64",
    machine="virt,virtualization=on,gic-version=3",
    # It has 32-bit user space.
    cpus={"tcg": "cortex-a57", SINGLE_THREAD: "cortex-a57"},
    guarded_cpus={"pan": "cortex-a76"},
    pages={"16k": "cortex-a76"},
    options=(),
    pvh_options=(),
    # Xen masks a vCPU's timer when it has expired for one that does not run. If by then
    # another processor runs that vCPU again, and it has set the timer anew, nothing
    # unmasks it, and the vCPU stays idle for good: it fits what machines that stood
    # still were like. An emulated processor may pause for that long; one that is the
    # only one to run the vCPU does not race.
    xen_options=f"console=dtuart {_SCHEDULER} dom0_vcpus_pin",
    xen_config="CONFIG_EXPERT=y\nCONFIG_UNSUPPORTED=y\nCONFIG_IOREQ_SERVER=y\n",
    kernel_options="earlycon=xenboot",
    boot=_guest_loader,
)

# What xenlab itself runs on.
HOST = AMD64

ALL: Mapping[str, Architecture] = {item.name: item for item in (AMD64, ARM64)}
