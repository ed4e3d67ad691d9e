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

std::string own_path(int file) { return "/proc/self/fd/" + std::to_string(file); }

bool is_abandoned(int file) {
  if (flock(file, LOCK_SH | LOCK_NB) != 0) return false;
  flock(file, LOCK_UN);
  return true;
}

// Whether the file behind a descriptor of our own is a region: its client cannot exchange it any more.
bool is_region(int file, unsigned long long inode, struct stat& status) {
  char target[4096];
  const ssize_t length = readlink(own_path(file).c_str(), target, sizeof target);
  return length >= 0 && std::string(target, static_cast<size_t>(length)).rfind(kPrefix, 0) == 0 &&
         fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == inode;
}

std::optional<Region> open_region(const std::string& name) {
  int process = 0, descriptor = 0;
  unsigned long long inode = 0;
  if (std::sscanf(name.c_str(), "%d/%d/%llu", &process, &descriptor, &inode) != 3) return std::nullopt;
  const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(descriptor);
  // O_PATH takes hold of whatever is there without opening it: no pipe is waited for, no device is woken.
  const int held = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (held < 0) return std::nullopt;
  struct stat status {};
  const int file = is_region(held, inode, status) ? open(own_path(held).c_str(), O_RDONLY | O_CLOEXEC) : -1;
  close(held);
  if (file < 0) return std::nullopt;
  if (is_abandoned(file)) {
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
