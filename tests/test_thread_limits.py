"""The default number of threads: the least of cores, quotas of control groups, and OpenMP's words.

Control groups are read from trees of files that are made here.
"""

from __future__ import annotations

import os
import subprocess
import sys

import cases
import pytest

from fastnn import _core

pytestmark = pytest.mark.cpu

TWO = "30 23 0:26 {root} {at} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
ONE = "33 24 0:29 {root} {at} rw,nosuid shared:9 - cgroup cgroup rw,{controllers}"


def two(root="/", at="/sys/fs/cgroup"):
    return TWO.format(root=root, at=at)


def one(root="/", at="/sys/fs/cgroup/cpu,cpuacct", controllers="cpu,cpuacct"):
    return ONE.format(root=root, at=at, controllers=controllers)


def quota(folder, *, mounts=(), groups=(), **files):
    """What the native code reads where these mounts, groups and files are; None: no limit."""
    for name, lines in (("mountinfo", mounts), ("cgroup", groups)):
        path = folder / "proc" / "self" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
    for name, text in files["files"].items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return _core.thread_limits(str(folder)).get("CPU quota")


CASES = {
    "version 2, a container's own root": (
        {"mounts": [two()], "groups": ["0::/"]},
        {"/sys/fs/cgroup/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "version 2, no limit": (
        {"mounts": [two()], "groups": ["0::/user.slice/a"]},
        {"/sys/fs/cgroup/user.slice/a/cpu.max": "max 100000\n"},
        None,
    ),
    "version 2, nested, the outer group is the narrower": (
        {"mounts": [two()], "groups": ["0::/a.slice/b.slice/c.scope"]},
        {
            "/sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n",
            "/sys/fs/cgroup/a.slice/b.slice/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a.slice/b.slice/c.scope/cpu.max": "400000 100000\n",
        },
        2,
    ),
    "version 2, nested, the inner group is the narrower": (
        {"mounts": [two()], "groups": ["0::/a.slice/b.scope"]},
        {
            "/sys/fs/cgroup/a.slice/cpu.max": "800000 100000\n",
            "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "50000 50000\n",
        },
        1,
    ),
    "version 2, a group beside is not asked": (
        {"mounts": [two()], "groups": ["0::/a"]},
        {"/sys/fs/cgroup/ab/cpu.max": "100000 100000\n"},
        None,
    ),
    "version 2, mounted from a group": (
        {"mounts": [two("/docker/abc")], "groups": ["0::/docker/abc/job"]},
        {"/sys/fs/cgroup/job/cpu.max": "300000 100000\n"},
        3,
    ),
    "version 2, a group outside of the namespace": (
        {"mounts": [two("/..")], "groups": ["0::/../other"]},
        {"/sys/fs/cgroup/cpu.max": "300000 100000\n"},
        3,
    ),
    "version 1": (
        {"mounts": [one()], "groups": ["4:cpu,cpuacct:/job", "0::/"]},
        {
            "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n",
            "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "version 1, no limit": (
        {"mounts": [one()], "groups": ["4:cpu,cpuacct:/"]},
        {
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "version 1, nested": (
        {"mounts": [one(controllers="cpuacct,cpu")], "groups": ["4:cpuacct,cpu:/a/b"]},
        {
            "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "400000\n",
            "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
        },
        1,
    ),
    "version 1, in a container that sees the host's paths": (
        {"mounts": [one("/docker/abc")], "groups": ["4:cpu,cpuacct:/docker/abc"]},
        {
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "600000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "200000\n",
        },
        3,
    ),
    "version 1, of other controllers": (
        {"mounts": [one(controllers="cpuset")], "groups": ["4:cpuset:/"]},
        {
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "both versions": (
        {
            "mounts": [one(), two(at="/sys/fs/cgroup/unified")],
            "groups": ["4:cpu,cpuacct:/a", "0::/b"],
        },
        {
            "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
            "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/unified/b/cpu.max": "300000 100000\n",
        },
        3,
    ),
    "a mount with spaces": (
        {"mounts": [two(at="/mnt/my\\040groups")], "groups": ["0::/a b"]},
        {"/mnt/my groups/a b/cpu.max": "200000 100000\n"},
        2,
    ),
    "nothing in /proc": ({}, {"/sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "nothing at all": ({}, {}, None),
    "files that hold no numbers": (
        {"mounts": [two(), "broken", "- - -"], "groups": ["0::/", "broken", ":"]},
        {"/sys/fs/cgroup/cpu.max": "no number\n"},
        None,
    ),
    "a quota of nothing": (
        {"mounts": [two()], "groups": ["0::/"]},
        {"/sys/fs/cgroup/cpu.max": "0 0\n"},
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_quota_of_control_groups(name, tmp_path):
    places, files, expected = CASES[name]
    assert quota(tmp_path, **places, files=files) == expected


ASK = "import fastnn; print(fastnn.get_num_threads())"
SILENT = dict.fromkeys(("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT"), "")


def threads(program=ASK, **environment):
    done = cases.python(program, **{**SILENT, **environment})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def most():
    """The default where the environment says nothing."""
    return threads()


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        *(("1", 1), (" 1 ", 1), ("1,4", 1), ("1, 2 ,3", 1), ("+1", 1), ("100000", None)),
        *(("99999999999999999999", None), ("", None), ("  ", None), ("0", None), ("-1", None)),
        *(("abc", None), ("1.5", None), ("1,", None), ("1,x", None), (",1", None), ("0,1", None)),
    ],
)
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"])
def test_openmp_variables(variable, value, limit, monkeypatch, most):
    """They lower the default; what OpenMP does not know never fails and never raises it."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    monkeypatch.setenv(variable, value)
    told = _core.thread_limits().get(variable)
    if limit is not None:
        assert told == limit
    else:
        assert told is None or told > most


def test_the_least_counts(most):
    assert threads(OMP_NUM_THREADS="1") == 1
    assert threads(OMP_THREAD_LIMIT="1") == 1
    assert threads(OMP_NUM_THREADS="100000") == most
    assert threads(OMP_NUM_THREADS="abc") == most
    assert threads(OMP_NUM_THREADS="1", FASTNN_NUM_THREADS="7") == 7


def test_a_variable_that_is_set_after_the_import():
    """As an initializer of a pool of processes does."""
    later = (
        "import os, fastnn; os.environ['OMP_NUM_THREADS'] = '1'; print(fastnn.get_num_threads())"
    )
    assert threads(later) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_asks_again():
    """Unless the parent has chosen a number, which its children keep."""
    program = """
import os, warnings
import fastnn
warnings.simplefilter("ignore")
{first}
fastnn.get_num_threads()
reading, writing = os.pipe()
if os.fork() == 0:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.write(writing, str(fastnn.get_num_threads()).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 10).decode())
"""
    assert threads(program.format(first="")) == 1
    assert threads(program.format(first="fastnn.set_num_threads(5)")) == 5


def test_workers_of_joblib():
    """Its inner limit comes as OMP_NUM_THREADS of each worker."""
    pytest.importorskip("joblib")
    program = """
from joblib import Parallel, delayed, parallel_config
import fastnn

with parallel_config("loky", inner_max_num_threads=1):
    print(Parallel(n_jobs=2)([delayed(fastnn.get_num_threads)() for _ in range(2)]))
"""
    done = cases.python(program, **SILENT, PYTHONWARNINGS="ignore")
    assert done.stdout.strip() == "[1, 1]", done.stderr


def test_info_tells_the_limits():
    def shown(**environment):
        command = [sys.executable, "-m", "fastnn", "info"]
        text = subprocess.check_output(
            command, env={**os.environ, **SILENT, **environment}, text=True
        )
        (line,) = (line for line in text.splitlines() if line.startswith("threads"))
        return line.split(maxsplit=1)[1]

    cores = int(_core.thread_limits()["physical cores"])
    assert f"(physical cores {cores}" in shown()
    assert shown(OMP_NUM_THREADS="1").startswith("1 (physical cores ")
    assert "OMP_NUM_THREADS 1" in shown(OMP_NUM_THREADS="1,2")
    assert shown(FASTNN_NUM_THREADS="3").startswith("3 (FASTNN_NUM_THREADS 3, physical cores ")


LIMITED = """
import sys
{imports}
with threadpoolctl.threadpool_limits(1):
    inside = fastnn.get_num_threads()
    x = np.ones((64, 8))
    model = fastnn.Sequential([fastnn.layers.Dense(4)])
    model.compile("sgd", "mean_squared_error")
    model.fit(x, x[:, :4], verbose=0)
with threadpoolctl.threadpool_limits({{"fastnn": 2}}):
    named = fastnn.get_num_threads()
with threadpoolctl.threadpool_limits(1, user_api="blas"):
    blas = fastnn.get_num_threads()
with threadpoolctl.threadpool_limits(100_000):
    most = fastnn.get_num_threads()
found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "fastnn"]
assert [info["version"] for info in found] == [fastnn.__version__]
assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("fastnn")]
assert type(threadpoolctl.__spec__.loader) is type(fastnn.__spec__.loader)
print(inside, named, blas, most, fastnn.get_num_threads(), found[0]["num_threads"])
"""


@pytest.mark.parametrize("first", ["fastnn", "threadpoolctl"])
def test_limits_of_threadpoolctl_hold_in_any_order_of_imports(first):
    pytest.importorskip("threadpoolctl", minversion="3.2")
    imports = ["import numpy as np, fastnn", "import threadpoolctl"]
    if first == "threadpoolctl":
        imports.reverse()
    program = LIMITED.format(imports="\n".join(imports))
    environment = os.environ | {"FASTNN_NUM_THREADS": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["1", "2", "3", "256", "3", "3"]), ran.stderr


def test_threadpoolctl_is_not_imported_by_this_package():
    program = "import sys, fastnn; print('threadpoolctl' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "False"
