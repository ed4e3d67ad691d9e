// Shared memory of clients that name it in their requests, so that pictures are read where they are.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace photofinish {

struct Region {
  int file;
  uint64_t inode;
  uint64_t size;
};

// A client names its region by "process/descriptor/inode" and holds an exclusive flock on it for as long as it uses it;
// the kernel lifts that when the client dies.
class Regions {
 public:
  // The region of that name, when it holds `byte_size` bytes and its client lives. What is no region of ours is not
  // opened, even where its client exchanges the file while this looks.
  std::optional<Region> find(const std::string& name, uint64_t byte_size);

 private:
  void drop_abandoned();

  std::mutex mutex_;
  std::map<std::string, Region> known_;
  uint64_t looked_ns_ = 0;
};

}  // namespace photofinish
