#include "regions.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "clock.h"

namespace photofinish {
namespace {

const std::string kPrefix = "/dev/shm/photofinish-region-";
constexpr uint64_t kLookNs = 5'000'000'000;

bool is_abandoned(int file) {
  if (flock(file, LOCK_SH | LOCK_NB) != 0) return false;
  flock(file, LOCK_UN);
  return true;
}

std::optional<Region> open_region(const std::string& name) {
  int process = 0, descriptor = 0;
  unsigned long long inode = 0;
  if (std::sscanf(name.c_str(), "%d/%d/%llu", &process, &descriptor, &inode) != 3) return std::nullopt;
  const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(descriptor);
  char target[4096];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  if (length < 0 || std::string(target, static_cast<size_t>(length)).rfind(kPrefix, 0) != 0) return std::nullopt;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_ino != inode || is_abandoned(file)) {
    close(file);
    return std::nullopt;
  }
  return Region{file, static_cast<uint64_t>(status.st_ino), static_cast<uint64_t>(status.st_size)};
}

}  // namespace

std::optional<Region> Regions::find(const std::string& name, uint64_t byte_size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const uint64_t now = now_ns(); now - looked_ns_ > kLookNs) {
    looked_ns_ = now;
    drop_abandoned();
  }
  auto found = known_.find(name);
  if (found == known_.end()) {
    const auto region = open_region(name);
    if (!region) return std::nullopt;
    drop_abandoned();
    found = known_.emplace(name, *region).first;
  }
  if (found->second.size < byte_size) return std::nullopt;
  return found->second;
}

void Regions::drop_abandoned() {
  for (auto each = known_.begin(); each != known_.end();) {
    if (!is_abandoned(each->second.file)) {
      ++each;
      continue;
    }
    close(each->second.file);
    each = known_.erase(each);
  }
}

}  // namespace photofinish
