#include "blame.h"

#include "clock.h"

namespace photofinish {
namespace {

constexpr int kTimes = 2;
constexpr uint64_t kRefusedNs = 60'000'000'000;  // then it may try again, once
constexpr size_t kMaxEntries = 1024;

}  // namespace

bool Blame::refuses(const std::string& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(shape);
  if (found == entries_.end() || found->second.times < kTimes) return false;
  if (now_ns() - found->second.last_ns < kRefusedNs) return true;
  found->second.times = kTimes - 1;
  return false;
}

void Blame::ended(const std::string& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (entries_.size() >= kMaxEntries && entries_.find(shape) == entries_.end()) entries_.clear();
  Entry& entry = entries_[shape];
  ++entry.times;
  entry.last_ns = now_ns();
  count_ = entries_.size();
}

void Blame::answered(const std::string& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.erase(shape);
  count_ = entries_.size();
}

std::shared_ptr<Blame> shared_blame(const std::string& model) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Blame>> shared;
  const std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<Blame>& known = shared[model];
  std::shared_ptr<Blame> blame = known.lock();
  if (!blame) known = blame = std::make_shared<Blame>();
  return blame;
}

}  // namespace photofinish
