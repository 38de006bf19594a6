#include "cpu/cores.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "core/check.h"
#include "cpu/context.h"

namespace fastnn {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// -- control groups -----------------------------------------------------------

bool contains_word(const std::string& list, std::string_view word) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, ',');) {
    if (each == word) return true;
  }
  return false;
}

// Paths in mountinfo have \040 for a space, and other octal numbers.
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool coded = text[i] == '\\' && i + 3 < text.size();
    result +=
        coded ? static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)) : text[i];
    i += coded ? 3 : 0;
  }
  return result;
}

enum class Version { one, two };

// A mounted tree of groups that may limit CPU time.
struct Mount {
  Version version;
  std::string root;   // the group that lies at `point`
  std::string point;  // a path without a slash at its end
};

std::vector<Mount> mounts(const std::string& root) {
  std::vector<Mount> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream head(line), tail(line.substr(dash + 3));
    std::string skipped, group, point, type, options;
    head >> skipped >> skipped >> skipped >> group >> point;
    tail >> type >> skipped >> options;
    const bool one = type == "cgroup" && contains_word(options, "cpu");
    if (!one && type != "cgroup2") continue;
    point = unescaped(point);
    if (point == "/") point.clear();
    found.push_back({one ? Version::one : Version::two, unescaped(group), point});
  }
  return found;
}

// The path of this process's group in the trees of a version; empty: it is in none.
std::string group_in(const std::string& root, Version version) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool matches =
        version == Version::two ? controllers.empty() : contains_word(controllers, "cpu");
    if (matches) return line.substr(second + 1);
  }
  return {};
}

// The part of a group's path below the mounted one. A container may see the path of the host, or
// "/.." for a group outside of its namespace: then the mounted group is the nearest that is known.
std::string below(const std::string& group, const std::string& mounted) {
  const std::string base = mounted == "/" ? "" : mounted;
  const bool inside =
      group.starts_with(base) && (group.size() == base.size() || group[base.size()] == '/');
  if (!inside || group.find("/..") != std::string::npos) return {};
  const std::string rest = group.substr(base.size());
  return rest == "/" ? "" : rest;
}

// What one group grants, in CPUs; infinity: no limit.
double granted(const std::string& folder, Version version) {
  double quota = 0, period = 0;
  if (version == Version::two) {
    std::istringstream(first_line(folder + "/cpu.max")) >> quota >> period;  // "max" is no number
  } else {
    std::istringstream(first_line(folder + "/cpu.cfs_quota_us")) >> quota;  // -1: no limit
    std::istringstream(first_line(folder + "/cpu.cfs_period_us")) >> period;
  }
  return quota > 0 && period > 0 ? quota / period : std::numeric_limits<double>::infinity();
}

// -- the environment ----------------------------------------------------------

// The first number of OpenMP's list for nested regions ("4" or "4,2"). 0: the variable is not set,
// or no list of positive numbers.
int openmp_limit(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  long first = 0;
  for (bool more = true; more;) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    while (*end == ' ' || *end == '\t') ++end;
    more = *end == ',';
    if (end == text || n < 1 || (!more && *end != '\0')) return 0;
    if (first == 0) first = n;
    text = end + 1;
  }
  return static_cast<int>(std::min<long>(first, std::numeric_limits<int>::max()));
}

// -- the processor ------------------------------------------------------------

// Physical cores that this process may run on.
int physical_cores() {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::string> physical;  // each named by the hardware threads that share it
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) continue;
      const std::string siblings =
          first_line(message("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
      physical.insert(siblings.empty() ? std::to_string(cpu) : siblings);
    }
    return static_cast<int>(physical.size());
  }
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// The CPU time that the control groups of this process grant, in CPUs; infinity: no limit.
double cpu_quota(const std::string& root) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<Mount> all = mounts(root);
  if (all.empty()) all = {{Version::two, "/", "/sys/fs/cgroup"}};  // no /proc: the usual place
  for (const Mount& mount : all) {
    std::string rest = below(group_in(root, mount.version), mount.root);
    while (true) {  // a group gets no more than any group around it
      std::string group = root;
      group.append(mount.point).append(rest);
      least = std::min(least, granted(group, mount.version));
      if (rest.empty()) break;
      rest.erase(rest.rfind('/'));
    }
  }
  return least;
}

}  // namespace

std::vector<ThreadLimit> thread_limits(const std::string& root) {
  std::vector<ThreadLimit> limits{{"physical cores", static_cast<double>(physical_cores())}};
  if (const double quota = cpu_quota(root); !std::isinf(quota))
    limits.push_back({"CPU quota", quota});
  for (const char* name : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT"}) {
    if (const int limit = openmp_limit(name)) limits.push_back({name, static_cast<double>(limit)});
  }
  return limits;
}

int available_cores() {
  double least = max_threads;
  for (const ThreadLimit& limit : thread_limits()) least = std::min(least, limit.most);
  // Systems round quotas to microseconds: 2.0001 CPUs are two.
  return std::max(static_cast<int>(std::ceil(least - 1e-3)), 1);
}

}  // namespace fastnn
