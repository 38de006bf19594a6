"""Prints the compute capabilities of this machine's GPUs in nvcc's notation: `80;90a`.

It asks the driver, so that features of Hopper alone are compiled for it (90a; CMake's `native`
gives 90). If no GPU can be used, it prints the reason and fails.
"""

import ctypes
import sys

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
OLDEST = (8, 0)


def capabilities():
    """(major, minor) of each GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        sys.exit("no NVIDIA driver was found (libcuda.so.1)")
    count, value = ctypes.c_int(), ctypes.c_int()
    error = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if error:
        sys.exit(f"the NVIDIA driver finds no GPU (error {error})")

    def attribute(which, device):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), which, device):
            sys.exit(f"the NVIDIA driver gives no information about GPU {device}")
        return value.value

    return [(attribute(MAJOR, i), attribute(MINOR, i)) for i in range(count.value)]


def main():
    found = sorted(set(capabilities()))
    usable = [each for each in found if each >= OLDEST]
    if not usable:
        names = ", ".join(f"{major}.{minor}" for major, minor in found) or "none"
        sys.exit(f"no GPU of compute capability 8.0 or later was found (there is {names})")
    print(";".join(f"{major}{minor}" + "a" * ((major, minor) == (9, 0)) for major, minor in usable))


if __name__ == "__main__":
    main()
