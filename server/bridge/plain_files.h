// Files that a client has put into /dev/shm, opened without waiting for anybody.
#pragma once

#include <sys/stat.h>

#include <string>

namespace photofinish {

// The path by which this process opens anew what it holds.
std::string own_path(int file);

// Whether a descriptor, of O_PATH too, leads to a plain file in /dev/shm itself, and what is known of it. Nothing here
// asks the file's own file system, which may be a process of the client's that never answers.
bool is_plain(int held, struct statx& found);

// Opens it; -1 with errno where it is no plain file in /dev/shm, or the client has a lease on it that it does not give
// up: the kernel would let others wait for 45 s.
int open_held(int held, int flags);

}  // namespace photofinish
