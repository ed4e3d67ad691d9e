// A client of the bridge's regions, alone with them in one process: what they open, and what they refuse.
//
// client FILE INODE [OPTION...]: names FILE by INODE and its own name, holds its lock, maps it as Triton would, and
// prints inode and offset of what the bridge finds for it, "" for nothing.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "regions.h"

namespace {

int mine = -1, other = -1;
bool is_stranger = false;

}  // namespace

// A client that exchanges its descriptor at the moment the bridge has read where it leads.
extern "C" ssize_t readlink(const char* path, char* target, size_t size) noexcept {
  const ssize_t length = syscall(SYS_readlink, path, target, size);
  if (other >= 0) dup2(other, mine);
  return length;
}

// The bridge runs for another user than the one whose file it is.
extern "C" uid_t geteuid() noexcept { return static_cast<uid_t>(syscall(SYS_geteuid)) + (is_stranger ? 1 : 0); }

int main(int count, char** words) {
  std::map<std::string, std::string> options;
  for (int i = 3; i + 1 < count; i += 2) options[words[i]] = words[i + 1];
  const auto number = [&](const char* name, long usual) {
    return options.count(name) ? std::atol(options[name].c_str()) : usual;
  };
  const auto text = [&](const char* name, const std::string& usual) {
    return options.count(name) ? options[name] : usual;
  };
  is_stranger = options.count("stranger") > 0;
  signal(SIGIO, SIG_IGN);
  mine = open(words[1], O_RDWR | O_NONBLOCK);
  if (mine < 0) mine = open(words[1], O_RDONLY | O_NONBLOCK);
  if (!options.count("unlocked")) flock(mine, LOCK_EX);
  if (options.count("other")) flock(other = open(options["other"].c_str(), O_RDWR), LOCK_EX);
  struct stat status {};
  fstat(mine, &status);
  const size_t mapped = static_cast<size_t>(number("mapped", 4096));
  void* memory = mmap(nullptr, mapped, PROT_READ, MAP_SHARED, options.count("mapped-other") ? other : mine,
                      number("mapped-from", 0));
  if (options.count("mapped-other")) other = -1;
  if (options.count("lease") && fcntl(mine, F_SETLEASE, F_WRLCK) != 0) return 2;
  const std::string path = words[1];
  const std::string own = std::to_string(getpid()) + "/" + std::to_string(mine) + "/" + words[2] + "/" +
                          text("name", path.substr(path.rfind('/') + 1));
  const std::string name = text("before", "") + own + text("after", "");
  const void* address = memory == MAP_FAILED ? static_cast<void*>(words) : static_cast<char*>(memory) + number("at", 0);
  photofinish::Regions regions;
  auto found = regions.find(name, address, static_cast<uint64_t>(number("size", 1)));
  for (long i = 0; i < number("spellings", 0); ++i) {
    const int again = dup(mine);
    const std::string spelling = std::to_string(getpid()) + "/" + std::to_string(again) + "/" + words[2] + "/" +
                                 path.substr(path.rfind('/') + 1);
    regions.find(i % 2 ? spelling : own + "/" + std::to_string(i), address, 1);
  }
  if (options.count("shrink")) {
    if (ftruncate(mine, number("shrink", 0)) != 0) return 1;
    found = regions.find(name, address, static_cast<uint64_t>(number("size", 1)));
  }
  if (options.count("wait-unlocked")) {
    flock(mine, LOCK_UN);
    for (int i = 0; i < 200 && regions.count() > 0; ++i) usleep(50'000);
  }
  if (found) std::printf("%llu %llu ", (unsigned long long)found->inode, (unsigned long long)found->offset);
  std::printf("%zu", regions.count());
}
