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

std::unique_ptr<Child> Spares::take(const std::string& instance_name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<Child> taken = std::move(spare_);
  if (taken && taken->look() == Child::State::kRuns) return taken;
  taken.reset();
  return std::make_unique<Child>(python_, script_, instance_name);
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
