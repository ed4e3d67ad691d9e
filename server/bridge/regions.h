// Shared memory of clients that name it in their requests, so that pictures are read where they are.
#pragma once

#include <sys/stat.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace photofinish {

// Where the bytes of a request lie in a client's region.
struct Extent {
  int file;  // this process's descriptor of the region
  uint64_t inode;
  uint64_t offset;
};

// A client names its region by "process/descriptor/inode/file name" and holds an exclusive flock on it for as long as
// it uses it; the kernel lifts that when the client dies. The name only says how the memory that Triton has mapped for
// the request can be opened: what lies at the request's own address is never exchanged for something else.
class Regions {
 public:
  Regions();
  ~Regions();
  Regions(const Regions&) = delete;
  Regions& operator=(const Regions&) = delete;

  // Where `byte_size` bytes at `address`, which is in this process, lie in the region of that name; nothing unless the
  // region is a plain file of this user in /dev/shm, holds them all at this moment, and its client lives.
  std::optional<Extent> find(const std::string& name, const void* address, uint64_t byte_size);

  // How many regions are known, each by one descriptor.
  size_t count();

 private:
  // Where this process, Triton, has mapped a part of a region.
  struct Mapping {
    uint64_t start, end, offset;
  };
  struct Region {
    int file = -1;
    uint64_t device = 0, inode = 0, size = 0;
    bool has_looked = false;  // for its mappings
    std::vector<Mapping> mappings;
  };

  std::optional<Region> open_region(const std::string& name) const;
  std::optional<uint64_t> offset_of(const std::string& name, Region& region, uint64_t address, uint64_t byte_size);
  void drop_abandoned();
  void look_at_times();

  std::mutex mutex_;
  std::map<std::string, Region> known_;
  uint64_t looked_again_ns_ = 0;
  bool is_ending_ = false;
  std::condition_variable ending_;
  std::thread looks_;
};

}  // namespace photofinish
