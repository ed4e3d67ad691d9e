// Requests that end their model process: a shape that did so twice, without an answer in between, is refused for a while.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace photofinish {

// One for each model, shared by its instances: what ended one process is not tried on the next for ever.
class Blame {
 public:
  // Whether anything is known at all; costs nothing.
  bool is_empty() const { return count_.load(std::memory_order_relaxed) == 0; }
  // Whether requests of this shape are refused now.
  bool refuses(const std::string& shape);
  // An execution with this shape ended its process.
  void ended(const std::string& shape);
  // One was answered: it was not the shape.
  void answered(const std::string& shape);

 private:
  struct Entry {
    int times = 0;
    uint64_t last_ns = 0;
  };
  std::mutex mutex_;
  std::atomic<size_t> count_{0};
  std::map<std::string, Entry> entries_;
};

std::shared_ptr<Blame> shared_blame(const std::string& model);

}  // namespace photofinish
