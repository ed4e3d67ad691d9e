#include "spares.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace photofinish {
namespace {

constexpr char kSwitch[] = "PHOTOFINISH_SPARE";
constexpr uint64_t kFreeKib = uint64_t{2} << 20;  // PyTorch's imports alone take 0.3 to 0.5 GiB
constexpr size_t kNameRoom = 200;                 // `ps` shows the instance's name there once it has one

bool has_memory_to_spare() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    uint64_t kib = 0;
    if (word == "MemAvailable:" && file >> kib) return kib > kFreeKib;
  }
  return true;
}

}  // namespace

std::unique_ptr<Child> Spares::take(const std::string& instance_name, const std::string& group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (group.empty()) return take_whole(instance_name);
  std::weak_ptr<Child>& known = groups_[group].process;
  std::shared_ptr<Child> shared = known.lock();
  if (!shared || shared->look() != Child::State::kRuns) {
    shared = take_whole(group);
    shared->give({{"group", group}});
    known = shared;
  }
  return std::make_unique<Child>(std::move(shared), instance_name);
}

std::unique_ptr<Child> Spares::take_whole(const std::string& name) {
  std::unique_ptr<Child> taken = std::move(spare_);
  if (taken && taken->look() == Child::State::kRuns) return taken;
  taken.reset();
  return std::make_unique<Child>(python_, script_, name);
}

std::unique_lock<std::mutex> Spares::turn(const std::string& group) {
  std::unique_lock<std::mutex> lock(mutex_);
  std::mutex& loading = groups_[group].loading;
  lock.unlock();
  return std::unique_lock<std::mutex>(loading);
}

void Spares::prepare() {
  const char* chosen = std::getenv(kSwitch);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (spare_ || (chosen != nullptr && std::strcmp(chosen, "off") == 0) || !has_memory_to_spare()) return;
  try {
    spare_ = std::make_unique<Child>(python_, script_, "spare" + std::string(kNameRoom, '_'));
  } catch (const std::runtime_error&) {
    // The process that serves can do without; the next one tells when it cannot be started.
  }
}

std::shared_ptr<Spares> shared_spares(const std::string& python, const std::string& script) {
  static std::mutex mutex;
  static std::weak_ptr<Spares> shared;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<Spares> spares = shared.lock();
  if (!spares) shared = spares = std::make_shared<Spares>(python, script);
  return spares;
}

}  // namespace photofinish
