#include "guard.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED uint32_t photofinish_lost_count;
uint32_t photofinish_lost_count = 0;

namespace photofinish {
namespace {

constexpr size_t kMaxWatched = 1024;

struct Copy {
  uintptr_t target, source;
  size_t size;
  sigjmp_buf way_out;
};

struct Watched {
  std::atomic<uintptr_t> start{0}, end{0};
  std::atomic<uint32_t> is_lost{0};
};

// The copy that this thread is making. Of the model that needs no allocation when a signal handler reads it.
__attribute__((tls_model("initial-exec"))) thread_local Copy* running = nullptr;
__attribute__((tls_model("initial-exec"))) thread_local bool is_unblocked = false;

Watched watched[kMaxWatched];
std::mutex changes;
struct sigaction before {};

bool lies_in(uintptr_t address, uintptr_t start, size_t size) { return address >= start && address - start < size; }

// Puts empty memory in the place of what is gone, to the end of the range.
bool replace(uintptr_t address) {
  for (Watched& range : watched) {
    const uintptr_t start = range.start, end = range.end;
    if (start == 0 || address < start || address >= end) continue;
    const uintptr_t page = address & ~(static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) - 1);
    range.is_lost = 1;
    __atomic_add_fetch(&photofinish_lost_count, 1, __ATOMIC_SEQ_CST);
    return mmap(reinterpret_cast<void*>(page), end - page, PROT_READ | PROT_WRITE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

void on_bus_error(int number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (Copy* copy = running;
      copy && (lies_in(address, copy->target, copy->size) || lies_in(address, copy->source, copy->size)))
    siglongjmp(copy->way_out, 1);
  if (replace(address)) return;
  // Nothing of ours: what would have happened without this handler.
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    signal(SIGBUS, SIG_DFL);
  }
}

bool install() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &before) == 0;
}

bool is_handled() {
  static const bool is_installed = install();
  if (!is_unblocked) {
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    is_unblocked = pthread_sigmask(SIG_UNBLOCK, &bus, nullptr) == 0;
  }
  return is_installed;
}

}  // namespace

bool copy_guarded(void* target, const void* source, size_t size) {
  if (size == 0) return true;
  if (!is_handled()) return false;
  Copy copy;
  copy.target = reinterpret_cast<uintptr_t>(target);
  copy.source = reinterpret_cast<uintptr_t>(source);
  copy.size = size;
  if (sigsetjmp(copy.way_out, 0) != 0) {
    running = nullptr;
    return false;
  }
  running = &copy;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::memcpy(target, source, size);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  running = nullptr;
  return true;
}

}  // namespace photofinish

EXPORTED int photofinish_watch(uint64_t start, uint64_t byte_size) {
  using namespace photofinish;
  if (!is_handled() || start == 0 || byte_size == 0) return 0;
  const std::lock_guard<std::mutex> lock(changes);
  for (Watched& range : watched) {
    if (range.start != 0) continue;
    range.is_lost = 0;
    range.end = start + byte_size;
    range.start = start;
    return 1;
  }
  return 0;
}

EXPORTED void photofinish_unwatch(uint64_t start) {
  using namespace photofinish;
  const std::lock_guard<std::mutex> lock(changes);
  for (Watched& range : watched)
    if (range.start == start && start != 0) range.start = 0;
}

EXPORTED int photofinish_is_lost(uint64_t start) {
  using namespace photofinish;
  for (Watched& range : watched)
    if (range.start == start && start != 0) return static_cast<int>(range.is_lost.load());
  return 0;
}
