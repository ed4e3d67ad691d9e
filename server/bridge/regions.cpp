#include "regions.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>

#include "clock.h"
#include "plain_files.h"
#include "threads.h"

namespace photofinish {
namespace {

constexpr char kFolder[] = "/dev/shm";
constexpr char kPrefix[] = "photofinish-region-";
constexpr size_t kMaxName = 200;
constexpr size_t kMaxRegions = 256;   // more are copied once, which is slower and as right
constexpr size_t kMaxMappings = 16;   // of one region
constexpr uint64_t kMaxBytes = uint64_t{1} << 32;
constexpr uint64_t kAlignment = 64;   // engines read vectors
constexpr std::chrono::seconds kLookPause{2};
constexpr uint64_t kMapsPauseNs = 200'000'000;  // between two looks for mappings that were not there before

bool is_abandoned(int file) {
  if (flock(file, LOCK_SH | LOCK_NB) != 0) return false;
  flock(file, LOCK_UN);
  return true;
}

// A number in its only spelling: no sign, no space, no zero in front.
bool read_number(const std::string& text, size_t& at, uint64_t& number) {
  const char* begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  if (error != std::errc() || (*begin == '0' && end - begin > 1)) return false;
  at += static_cast<size_t>(end - begin);
  return true;
}

struct RegionName {
  uint64_t process = 0, descriptor = 0, inode = 0;
  std::string file_name;
};

std::optional<RegionName> parse(const std::string& text) {
  if (text.size() > kMaxName) return std::nullopt;
  RegionName name;
  size_t at = 0;
  for (uint64_t* number : {&name.process, &name.descriptor, &name.inode}) {
    if (!read_number(text, at, *number) || at >= text.size() || text[at] != '/') return std::nullopt;
    ++at;
  }
  name.file_name = text.substr(at);
  const bool is_plain = name.file_name.find_first_of(std::string("/ \n\0", 4)) == std::string::npos;
  if (!is_plain || name.file_name.rfind(kPrefix, 0) != 0) return std::nullopt;
  return name;
}

// Whether a descriptor of our own, which its client cannot exchange any more, leads to the region of that name.
bool is_region(int held, const RegionName& name) {
  char target[kMaxName + 64];
  const ssize_t length = readlink(own_path(held).c_str(), target, sizeof target);
  if (length < 0) return false;
  const std::string path = std::string(kFolder) + "/" + name.file_name, found(target, static_cast<size_t>(length));
  struct statx status {};
  return (found == path || found == path + " (deleted)") && is_plain(held, status) && status.stx_ino == name.inode &&
         status.stx_uid == geteuid();
}

}  // namespace

Regions::Regions() {
  looks_ = started_thread("let go of clients' memory", [this] { look_at_times(); });
}

Regions::~Regions() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_ending_ = true;
  }
  ending_.notify_all();
  looks_.join();
  for (const auto& [name, region] : known_) close(region.file);
}

std::optional<Extent> Regions::find(const std::string& name, const void* address, uint64_t byte_size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto found = known_.find(name);
  if (found == known_.end()) {
    if (known_.size() >= kMaxRegions) return std::nullopt;
    auto region = open_region(name);
    if (!region) return std::nullopt;
    found = known_.emplace(name, std::move(*region)).first;
  }
  Region& region = found->second;
  struct stat status {};
  if (fstat(region.file, &status) != 0 || static_cast<uint64_t>(status.st_size) < region.size) {
    // Its client has shrunk it: whoever has mapped it holds less than it did.
    close(region.file);
    known_.erase(found);
    return std::nullopt;
  }
  const auto offset = offset_of(name, region, reinterpret_cast<uint64_t>(address), byte_size);
  if (!offset || *offset % kAlignment != 0 || *offset > region.size || byte_size > region.size - *offset)
    return std::nullopt;
  return Extent{region.file, region.inode, *offset};
}

size_t Regions::count() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return known_.size();
}

std::optional<Regions::Region> Regions::open_region(const std::string& text) const {
  const auto name = parse(text);
  if (!name) return std::nullopt;
  const std::string path = "/proc/" + std::to_string(name->process) + "/fd/" + std::to_string(name->descriptor);
  // O_PATH takes hold of whatever is there without opening it: no pipe is waited for, no device is woken. O_NOFOLLOW
  // would refuse the link that leads there; what it leads to is checked, and opened by what is held.
  const int held = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (held < 0) return std::nullopt;
  const int file = is_region(held, *name) ? open_held(held, O_RDONLY) : -1;
  close(held);
  if (file < 0) return std::nullopt;
  struct stat status {};
  bool is_good = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == name->inode &&
                 status.st_uid == geteuid() && static_cast<uint64_t>(status.st_size) <= kMaxBytes &&
                 !is_abandoned(file);
  for (const auto& [other, region] : known_)  // the same memory by another descriptor of its client's
    is_good = is_good && (region.inode != status.st_ino || region.device != status.st_dev);
  if (!is_good) {
    close(file);
    return std::nullopt;
  }
  Region region;
  region.file = file;
  region.device = static_cast<uint64_t>(status.st_dev);
  region.inode = static_cast<uint64_t>(status.st_ino);
  region.size = static_cast<uint64_t>(status.st_size);
  return region;
}

// The place in the region of what this process has mapped at an address; nothing where another file is mapped there.
std::optional<uint64_t> Regions::offset_of(const std::string& name, Region& region, uint64_t address,
                                           uint64_t byte_size) {
  for (bool is_last = false;; is_last = true) {
    for (const Mapping& mapping : region.mappings)
      if (address >= mapping.start && address < mapping.end && byte_size <= mapping.end - address)
        return mapping.offset + (address - mapping.start);
    if (is_last) return std::nullopt;
    if (const uint64_t now = now_ns(); region.has_looked) {
      if (now - looked_again_ns_ < kMapsPauseNs) return std::nullopt;
      looked_again_ns_ = now;
    }
    region.has_looked = true;
    region.mappings.clear();
    const std::string file_name = name.substr(name.rfind('/') + 1);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line) && region.mappings.size() < kMaxMappings;) {
      if (line.find(file_name) == std::string::npos) continue;
      Mapping mapping{};
      uint64_t inode = 0;
      const int count = std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %" SCNu64,
                                    &mapping.start, &mapping.end, &mapping.offset, &inode);
      if (count == 4 && inode == region.inode) region.mappings.push_back(mapping);
    }
  }
}

void Regions::look_at_times() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ending_.wait_for(lock, kLookPause, [this] { return is_ending_; })) drop_abandoned();
}

// Let go of regions whose client is gone, or has taken their memory away.
void Regions::drop_abandoned() {
  for (auto each = known_.begin(); each != known_.end();) {
    struct stat status {};
    const bool is_whole =
        fstat(each->second.file, &status) == 0 && static_cast<uint64_t>(status.st_size) >= each->second.size;
    if (is_whole && !is_abandoned(each->second.file)) {
      ++each;
      continue;
    }
    close(each->second.file);
    each = known_.erase(each);
  }
}

}  // namespace photofinish
