#include "plain_files.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace photofinish {
namespace {

constexpr char kFolder[] = "/dev/shm";

}  // namespace

std::string own_path(int file) { return "/proc/self/fd/" + std::to_string(file); }

bool is_plain(int held, struct statx& found) {
  struct statx folder {};
  constexpr unsigned kWanted = STATX_TYPE | STATX_INO | STATX_UID;
  return statx(held, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &found) == 0 &&
         statx(AT_FDCWD, kFolder, AT_STATX_DONT_SYNC, STATX_TYPE, &folder) == 0 &&
         found.stx_dev_major == folder.stx_dev_major && found.stx_dev_minor == folder.stx_dev_minor &&
         S_ISREG(found.stx_mode);
}

int open_held(int held, int flags) {
  struct statx found {};
  if (!is_plain(held, found)) {
    errno = EINVAL;
    return -1;
  }
  return open(own_path(held).c_str(), flags | O_NONBLOCK | O_CLOEXEC);
}

}  // namespace photofinish

// Triton opens what a client registers while it holds the lock that every request with shared memory needs. This library
// is loaded before the server's program and answers in the C library's place; see readiness.cpp.
extern "C" __attribute__((visibility("default"))) int shm_open(const char* name, int flags, mode_t mode) {
  using Function = int (*)(const char*, int, mode_t);
  if (flags & O_CREAT) {
    static const auto genuine = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "shm_open"));
    if (genuine == nullptr) return errno = ENOSYS, -1;
    return genuine(name, flags, mode);
  }
  const char* bare = name + std::strspn(name, "/");
  if (*bare == '\0' || std::strchr(bare, '/') != nullptr) return errno = EINVAL, -1;
  const std::string path = std::string(photofinish::kFolder) + "/" + bare;
  const int held = open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (held < 0) return -1;
  const int file = photofinish::open_held(held, flags);
  const int error = errno;
  close(held);
  errno = error;
  return file;
}
